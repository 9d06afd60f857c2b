public import ApusMessaging
import ApusProcess

/// Engines as jobs of a batch system: a script is made from a template and submitted, and the system is asked how the jobs are.
public struct BatchLauncher: Launcher {
  /// The system's own is in `system`; this is ipyparallel's name for the family.
  public static let name = "batch"
  public let isImmediate = false

  private var system: any BatchSystem
  private let options: BatchOptions
  private var shell: BatchShell
  private(set) var jobs: [BatchJob] = []
  /// How engines ended: said once, kept for those who ask again.
  private var ended: [Int: EngineEnd] = [:]
  /// Where they run.
  private var hosts: [Int: String] = [:]
  /// Looks in a row at which the system did not list an engine.
  private var unlisted: [Int: Int] = [:]
  private var deleted: Set<Int> = []

  /// A job that is not listed so often, and of which nothing is to be found out, is over.
  private static let patience = 5
  /// Records of jobs that another process has planned and, as far as is known, not submitted.
  private var inherited: Set<String> = []
  /// That process is gone, and what has become of them is found out.
  private var settles = false

  init(_ system: any BatchSystem, _ options: BatchOptions, _ environment: Environment) {
    self.system = system
    self.options = options
    shell = BatchShell(environment: environment, title: type(of: system).title)
  }

  public var size: Int { jobs.map(\.engines.upperBound).max() ?? 0 }
  public var known: Set<Int> { Set(jobs.flatMap(\.engines)) }

  private var kind: any BatchSystem.Type { type(of: system) }
  private var className: String { options.className.isEmpty ? "\(kind.classStem)EngineSetLauncher" : options.className }

  // MARK: start

  public mutating func start(_ engines: Range<Int>, _ job: EngineJob) throws(ClusterError) {
    // Jobs of just these engines: others may be planned that have some of them, and were given up.
    if plannedParts(of: engines).reduce(0, { $0 + $1.count }) != engines.count {
      jobs.removeAll { !$0.isSubmitted && $0.engines.overlaps(engines) }
      _ = plan(engines, job)
    }
    for part in plannedParts(of: engines) {
      do throws(ClusterError) { try submit(part, job) } catch {
        for left in part.lowerBound..<engines.upperBound { ended[left] = .refused(error.reason) }
        // What was planned beside it is not tried any more.
        jobs.removeAll { !$0.isSubmitted }
        throw error
      }
    }
  }

  private func plannedParts(of engines: Range<Int>) -> [Range<Int>] {
    jobs.filter { !$0.isSubmitted && engines.contains($0.engines) }.map(\.engines)
  }

  /// Jobs.
  public mutating func plan(_ engines: Range<Int>, _ job: EngineJob) -> [Range<Int>] {
    system.prepare(shell)
    let size = system.followsArrays ? max(1, options.perJob ?? engines.count) : 1
    let parts = stride(from: engines.lowerBound, to: engines.upperBound, by: size).map { $0..<min(engines.upperBound, $0 + size) }
    for part in parts { jobs.append(planned(part, job)) }
    return parts
  }

  private mutating func submit(_ engines: Range<Int>, _ job: EngineJob) throws(ClusterError) {
    for engine in engines { (ended[engine], unlisted[engine], hosts[engine]) = (nil, nil, nil) }
    deleted.subtract(engines)
    guard let place = jobs.firstIndex(where: { !$0.isSubmitted && $0.engines == engines }) else { return }
    var new = jobs[place]
    let script = try script(new, job)
    do throws(FileError) {
      try FileSystem.makeDirectory(Path.parent(new.outputFile))
      try AtomicFile.write(Array(script.utf8), to: new.script, mode: 0o700)
    } catch { throw ClusterError(.cannotWrite, "the batch script: \(error)") }
    let words = submitWords(new)
    let shell = BatchShell(environment: job.environment(withInfo: job.sendsConnectionInfo ?? false), title: kind.title)
    var output = ""
    do throws(ClusterError) {
      let result = try shell.attempt(words, input: kind.readsScriptFromInput ? script : "", record: new.record)
      output = result.output
      // One that takes too long may have submitted it, and said so.
      if result.status == nil, try jobID(in: output) == nil { throw shell.late(words, result) }
      if let status = result.status, !status.isSuccess { throw BatchShell.failure(words, result) }
    } catch {
      if options.scriptPath == nil { FileSystem.remove(new.script) }
      removeRecord(of: new)
      throw error
    }
    guard let id = try jobID(in: output) else {
      throw ClusterError(
        .refused, "\(words.first ?? "") did not say a job's id; it said: \(output.trimmed)",
        advice: "\(className).job_id_regexp says how to find it.")
    }
    new.id = id
    jobs[place] = new
  }

  private func removeRecord(of job: BatchJob) {
    guard let record = job.record else { return }
    for path in [record, record + ".errors"] { FileSystem.remove(path) }
  }

  /// Learns the ids of jobs that a launcher was about to submit when it was killed: the submit command, which it does not take along, has
  /// said them to a file. One that is still being submitted stays as it is, until the next look.
  private mutating func recover(waiting limit: Duration) {
    var isOpen: [String: Bool] = [:]
    for index in jobs.indices where isInherited(jobs[index]) {
      guard let record = jobs[index].record else { continue }
      var id: String?
      // What it has started may hold the lock on: a whole line with an id is enough.
      let isDone = FileSystem.waitForLock(of: record, atMost: limit) {
        guard let said = try? FileSystem.text(of: record), said.hasSuffix("\n") else { return false }
        id = try? jobID(in: said)
        return id != nil
      }
      if id == nil, let said = try? FileSystem.text(of: record) { id = try? jobID(in: said) }
      jobs[index].id = id ?? ""
      isOpen[record] = id == nil && !isDone
    }
    let givenUp = Set(jobs.indices.filter { isInherited(jobs[$0]) && jobs[$0].record.map { isOpen[$0] != true } ?? true })
    for index in givenUp { removeRecord(of: jobs[index]) }
    jobs = jobs.indices.filter { !givenUp.contains($0) }.map { jobs[$0] }
  }

  public var unanswered: Set<Int> { Set(jobs.filter { isInherited($0) }.flatMap(\.engines)) }

  /// What this launcher has planned itself it submits when it is told to, and nobody else does.
  private func isInherited(_ job: BatchJob) -> Bool {
    !job.isSubmitted && job.record.map { inherited.contains($0) } ?? true
  }

  /// The job before the system has seen it.
  private func planned(_ engines: Range<Int>, _ job: EngineJob) -> BatchJob {
    var number = options.perJob.map { "-\(engines.lowerBound / max(1, $0))" } ?? ""
    // Engines that are started again, or beside others, have files of their own.
    if !jobs.isEmpty, options.perJob == nil || jobs.contains(where: { $0.engines.overlaps(engines) }) {
      // Jobs that were given up leave gaps.
      let stem = job.logStem + number
      var count = jobs.count
      while jobs.contains(where: { $0.record == "\(stem)-s\(count).submitted.log" }) { count += 1 }
      number += "-s\(count)"
    }
    let output = options.outputFile.map { $0 + number } ?? "\(job.logStem)\(number).log"
    let name = job.isController ? kind.scriptName.replacing("engine", with: "controller") : kind.scriptName
    let script = options.scriptPath.map { $0 + number } ?? "\(job.logStem)\(number)-\(name)"
    var planned = BatchJob(id: "", engines: engines, outputFile: output, script: script)
    // Where the system's own template has no array for one engine, and in templates that start their engines themselves.
    planned.record = "\(job.logStem)\(number).submitted.log"
    planned.isArray = options.template == nil || options.template?.firstRange(of: "1-{n}") != nil
    return planned
  }

  private func submitWords(_ job: BatchJob) -> [String] {
    let words = options.submitCommand ?? kind.submitCommand
    // A template of the user's own has its own lines; what the command line says goes before them.
    let added = options.template == nil ? [] : system.arguments(options)
    return words + added + (kind.readsScriptFromInput ? [] : [job.script])
  }

  private func jobID(in output: String) throws(ClusterError) -> String? {
    guard let pattern = options.jobIDPattern else { return system.jobID(in: output) }
    do {
      let regex = try Regex(pattern)
      guard let match = output.firstMatch(of: regex) else { return nil }
      guard options.jobIDGroup >= 0, options.jobIDGroup < match.output.count else { return nil }
      return match.output[options.jobIDGroup].substring.map(String.init)
    } catch {
      throw ClusterError(.failure, "\(className).job_id_regexp is no regular expression: \(pattern)")
    }
  }

  // MARK: the script

  func script(_ batch: BatchJob, _ job: EngineJob) throws(ClusterError) -> String {
    let words = programWords(job, batch)
    for (name, text) in [
      ("path of the output", batch.outputFile), ("profile's path", job.profile.location), ("cluster id", job.clusterID),
    ]
    where text.contains(where: \.isNewline) {
      throw ClusterError(.failure, "the \(name) has a line break, which would be a line of the script: \(text.debugDescription)")
    }
    var variables = [
      "n": String(batch.engines.count), "queue": options.queue, "profile_dir": job.profile.location, "cluster_id": job.clusterID,
      "output_file": batch.outputFile, "output_path": ShellText.quoted(batch.outputFile), "account": options.account,
      "qos": options.qos, "timelimit": options.timeLimit,
      "options": options.extra, "program": ShellText.quoted(words.first ?? ""),
      "program_args": ShellText.line(Array(words.dropFirst())), "program_and_args": ShellText.line(words),
      "executable": words.first ?? "",
      "arguments": (["\(kind.indexVariables)=$(Process)"] + words.dropFirst().map(Self.condorWord)).joined(separator: " "),
      "environment_json": JSONValue.object(
        JSONObject(members: job.variables.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) })
      ).text,
    ]
    variables.merge(options.namespace) { $1 }
    let own = system.template(options, engines: batch.engines.count)
    let template = options.template ?? own.replacing("ipengine", with: job.programName)
    if options.template != nil, !["{program", "{executable", "engine", "controller"].contains(where: { template.contains($0) }) {
      throw ClusterError(
        .failure,
        "the batch template of \(className) starts no \(job.isController ? "controller" : "engine"): it has no {program_and_args}",
        advice: "A line like 'srun {program_and_args}' or 'mpiexec -n {n} {program_and_args}' is what it is for.")
    }
    let filled = try BatchTemplate(template).filled(variables)
    return filled.hasSuffix("\n") ? filled : filled + "\n"
  }

  /// `env`, so that what the engines must know reaches them through every system, whatever it passes on of an environment.
  private func programWords(_ job: EngineJob, _ batch: BatchJob) -> [String] {
    var variables = job.variables
    if options.template == nil {
      // A job of one is no array everywhere.
      let first = batch.engines.lowerBound
      variables[EngineJob.index] =
        batch.engines.count == 1 ? String(first) : EngineJob.indexRule(from: first, base: kind.firstIndex, kind.indexVariables)
    }
    variables[EngineJob.mark] = job.markValue
    let assignments = variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    var words = job.command.arguments
    // The file and not the environment: a queue shows its jobs' environment to others, and the key is in it.
    if !(job.sendsConnectionInfo ?? false), !job.isController {
      words.append("--file=\(job.profile.connectionFile("engine", clusterID: job.clusterID))")
    }
    return ["/usr/bin/env"] + assignments + EngineJob.words(words, sourcing: job.environmentScript)
  }

  /// In HTCondor's new syntax of arguments.
  private static func condorWord(_ word: String) -> String {
    let doubled = word.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
    guard doubled.contains(where: { $0 == " " || $0 == "'" || $0 == "\t" }) || doubled.isEmpty else { return doubled }
    return "'" + doubled.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
  }

  public func preview(_ count: Int, _ job: EngineJob) throws(ClusterError) -> String {
    var system = system
    system.prepare(shell)
    let copy = BatchLauncher(system, options, shell.environment)
    let perJob = system.followsArrays ? options.perJob : 1
    let first = copy.planned(0..<min(count, perJob ?? count), job)
    let words = ShellText.line(copy.submitWords(first)) + (kind.readsScriptFromInput ? " < \(ShellText.quoted(first.script))" : "")
    let jobs = perJob.map { (count + $0 - 1) / max(1, $0) } ?? 1
    let many = jobs > 1 ? ", and \(jobs - 1) more like it" : ""
    if job.isController { return "\(words)    # the controller\n\n\(try copy.script(first, job))" }
    return "\(words)    # \(first.engines.count) of \(count) engines\(many)\n\n\(try copy.script(first, job))"
  }

  // MARK: life

  public mutating func states() throws(ClusterError) -> [Int: EngineState] {
    if settles, jobs.contains(where: { isInherited($0) }) { recover(waiting: .zero) }
    let open = jobs.indices.filter { job in
      jobs[job].isSubmitted && jobs[job].engines.contains { ended[$0] == nil && isCurrent(job, for: $0) }
    }
    guard !open.isEmpty else { return ended.mapValues { .ended($0) } }
    let listed = try list(open)
    // A job that its system starts again has all its engines again, whenever they ended: it waits first. That one runs is no proof: how it ended may
    // stand in a file that cannot be read this time, or not as far as that.
    for index in open {
      for engine in jobs[index].engines { if case .waiting = listed[engine] { ended[engine] = nil } }
    }
    var states = ended.mapValues { EngineState.ended($0) }
    let (system, kind, shell) = (system, kind, shell)
    for index in open {
      let job = jobs[index]
      // A system that tells of jobs, and not of their processes, is asked once for all of one.
      var told: [EngineEnd?: EngineEnd?] = [:]
      func end(of engine: Int, known: EngineEnd?) -> EngineEnd? {
        if kind.tellsOfJobs, let before = told[known] { return before }
        let end = system.end(of: engine, in: job, known: known, shell)
        told[known] = .some(end)
        return end
      }
      for engine in job.engines where ended[engine] == nil && isCurrent(index, for: engine) {
        switch listed[engine] {
        case .ended(let known): states[engine] = finish(engine, end(of: engine, known: known) ?? known)
        case .running(let host):
          unlisted[engine] = nil
          hosts[engine] = host
          states[engine] = .running(host)
        case .waiting(let reason):
          unlisted[engine] = nil
          states[engine] = .waiting(reason)
        case nil: states[engine] = missing(engine, end(of: engine, known: nil))
        }
      }
    }
    return states
  }

  /// An engine that was started again belongs to its latest job.
  private func isCurrent(_ job: Int, for engine: Int) -> Bool {
    jobs.lastIndex { $0.isSubmitted && $0.engines.contains(engine) } == job
  }

  /// How the engines of jobs are, each by its latest job.
  private func list(_ indices: [Int]) throws(ClusterError) -> [Int: EngineState] {
    // To the system engines of different jobs are different ones.
    var first = 0
    var numbered: [BatchJob] = []
    for index in indices {
      var job = jobs[index]
      job.engines = first..<first + job.engines.count
      first = job.engines.upperBound
      numbered.append(job)
    }
    let listed = try system.list(numbered, shell)
    var states: [Int: EngineState] = [:]
    for (index, job) in zip(indices, numbered) {
      for engine in jobs[index].engines where isCurrent(index, for: engine) {
        states[engine] = listed[job.engines.lowerBound + jobs[index].place(of: engine)]
      }
    }
    return states
  }

  private mutating func finish(_ engine: Int, _ end: EngineEnd) -> EngineState {
    ended[engine] = end
    return .ended(end)
  }

  /// A system may list a job a moment after it took it, and its accounting may know of an end a moment later than its queue.
  private mutating func missing(_ engine: Int, _ end: @autoclosure () -> EngineEnd?) -> EngineState? {
    if deleted.contains(engine) { return finish(engine, .cancelled(by: "")) }
    if let end = end() { return finish(engine, end) }
    unlisted[engine, default: 0] += 1
    if unlisted[engine, default: 0] < Self.patience { return nil }
    return finish(engine, .vanished("\(kind.title) knows the job no more"))
  }

  public mutating func signal(_ signal: Int32, _ engines: Set<Int>) throws(ClusterError) {
    guard let command = options.signalCommand ?? kind.signalCommand else {
      throw ClusterError(.unsupported, "\(kind.title) has no command that sends signals to jobs")
    }
    let names = names(of: engines)
    if !names.isEmpty { _ = try shell.output(command + [String(signal)] + names) }
  }

  /// Whole jobs where all of one is meant.
  private func names(of engines: Set<Int>) -> [String] {
    jobs.indices.flatMap { index -> [String] in
      let job = jobs[index]
      let open = job.engines.filter { ended[$0] == nil && isCurrent(index, for: $0) }
      let meant = open.filter(engines.contains)
      if meant.isEmpty { return [] }
      let isAll = meant.count == open.count
      return system.names(job, engines: isAll || !job.isArray ? nil : meant.map(job.place))
    }
  }

  public mutating func stop(_ engines: Set<Int>, isForced: Bool) throws(ClusterError) {
    let names = names(of: engines)
    guard !names.isEmpty else { return }
    var words = options.deleteCommand ?? kind.deleteCommand
    if isForced, options.deleteCommand == nil, let kill = kind.killCommand { words = kill }
    var result = try shell.run(words + names)
    // Not every dialect knows how to do it by force.
    if isForced, !result.isSuccess, words != kind.deleteCommand, options.deleteCommand == nil {
      words = kind.deleteCommand
      result = try shell.run(words + names)
    }
    if result.isSuccess { return deleted.formUnion(engines) }
    // Jobs that are over cannot be deleted, and need not be.
    let listed = try list(jobs.indices.filter { jobs[$0].isSubmitted })
    deleted.formUnion(engines.filter { listed[$0] == nil })
    let live = engines.filter { listed[$0].map { !$0.isEnded } ?? false }
    if !live.isEmpty { throw BatchShell.failure(words + names, result) }
  }

  private func job(of engine: Int) -> BatchJob? { jobs.last { $0.isSubmitted && $0.engines.contains(engine) } }

  public func output(of engine: Int, limit: Int) -> [String] {
    guard let job = job(of: engine) else { return [] }
    let own = "\(job.outputFile).\(job.place(of: engine) + kind.firstIndex)"
    let lines = FileSystem.lastLines(of: own, limit: limit)
    // What the system itself had to say, and the output of templates that have one file for all.
    return lines.isEmpty || !FileSystem.exists(own) ? FileSystem.lastLines(of: job.outputFile, limit: limit) : lines
  }

  public func place(of engine: Int) -> String {
    guard let job = job(of: engine) else { return "never submitted" }
    let name =
      job.engines.count > 1 ? system.names(job, engines: job.isArray ? [job.place(of: engine)] : nil).first ?? job.id : job.id
    return "job \(name)" + (hosts[engine].flatMap { $0.isEmpty ? nil : ", node \($0)" } ?? "")
  }

  public mutating func removeFiles(logsOf engines: Set<Int>) {
    for job in jobs {
      removeRecord(of: job)
      if options.scriptPath == nil { FileSystem.remove(job.script) }
      // Of a launcher that was killed while it wrote it.
      AtomicFile.removeUnfinished(job.script)
      for engine in job.engines where engines.contains(engine) {
        FileSystem.remove("\(job.outputFile).\(job.place(of: engine) + kind.firstIndex)")
      }
      if job.engines.allSatisfy(engines.contains) { FileSystem.remove(job.outputFile) }
    }
  }

  // MARK: state

  public func state(_ job: EngineJob) -> JSONObject {
    [
      "cluster_id": .string(job.clusterID), "profile_dir": .string(job.profile.location), "state": "running",
      "n": .int(Set(jobs.flatMap(\.engines)).subtracting(ended.keys).count), "job_id": .string(jobs.first?.id ?? ""),
      "batch_file_name": .string(jobs.first?.script ?? ""), "queue": .string(options.queue),
      "apus": [
        "launcher": .string(kind.name), "jobs": .array(jobs.map(\.json)),
        "delete_command": options.deleteCommand.map { JSONValue($0) } ?? .null,
        "keeps_script": .bool(options.scriptPath != nil), "job_id_regexp": options.jobIDPattern.map { .string($0) } ?? .null,
        "job_id_regexp_group": .int(options.jobIDGroup),
      ],
    ]
  }

  public init(reconnecting state: JSONObject, _ context: LauncherContext) throws(ClusterError) {
    let own = state["apus"]
    guard let name = own?["launcher"]?.stringValue, let system = LauncherRegistry.batchSystem(named: name) else {
      throw ClusterError(.damagedFile, "the cluster's file names no batch system")
    }
    var options = BatchOptions()
    options.deleteCommand = own?["delete_command"]?.stringArrayValue
    options.queue = state["queue"]?.stringValue ?? ""
    options.jobIDPattern = own?["job_id_regexp"]?.stringValue
    options.jobIDGroup = own?["job_id_regexp_group"]?.intValue ?? 0
    if own?["keeps_script"]?.boolValue == true { options.scriptPath = state["batch_file_name"]?.stringValue }
    self.init(system, options, context.environment)
    self.system.prepare(shell)
    jobs = (own?["jobs"]?.arrayValue ?? []).compactMap { BatchJob($0) }
    shell.deadline = context.deadline
    inherited = Set(jobs.filter { !$0.isSubmitted }.compactMap(\.record))
    if context.settles {
      settles = true
      recover(waiting: context.deadline.map { $0 - MonotonicClock.now } ?? shell.limit)
    }
    // As ipyparallel keeps it.
    if own?["jobs"] == nil, let id = state["job_id"]?.stringValue, !id.isEmpty {
      jobs = [
        BatchJob(
          id: id, engines: 0..<max(1, state["n"]?.intValue ?? 1), outputFile: state["output_file"]?.stringValue ?? "", script: "")
      ]
    }
  }
}
