public import ApusMessaging
public import ApusProcess
import Glibc

/// Engines on other hosts, over one connection of `ssh` to each, which is kept: a host is one command away, whatever is asked of it.
public struct SSHLauncher: Launcher {
  public static let name = "ssh"
  public let isImmediate = false

  /// What users say of all hosts.
  struct Options: Sendable, Hashable {
    var sshCommand = ["ssh"]
    var sshArguments: [String] = []
    var python = "python3"
    /// Below the home directory there; empty is none.
    var profileDirectory = ""
    /// Files to send: path here, path there.
    var files: [String: String] = [:]
    /// How long a host may take until it is connected to. One that does not answer in that time is not waited for at the end.
    var connectTimeout: Duration = .seconds(10)
  }

  /// A host with its engines.
  struct Site: Sendable {
    var host: SSHHost
    /// Where its files are, there; empty until engines were started.
    var directory = ""
    /// Basename of that directory, chosen here before the host hears of it.
    var name = ""
    /// Engines of a start that was not answered: they may run there, or may be about to.
    var planned: Set<Int> = []
    /// The same, of a set whose launcher may be at work: who only asks how it is leaves these to it.
    var noted: Set<Int> = []
    /// Those of `planned` that the host has not been told of: there is nothing to look for.
    var unsent: Set<Int> = []
    /// Processes that engines had which are started again there: what the host has noted of these is no answer to the start.
    var former: [Int: (pid: Int, start: JSONValue)] = [:]
    /// Times in a row that the host did not answer, since its engines were to end; that it took too long counts for all of them.
    var failures = 0
    /// Whether nothing of the set is left on that host.
    var isEmpty = false
    /// Engine to process and the moment it began, as the host's system tells it.
    var processes: [Int: (pid: Int, start: JSONValue)] = [:]

    mutating func plan(_ engines: some Sequence<Int>) {
      planned.formUnion(engines)
      unsent.formUnion(engines)
      for engine in engines { if let process = processes.removeValue(forKey: engine) { former[engine] = process } }
    }

    /// Nobody has to look for these any more.
    mutating func forget(_ engines: some Sequence<Int>) {
      planned.subtract(engines)
      unsent.subtract(engines)
    }

    /// Where it is started again.
    func had(_ engine: Int) -> Bool { processes[engine] != nil || planned.contains(engine) || former[engine] != nil }
  }

  var options: Options
  let environment: Environment
  private let counts: [Int]
  var sites: [Site]
  var ended: [Int: EngineEnd] = [:]
  /// Directory of the sockets of kept connections; made before the first is.
  var sockets: String?
  /// That of the launcher that was taken over from, which may have been killed.
  var formerSockets: String?
  /// Connection files of a controller there that are not here yet: path there, path here.
  private var awaitedFiles: [String: String] = [:]
  /// What was in their places here before the start.
  private var formerFiles: [String: FileSystem.Version] = [:]
  var interruption: Interruption?
  /// When a start that was not answered is looked into, unless its engines are to end before that.
  private var searchDue = Duration.zero
  /// Until when hosts may take that are to end engines: all of them, in however many steps.
  var endDeadline: Duration?
  /// When whoever asks wants to have been answered.
  var deadline: Duration?
  var isStopping = false
  /// Why a host did not do what it was asked, the last time that one did not.
  var lastFailure: ClusterError?

  /// - Parameter counts: engines of each host.
  init(_ hosts: [SSHHost], counts: [Int], _ options: Options, _ environment: Environment) {
    sites = hosts.map { Site(host: $0) }
    self.counts = counts
    self.options = options
    self.environment = environment
  }

  public var size: Int { (known.max() ?? -1) + 1 }
  public var known: Set<Int> {
    sites.reduce(into: []) {
      $0.formUnion($1.processes.keys); $0.formUnion($1.planned)
    }
  }
  public var unanswered: Set<Int> { sites.reduce(into: []) { $0.formUnion($1.planned.subtracting($1.unsent).union($1.noted)) } }
  public var awaitsFiles: Bool { !awaitedFiles.isEmpty }

  public mutating func heed(_ interruption: Interruption) { self.interruption = interruption }

  // MARK: start

  public mutating func plan(_ engines: Range<Int>, _ job: EngineJob) -> [Range<Int>] {
    // So that the cluster's file names them before there is a connection: whoever takes over from a launcher that was killed ends it.
    makeSockets()
    for (index, share) in shares(of: engines).enumerated() where !share.isEmpty {
      if sites[index].name.isEmpty {
        sites[index].name =
          sites[index].directory.isEmpty ? "apus-engines-\(SessionID.random().text.prefix(24))" : Path.name(sites[index].directory)
      }
      sites[index].plan(share)
    }
    for kind in ["client", "engine"] where job.isController {
      let path = job.profile.connectionFile(kind, clusterID: job.clusterID)
      formerFiles[path] = FileSystem.version(of: path)
    }
    return engines.isEmpty ? [] : [engines]
  }

  public mutating func start(_ engines: Range<Int>, _ job: EngineJob) throws(ClusterError) {
    if !known.isSuperset(of: engines) || sites.contains(where: { $0.name.isEmpty }) { _ = plan(engines, job) }
    let shares = shares(of: engines)
    let used = sites.indices.filter { !shares[$0].isEmpty }
    let files = try contents()
    for engine in engines { ended[engine] = nil }
    do throws(ClusterError) {
      let orders = used.map { (site: $0, order: order(sites[$0], shares[$0], job, files)) }
      let answers: [Result<JSONValue, ClusterError>]
      do throws(ClusterError) {
        answers = try ask(
          orders, job.isController ? RemoteScript.startController : RemoteScript.start, limit: .seconds(60), grace: .seconds(5))
      } catch {
        for index in used { sites[index].forget(engines) }
        throw error
      }
      var failure: ClusterError?
      for (index, answer) in zip(used, answers) {
        sites[index].unsent.subtract(engines)
        switch answer {
        case .success(let answer):
          sites[index].forget(engines)
          let refusal = started(index, answer, job)
          failure = failure ?? refusal
        case .failure(let error):
          // One that takes too long, or whose connection broke meanwhile, may start them yet: they are looked for.
          if !Self.mayHaveBegun(error) { sites[index].forget(engines) }
          failure = failure ?? error
        }
      }
      if let failure { throw failure }
    } catch {
      searchDue = MonotonicClock.now + .seconds(2)
      // What may have begun is neither there nor gone.
      for engine in engines.filter({ !known.contains($0) }) { ended[engine] = .refused(error.reason) }
      throw error
    }
  }

  /// Whether a host that gave no answer may have been told to start something.
  static func mayHaveBegun(_ error: ClusterError) -> Bool {
    if error.exitCode == .timedOut { return true }
    // What ssh says of a connection that was there already.
    return ["closed by remote host", "not responding", "client_loop:", "Broken pipe"].contains { error.reason.contains($0) }
      && !error.reason.contains("kex_exchange_identification")
  }

  /// - Returns: what the host could not do.
  private mutating func started(_ index: Int, _ answer: JSONValue, _ job: EngineJob) -> ClusterError? {
    for kind in ["client", "engine"] where job.isController {
      guard let path = answer["connection_files"]?[kind]?.stringValue else { continue }
      awaitedFiles[path] = job.profile.connectionFile(kind, clusterID: job.clusterID)
    }
    let refusal = fetched(answer)
    note(engines: answer, of: index)
    guard let words = answer["error"]?.stringValue, !words.isEmpty else { return refusal }
    return ClusterError(
      .refused,
      "no \(job.isController ? "controller" : "engine") could be started on \(sites[index].host.name): \(words)",
      advice:
        "Install Apus there (pip install apus), or name an interpreter that has it: SSHLauncher.remote_python, or \(job.isController ? "controller" : "engine")_cmd."
    )
  }

  /// Writes connection files that a host has sent.
  private mutating func fetched(_ answer: JSONValue) -> ClusterError? {
    let members = answer["fetched"]?.objectValue?.members ?? []
    let found = members.compactMap { there, text in
      awaitedFiles[there].flatMap { here in text.stringValue.map { (there: there, here: here, text: $0) } }
    }
    // The launcher asked before the start whether a controller has this place; one may have taken it meanwhile.
    if let taken = found.first(where: { FileSystem.version(of: $0.here) != formerFiles[$0.here] }) {
      awaitedFiles = [:]
      return ClusterError(
        .alreadyRunning, "another controller has written its connection files meanwhile, and they stay: \(taken.here)",
        advice: "--cluster-id=NAME starts another one beside it.")
    }
    for file in found {
      do throws(FileError) {
        try AtomicFile.write(Array(file.text.utf8), to: file.here, mode: 0o600)
        awaitedFiles[file.there] = nil
      } catch { return ClusterError(.cannotWrite, "the controller's connection file could not be written: \(error)") }
    }
    return nil
  }

  /// Engines of each host: where they were, where they are started again; else in the order of the hosts, and where that has come to its end,
  /// on the host that has the fewest for its size.
  private func shares(of engines: Range<Int>) -> [[Int]] {
    var shares = [[Int]](repeating: [], count: sites.count)
    var live = sites.map { $0.processes.keys.filter { ended[$0] == nil && !engines.contains($0) }.count }
    for engine in engines {
      let before = sites.firstIndex { $0.had(engine) }
      let free = sites.indices.first { $0 < counts.count && live[$0] < counts[$0] }
      let fewest = sites.indices.min { load($0, live[$0]) < load($1, live[$1]) }
      guard let site = before ?? free ?? fewest else { continue }
      shares[site].append(engine)
      live[site] += 1
    }
    return shares
  }

  private func load(_ site: Int, _ live: Int) -> Double { Double(live) / Double(site < counts.count ? max(1, counts[site]) : 1) }

  private func order(_ site: Site, _ engines: [Int], _ job: EngineJob, _ files: JSONObject) -> JSONValue {
    let host = site.host
    var variables = job.variables
    // Paths of this host.
    for name in ["IPYTHONDIR", "IPP_PROFILE_DIR", "PYTHONPATH"] { variables[name] = nil }
    for (name, value) in host.environment { variables[name] = value }
    variables[EngineJob.mark] = job.markValue
    let own = host.engineCommand ?? job.foreignCommand
    if job.isController { variables["APUS_PYTHON"] = nil }
    return [
      "program": .string(job.command.program), "cluster_id": .string(job.clusterID),
      "locates": .bool(!job.engineArguments.contains { $0.hasPrefix("--location") || $0.hasPrefix("--IPController.location") }),
      "variables": .object(
        JSONObject(members: variables.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) })),
      "script": (host.environmentScript ?? job.environmentScript).map { .string($0) } ?? .null,
      "command": own.map { JSONValue($0) } ?? .null, "package": job.packageDirectory.map { .string($0) } ?? .null,
      "arguments": JSONValue(job.engineArguments + host.engineArguments),
      "profile": .string(host.profileDirectory ?? options.profileDirectory),
      "connection": .string(job.connectionInfo ?? ""), "directory": .string(site.directory), "name": .string(site.name),
      "index_variable": .string(EngineJob.index), "indices": .array(engines.map { .int($0) }), "files": .object(files),
    ]
  }

  private func contents() throws(ClusterError) -> JSONObject {
    var files = JSONObject()
    for (here, there) in options.files.sorted(by: { $0.key < $1.key }) {
      do throws(FileError) { files[there] = .string(Base64.text(try AtomicFile.read(Path.expanded(here, environment)))) } catch {
        throw ClusterError(.missingFile, "a file of SSHLauncher.to_send: \(error)")
      }
    }
    return files
  }

  // MARK: hosts

  /// For each host that has engines that have not ended: all of them, or those that are meant.
  func orders(_ engines: Set<Int>? = nil, adding more: JSONObject = [:]) -> [Order] {
    open(engines).map { ($0, order($0, engines, more)) }
  }

  func order(_ index: Int, _ engines: Set<Int>?, _ more: JSONObject) -> JSONValue {
    var object = more
    object["directory"] = .string(sites[index].directory)
    let meant = sites[index].processes.filter { ended[$0.key] == nil && engines?.contains($0.key) != false }.sorted {
      $0.key < $1.key
    }
    object["engines"] = .object(
      JSONObject(members: meant.map { (key: String($0.key), value: .array([.int($0.value.pid), $0.value.start])) }))
    return .object(object)
  }

  func open(_ engines: Set<Int>? = nil) -> [Int] {
    sites.indices.filter { index in
      sites[index].processes.keys.contains { ended[$0] == nil && engines?.contains($0) != false }
    }
  }

  // MARK: life

  public mutating func states() throws(ClusterError) -> [Int: EngineState] {
    if isStopping || MonotonicClock.now >= searchDue, sites.contains(where: { !$0.planned.isSubset(of: $0.unsent) }) {
      let found = searchQuietly()
      // They were to end before anybody knew of them.
      if isStopping, !found.isEmpty { return try end(found, isForced: false) }
    }
    let fetch: JSONObject = awaitedFiles.isEmpty ? [:] : ["fetch": JSONValue(awaitedFiles.keys.sorted())]
    return try look(orders(adding: fetch), RemoteScript.states)
  }

  /// - Throws: where nothing is known of any engine; a host that does not answer leaves its engines as they were.
  mutating func look(_ orders: [Order], _ script: String) throws(ClusterError) -> [Int: EngineState] {
    var states: [Int: EngineState] = [:]
    var failure: ClusterError?
    if !orders.isEmpty {
      for (index, answer) in zip(orders.map(\.site), try isStopping ? askToEnd(orders, script) : ask(orders, script)) {
        switch answer {
        case .success(let found):
          note(found, of: index, in: &states)
          failure = fetched(found) ?? failure
        case .failure(let error): failure = error
        }
      }
    }
    for (engine, end) in ended { states[engine] = .ended(end) }
    if !isStopping { lastFailure = failure ?? lastFailure }
    if let failure, [.cannotWrite, .alreadyRunning].contains(failure.exitCode) || states.isEmpty { throw failure }
    return states
  }

  private mutating func note(_ found: JSONValue, of index: Int, in states: inout [Int: EngineState]) {
    for (name, value) in found.objectValue?.members ?? [] {
      guard let engine = Int(name), sites[index].processes[engine] != nil else { continue }
      if let code = value.intValue.flatMap({ Int32(exactly: $0) }) {
        ended[engine] = code < 0 ? .signaled(-code) : .exited(code)
      } else if value.stringValue != nil {
        ended[engine] = .vanished("its process is gone, and nobody saw how")
      } else {
        states[engine] = .running(sites[index].host.name)
      }
    }
  }

  public mutating func signal(_ signal: Int32, _ engines: Set<Int>) throws(ClusterError) {
    _ = try look(orders(engines, adding: ["signal": .int(Int(signal))]), RemoteScript.signal)
  }

  mutating func note(engines answer: JSONValue, of index: Int) {
    sites[index].directory = answer["directory"]?.stringValue ?? sites[index].directory
    sites[index].isEmpty = false
    for (name, process) in answer["engines"]?.objectValue?.members ?? [] {
      guard let engine = Int(name), let pid = process.arrayValue?.first?.intValue, pid > 1, let start = process.arrayValue?.last
      else {
        continue
      }
      sites[index].processes[engine] = (pid, start)
      sites[index].former[engine] = nil
    }
  }

  public func output(of engine: Int, limit: Int) -> [String] {
    var copy = self
    guard let index = sites.firstIndex(where: { $0.processes[engine] != nil }) else { return [] }
    let order: JSONValue = ["directory": .string(sites[index].directory), "log": .string("\(engine).log"), "limit": .int(limit)]
    guard case .success(let lines)? = try? copy.ask([(index, order)], RemoteScript.output).first else { return [] }
    return lines.stringArrayValue ?? []
  }

  public func place(of engine: Int) -> String {
    guard let site = sites.first(where: { $0.processes[engine] != nil }), let process = site.processes[engine] else {
      return "never started"
    }
    return "process \(process.pid) on \(site.host.name)"
  }

  // MARK: state

  public func state(_ job: EngineJob) -> JSONObject {
    let used = sites.filter { !$0.directory.isEmpty || !$0.planned.isEmpty }
    return [
      "cluster_id": .string(job.clusterID), "profile_dir": .string(job.profile.location), "state": "running",
      "n": .int(known.count), "engines": [:],
      "apus": [
        "launcher": .string(Self.name), "ssh_cmd": JSONValue(options.sshCommand), "ssh_args": JSONValue(options.sshArguments),
        "sockets": sockets.map { .string($0) } ?? .null, "connect_timeout": .double(options.connectTimeout.seconds),
        "hosts": .array(used.map { json(of: $0) }),
      ],
    ]
  }

  private func json(of site: Site) -> JSONValue {
    [
      "destination": .string(site.host.destination), "port": site.host.port.map { .int($0) } ?? .null,
      "ssh_args": JSONValue(site.host.sshArguments), "python": .string(site.host.python ?? options.python),
      "directory": .string(site.directory), "name": .string(site.name),
      "planned": .array(site.planned.sorted().map { .int($0) }),
      "engines": .object(
        JSONObject(
          members: site.processes.merging(site.former.filter { site.planned.contains($0.key) }, uniquingKeysWith: { own, _ in own })
            .sorted { $0.key < $1.key }.map {
              (key: String($0.key), value: .array([.int($0.value.pid), $0.value.start]))
            })),
    ]
  }

  public init(reconnecting state: JSONObject, _ context: LauncherContext) throws(ClusterError) {
    let own = state["apus"]
    options = Options(
      sshCommand: own?["ssh_cmd"]?.stringArrayValue ?? ["ssh"], sshArguments: own?["ssh_args"]?.stringArrayValue ?? [])
    if let seconds = own?["connect_timeout"]?.doubleValue, seconds > 0, seconds < 1e6 {
      options.connectTimeout = .milliseconds(Int(seconds * 1000))
    }
    options.connectTimeout = context.connectTimeout ?? options.connectTimeout
    deadline = context.deadline
    environment = context.environment
    counts = []
    sites = []
    formerSockets = own?["sockets"]?.stringValue
    for entry in own?["hosts"]?.arrayValue ?? [] {
      guard var host = SSHHost(entry["destination"]?.stringValue ?? "") else {
        throw ClusterError(.damagedFile, "the cluster's file names a host that is none: \(entry.text)")
      }
      host.port = entry["port"]?.intValue ?? host.port
      host.python = entry["python"]?.stringValue
      host.sshArguments = entry["ssh_args"]?.stringArrayValue ?? []
      var site = Site(host: host, directory: entry["directory"]?.stringValue ?? "")
      site.name = entry["name"]?.stringValue ?? ""
      if !site.name.isEmpty {
        let planned = Set((entry["planned"]?.arrayValue ?? []).compactMap(\.intValue).filter { (0..<1_000_000).contains($0) })
        if context.settles { site.planned = planned } else { site.noted = planned }
      }
      for (name, process) in entry["engines"]?.objectValue?.members ?? [] {
        guard let engine = Int(name), let pid = process.arrayValue?.first?.intValue, pid > 1 else { continue }
        site.processes[engine] = (pid, process.arrayValue?.last ?? .null)
      }
      for engine in site.planned.union(site.noted) { site.former[engine] = site.processes.removeValue(forKey: engine) }
      sites.append(site)
    }
  }

  public func preview(_ count: Int, _ job: EngineJob) throws(ClusterError) -> String {
    let shares = shares(of: 0..<count)
    return sites.indices.filter { !shares[$0].isEmpty }.map { index in
      let host = sites[index].host
      let python = host.python ?? options.python
      let own = host.engineCommand ?? job.foreignCommand
      let command =
        job.isController
        ? (own ?? [job.command.program, "controller"]) + job.engineArguments
        : (own ?? [python, "-m", "apus.engine"]) + ["--file=CONNECTION"] + job.engineArguments + host.engineArguments
      let count = shares[index].count
      let number = job.isController ? "the controller" : count == 1 ? "once" : "\(count) times"
      return "\(ShellText.line(words(host, [python, "-"])))    # \(number): \(ShellText.line(command))\n"
    }.joined()
  }
}
