import ApusProcess
import Glibc

/// Slurm: one job of n tasks, which `srun` starts.
struct Slurm: BatchSystem {
  static let name = "slurm"
  static let title = "Slurm"
  static let classStem = "Slurm"
  static let submitCommand = ["sbatch"]
  static let deleteCommand = ["scancel"]
  static let killCommand: [String]? = ["scancel", "--signal=KILL"]
  static let signalCommand: [String]? = ["scancel", "-s"]
  static let scriptName = "slurm_engine.sbatch"
  static let firstIndex = 0
  static let tellsOfJobs = true
  static let indexVariables = "SLURM_PROCID"

  func template(_ options: BatchOptions, engines: Int) -> String {
    var lines = [
      "#!/bin/sh", "#SBATCH --export=ALL", "#SBATCH --job-name=ipengine-{cluster_id}", "#SBATCH --ntasks={n}",
      "#SBATCH --output={output_file}", "#SBATCH --open-mode=append",
      // After the loss of a node Slurm would start the same engines again two minutes later, for a controller that may be gone.
      "#SBATCH --no-requeue",
    ]
    lines += arguments(options).map { "#SBATCH \($0)" }
    // Where somebody wants it nevertheless: what srun said of the run before is not of this one.
    lines.append("echo \"\(Self.runBegins) $SLURM_RESTART_COUNT\"")
    // One engine's death is not the others'.
    lines += ["srun --kill-on-bad-exit=0 --output={output_path}.%t {program_and_args}", ""]
    return lines.joined(separator: "\n")
  }

  func arguments(_ options: BatchOptions) -> [String] {
    var words: [String] = []
    if !options.queue.isEmpty { words.append("--partition=\(options.queue)") }
    if !options.account.isEmpty { words.append("--account=\(options.account)") }
    if !options.qos.isEmpty { words.append("--qos=\(options.qos)") }
    if !options.timeLimit.isEmpty { words.append("--time=\(options.timeLimit)") }
    words += options.extra.split(whereSeparator: \.isWhitespace).map(String.init)
    return words
  }

  /// `Submitted batch job 12`, or `12;cluster` with `--parsable`.
  func jobID(in output: String) -> String? {
    for line in output.split(whereSeparator: \.isNewline) {
      if let marker = line.firstRange(of: "batch job "), let id = Self.leadingNumber(line[marker.upperBound...]) { return id }
      if let id = Self.leadingNumber(line), line.count == id.count || line.dropFirst(id.count).first == ";" { return id }
    }
    return nil
  }

  static func leadingNumber(_ text: Substring) -> String? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    return digits.isEmpty ? nil : String(digits)
  }

  /// The tasks of a job have no names.
  func names(_ job: BatchJob, engines: [Int]?) -> [String] { [job.id] }

  func list(_ jobs: [BatchJob], _ shell: BatchShell) throws(ClusterError) -> [Int: EngineState] {
    let words = ["squeue", "-h", "-t", "all", "-j", jobs.map(\.id).joined(separator: ","), "-o", "%i|%T|%r|%N"]
    let result = try shell.run(words)
    if !result.isSuccess {
      // Older than MinJobAge, all of them.
      if result.errors.contains("Invalid job id") { return [:] }
      throw BatchShell.failure(words, result)
    }
    return Self.states(of: jobs, squeue: result.output) { ids in
      let words = ["squeue", "-h", "-t", "all", "-j", ids.joined(separator: ","), "-O", "jobid:20,restartcnt:20"]
      return Self.restarts(squeue: (try? shell.output(words)) ?? "")
    }
  }

  /// - Parameter restarts: how often Slurm has started jobs again; asked about those of which it matters.
  static func states(of jobs: [BatchJob], squeue text: String, restarts: (_ ids: [String]) -> [String: Int]) -> [Int: EngineState] {
    var found: [(job: BatchJob, state: EngineState, run: Int?, ended: [Int: EngineEnd])] = []
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
      guard fields.count >= 4, let job = jobs.first(where: { $0.id == fields[0].trimmed }) else { continue }
      let state = state(fields[1].trimmed, reason: fields[2].trimmed, node: fields[3].trimmed)
      let lines = FileSystem.lastLines(of: job.outputFile, limit: 0)
      found.append((job, state, latestRun(in: lines), tasksEnded(in: lines)))
    }
    // After the words were read: Slurm counts first, and ends a run then.
    let doubtful = found.filter { $0.run != nil && !$0.ended.isEmpty }.map(\.job.id)
    let counts = doubtful.isEmpty ? [:] : restarts(doubtful)
    var states: [Int: EngineState] = [:]
    for (job, state, run, words) in found {
      // While a job that is to come back is completing, and until its script has begun anew, they are of the run before.
      let isOfFormerRun = run.map { $0 < counts[job.id] ?? 0 } ?? false
      let ended = isOfFormerRun ? [:] : words
      for engine in job.engines {
        let task = ended[job.place(of: engine)]
        switch state {
        case .waiting: states[engine] = state
        case .running: states[engine] = task.map { .ended($0) } ?? state
        // Engines of a failed job that srun says nothing of, while it does of others, had nothing to be told of.
        case .ended(.exited(let code)): states[engine] = .ended(task ?? .exited(ended.isEmpty ? code : 0))
        case .ended(let end): states[engine] = .ended(task ?? end)
        }
      }
    }
    return states
  }

  private static func state(_ name: String, reason: String, node: String) -> EngineState {
    switch name {
    case "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD":
      return .waiting(reason == "None" ? "" : reason)
    case "COMPLETED": return .ended(.exited(0))
    case "FAILED": return .ended(.exited(1))
    case "TIMEOUT", "DEADLINE": return .ended(.timeLimit)
    case "OUT_OF_MEMORY": return .ended(.outOfMemory)
    case "NODE_FAIL", "BOOT_FAIL": return .ended(.nodeLost(node))
    case "CANCELLED", "REVOKED": return .ended(.cancelled(by: ""))
    case "PREEMPTED": return .ended(.preempted)
    // SUSPENDED, COMPLETING, STOPPED, SIGNALING, STAGE_OUT, RESIZING, and what newer versions may have: its processes are there.
    default: return .running(node)
    }
  }

  private static let runBegins = "apus: the job begins"

  /// What the script says at its beginning: how often the job had been started before.
  private static func run(beginningWith line: String) -> Int? {
    guard line.hasPrefix(runBegins) else { return nil }
    let count = line.dropFirst(runBegins.count)
    return count.allSatisfy(\.isWhitespace) ? 0 : Int(String(count).trimmed)
  }

  /// `nil` where the script does not say so, as users' own.
  static func latestRun(in lines: [String]) -> Int? {
    for line in lines.reversed() { if let run = run(beginningWith: line) { return run } }
    return nil
  }

  /// Lines of `id count`.
  static func restarts(squeue text: String) -> [String: Int] {
    var counts: [String: Int] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.split(whereSeparator: \.isWhitespace)
      if fields.count == 2, let count = Int(fields[1]) { counts[String(fields[0])] = count }
    }
    return counts
  }

  /// More engines are in no job.
  private static let mostTasks = 1_000_000

  /// What `srun` says of tasks: `srun: error: n1: task 1: Exited with exit code 3`, `srun: error: n1: tasks 0-2,5: Killed`.
  static func tasksEnded(in lines: [String]) -> [Int: EngineEnd] {
    var ended: [Int: EngineEnd] = [:]
    let latest = lines.lastIndex { run(beginningWith: $0) != nil }.map { lines[($0 + 1)...] } ?? lines[...]
    for line in latest where line.hasPrefix("srun: error: ") {
      let parts = line.dropFirst("srun: error: ".count).split(separator: ":", maxSplits: 2).map { String($0).trimmed }
      guard parts.count == 3, parts[1].hasPrefix("task") else { continue }
      let list = parts[1].split(separator: " ").last.map(String.init) ?? ""
      guard let end = taskEnd(parts[2]) else { continue }
      for task in IndexList.numbers(list, within: 0..<Self.mostTasks) { ended[task] = end }
    }
    return ended
  }

  private static func taskEnd(_ words: String) -> EngineEnd? {
    if words.hasPrefix("Exited with exit code "), let code = Int32(words.split(separator: " ").last ?? "") { return .ofShell(code) }
    if words.hasPrefix("Out Of Memory") { return .outOfMemory }
    let signals: [(String, Int32)] = [
      ("Killed", SIGKILL), ("Terminated", SIGTERM), ("Segmentation fault", SIGSEGV), ("Aborted", SIGABRT), ("Bus error", SIGBUS),
      ("Illegal instruction", SIGILL), ("Floating point exception", SIGFPE), ("Hangup", SIGHUP), ("Interrupt", SIGINT),
    ]
    return signals.first { words.hasPrefix($0.0) }.map { .signaled($0.1) }
  }

  func end(of engine: Int, in job: BatchJob, known: EngineEnd?, _ shell: BatchShell) -> EngineEnd? {
    switch known {
    case .cancelled(by: ""):
      // Only the accounting knows by whom, and small sites have none.
      guard let state = account(job, shell)?.state, let by = state.firstRange(of: "CANCELLED by ") else { return known }
      return .cancelled(by: Self.userName(state[by.upperBound...]))
    case .exited(let code) where code != 0:
      guard Self.tasksEnded(in: FileSystem.lastLines(of: job.outputFile, limit: 0)).isEmpty,
        let text = try? shell.output(["scontrol", "show", "job", "-o", job.id]), let field = text.firstRange(of: " ExitCode=")
      else { return known }
      return Self.exit(text[field.upperBound...].prefix { $0 != " " }) ?? known
    case nil:
      guard let record = account(job, shell) else { return nil }
      if case .ended(let end) = Self.state(String(record.state.prefix { $0 != " " }), reason: "", node: record.node) {
        if case .exited = end { return Self.exit(record.exitCode[...]) ?? end }
        return end
      }
      return nil
    default: return known
    }
  }

  /// `3:0` is exit code and signal.
  private static func exit(_ text: Substring) -> EngineEnd? {
    let parts = text.split(separator: ":").compactMap { Int32($0) }
    guard parts.count == 2 else { return nil }
    return parts[1] != 0 ? .signaled(parts[1]) : .ofShell(parts[0])
  }

  private func account(_ job: BatchJob, _ shell: BatchShell) -> (state: String, exitCode: String, node: String)? {
    guard let text = try? shell.output(["sacct", "-n", "-X", "-P", "-j", job.id, "-o", "State,ExitCode,NodeList"]) else {
      return nil
    }
    let fields = text.split(whereSeparator: \.isNewline).first?.split(separator: "|", omittingEmptySubsequences: false).map(
      String.init)
    guard let fields, fields.count == 3 else { return nil }
    return (fields[0], fields[1], fields[2])
  }

  private static func userName(_ text: Substring) -> String {
    guard let number = UInt32(String(text).trimmed), let entry = getpwuid(number) else { return String(text) }
    return String(cString: entry.pointee.pw_name)
  }
}
