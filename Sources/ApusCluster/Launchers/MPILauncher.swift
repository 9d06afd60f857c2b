public import ApusMessaging
import ApusProcess
import Glibc

/// Engines as the ranks of one MPI program, started by `mpiexec` of this host; their ids are their ranks.
public struct MPILauncher: Launcher {
  public static let name = "mpi"
  public let isImmediate = true

  struct Options: Sendable, Hashable {
    var command = ["mpiexec"]
    var arguments: [String] = []
    /// Path of a file of hosts.
    var hostsFile: String?
  }

  private let options: Options
  private var process: ChildProcess?
  private var isChild = true
  /// Of a set that was taken over: its number may be another process's by now.
  private var isMpiexecGone = false
  private var engines = 0..<0
  private var end: EngineEnd?
  private var ranks: [Int: EngineEnd] = [:]
  private var markValue = ""

  public var size: Int { engines.upperBound }

  init(_ options: Options) { self.options = options }

  private func words(_ count: Int, _ job: EngineJob) -> [String] {
    var words = options.command + ["-n", String(count)]
    if let file = options.hostsFile { words += ["-machinefile", file] }
    words += options.arguments
    // Ranks of other hosts get no environment from some kinds of mpiexec.
    var variables = job.variables
    variables[EngineJob.mark] = job.markValue
    variables[EngineJob.index] = EngineJob.indexRule(from: 0, base: 0, "OMPI_COMM_WORLD_RANK,PMI_RANK,PMIX_RANK")
    words += ["/usr/bin/env"] + variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    if job.isController { return words + EngineJob.words(job.command.arguments, sourcing: job.environmentScript) }
    var engine = job.command.arguments + ["--mpi"]
    if !sendsInfo(job) { engine.append("--file=\(job.profile.connectionFile("engine", clusterID: job.clusterID))") }
    return words + EngineJob.words(engine, sourcing: job.environmentScript)
  }

  private func sendsInfo(_ job: EngineJob) -> Bool { !job.isController && (job.sendsConnectionInfo ?? (options.hostsFile == nil)) }

  public mutating func start(_ engines: Range<Int>, _ job: EngineJob) throws(ClusterError) {
    if process != nil, end == nil {
      throw ClusterError(.refused, "the ranks of one MPI program are as many as they were started, and it runs")
    }
    let words = words(engines.count, job)
    var command = ChildProcess.Command(
      program: words.first ?? "", arguments: words, environment: job.environment(withInfo: sendsInfo(job)))
    command.environment[EngineJob.localMark] = job.markValue
    self.engines = engines
    (end, ranks) = (nil, [:])
    markValue = job.markValue
    do throws(ProcessError) { process = try ChildProcess.start(command, outputFile: "\(job.logStem).log") } catch {
      end = .refused(error.reason)
      throw ClusterError(
        ClusterError(error).exitCode, error.reason,
        advice: "Is MPI installed on this machine? MPILauncher.mpi_cmd names its mpiexec.")
    }
  }

  public mutating func states() throws(ClusterError) -> [Int: EngineState] {
    if end == nil, let process {
      if isChild {
        end = process.endedStatus().map { EngineEnd($0) }
        // A rank that loses mpiexec lives on, and waits for the others for ever.
        if end != nil { endRanks() }
      } else if isMpiexecGone || !ProcessTable.isRunning(process.pid) {
        isMpiexecGone = true
        // Whoever only asks ends nobody: `stop` does.
        if marked().isEmpty { end = .vanished("") }
      }
      if end != nil {
        let lines = FileSystem.lastLines(of: process.outputFile, limit: 0)
        ranks = MPIReport.ranks(in: lines)
        if ranks.isEmpty, let signal = MPIReport.signal(in: lines) { end = .signaled(signal) }
      }
    }
    return Dictionary(uniqueKeysWithValues: engines.map { ($0, state(of: $0)) })
  }

  private func state(of engine: Int) -> EngineState {
    guard let end else { return .running("") }
    let rank = engine - engines.lowerBound
    if let own = ranks[rank] { return .ended(own) }
    if let first = ranks.keys.min(), !end.isSuccess { return .ended(.withRank(first)) }
    return .ended(end)
  }

  /// Processes of this host that carry the mark of the set, mpiexec excepted.
  private func marked() -> [Int32] {
    ProcessTable.marked(EngineJob.mark, markValue).filter { $0 != process?.pid }
  }

  private func endRanks() {
    for signal in [SIGTERM, SIGKILL] {
      let deadline = MonotonicClock.now + .seconds(1)
      var left = marked()
      for pid in left { kill(pid, signal) }
      while !left.isEmpty, MonotonicClock.now < deadline {
        var descriptors = left.compactMap { ProcessDescriptor.open($0) }.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        _ = poll(&descriptors, nfds_t(descriptors.count), 20)
        for descriptor in descriptors { close(descriptor.fd) }
        left = left.filter(ProcessTable.isRunning)
      }
      if left.isEmpty { return }
    }
  }

  /// To the ranks themselves: what mpiexec makes of a signal differs from one MPI to the next.
  public mutating func signal(_ signal: Int32, _ engines: Set<Int>) throws(ClusterError) {
    guard end == nil else { return }
    let ranks = marked()
    if ranks.isEmpty, !isMpiexecGone { process?.send(signal) }
    for pid in ranks { kill(pid, signal) }
  }

  public mutating func stop(_ engines: Set<Int>, isForced: Bool) throws(ClusterError) {
    guard end == nil, let process else { return }
    if isForced || isMpiexecGone { for pid in marked() { kill(pid, isForced ? SIGKILL : SIGTERM) } }
    if !isMpiexecGone { process.send(isForced ? SIGKILL : SIGTERM) }
  }

  public func output(of engine: Int, limit: Int) -> [String] {
    // One log for all: with it the first is enough.
    guard engine == ranks.keys.min().map({ $0 + engines.lowerBound }) ?? engines.lowerBound, let process else { return [] }
    return FileSystem.lastLines(of: process.outputFile, limit: limit)
  }

  public func place(of engine: Int) -> String {
    "rank \(engine - engines.lowerBound)" + (process.map { " of mpiexec, process \($0.pid)" } ?? "")
  }

  public mutating func removeFiles(logsOf engines: Set<Int>) {
    if let process, self.engines.allSatisfy(engines.contains) { FileSystem.remove(process.outputFile) }
  }

  public func state(_ job: EngineJob) -> JSONObject {
    let pid = JSONValue.int(Int(process?.pid ?? -1))
    return [
      "cluster_id": .string(job.clusterID), "n": .int(engines.count), "output_file": .string(process?.outputFile ?? ""), "pid": pid,
      "profile_dir": .string(job.profile.location), "state": "running",
      "apus": ["launcher": .string(Self.name), "mark": .string(job.markValue), "pid": pid],
    ]
  }

  public init(reconnecting state: JSONObject, _ context: LauncherContext) throws(ClusterError) {
    options = Options()
    isChild = false
    engines = 0..<max(0, min(1_000_000, state["n"]?.intValue ?? 1))
    markValue = state["apus"]?["mark"]?.stringValue ?? ""
    let pid = state["pid"]?.intValue.flatMap { Int32(exactly: $0) } ?? -1
    let known = ClusterFile.Process(pid: pid, outputFile: state["output_file"]?.stringValue ?? "")
    let file = ClusterFile(clusterID: state["cluster_id"]?.stringValue ?? "", profile: state["profile_dir"]?.stringValue ?? "")
    if pid > 1, ProcessTable.isAlive(known, of: file) {
      process = ChildProcess(pid: pid, outputFile: known.outputFile)
    } else if marked().isEmpty {
      end = .vanished("")
    } else {
      // mpiexec was killed, its ranks were not.
      isMpiexecGone = true
      process = ChildProcess(pid: Int32.max, outputFile: known.outputFile)
    }
  }

  public func preview(_ count: Int, _ job: EngineJob) throws(ClusterError) -> String { ShellText.line(words(count, job)) + "\n" }
}

/// What `mpiexec` says of the rank whose end ended all.
enum MPIReport {
  static func ranks(in lines: [String]) -> [Int: EngineEnd] {
    var ranks: [Int: EngineEnd] = [:]
    var last: Int?
    for line in lines {
      let words = line.split(separator: " ").map(String.init)
      // Open MPI: mpiexec noticed that process rank 1 with PID 0 on node n exited on signal 9 (Killed).
      if let place = words.firstIndex(of: "rank"), place + 1 < words.count, let rank = Int(words[place + 1]),
        let signal = words.firstIndex(of: "signal"), signal + 1 < words.count, let number = Int32(words[signal + 1])
      {
        ranks[rank] = .signaled(number)
      }
      // Open MPI:   Process name: [[1234,1],1], and two lines later   Exit code:    3
      if line.hasPrefix("  Process name:"), let name = words.last?.split(separator: ",").last,
        let rank = Int(name.prefix { $0.isNumber })
      {
        ranks[rank] = ranks[rank] ?? .exited(1)
        last = rank
      }
      if line.hasPrefix("  Exit code:"), let rank = last, let code = words.last.flatMap({ Int32($0) }) {
        ranks[rank] = .ofShell(code)
      }
    }
    return ranks
  }

  /// MPICH tells how, and not which: YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9).
  static func signal(in lines: [String]) -> Int32? {
    for line in lines where line.contains("TERMINATED WITH THE EXIT STRING") {
      guard let mark = line.firstRange(of: "(signal ") else { continue }
      return Int32(line[mark.upperBound...].prefix { $0.isNumber })
    }
    return nil
  }
}
