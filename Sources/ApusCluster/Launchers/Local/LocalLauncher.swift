public import ApusMessaging
import ApusProcess
import Glibc

/// Engines as processes of this host, each in a session of its own.
public struct LocalLauncher: Launcher {
  public static let name = "local"
  public let isImmediate = true
  private var processes: [Int: ChildProcess] = [:]
  /// Whether they are our children, whose end we are told.
  private var areChildren = true
  private var ended: [Int: EngineEnd] = [:]
  private let clusterFile: ClusterFile
  /// Input of the processes that end with this one: it closes when this process is gone, whatever ends it.
  private let input: ChildProcess.Stream
  private let inputEnds: InputEnds?

  /// Open for as long as a launcher is there.
  private final class InputEnds: Sendable {
    let readEnd: Int32
    let writeEnd: Int32
    init() throws(ProcessError) { (readEnd, writeEnd) = try Pipe.open(isNonblocking: false) }
    deinit {
      close(readEnd)
      close(writeEnd)
    }
  }

  public var children: Set<Int32> { areChildren ? Set(processes.filter { ended[$0.key] == nil }.values.map(\.pid)) : [] }

  public var size: Int { (processes.keys.max() ?? -1) + 1 }
  public var known: Set<Int> { Set(processes.keys) }

  public init() {
    clusterFile = ClusterFile(clusterID: "", profile: "")
    (input, inputEnds) = (.nothing, nil)
  }

  /// Of engines that end when their standard input does, which is when this process ends.
  init(followedBy: Void) throws(ClusterError) {
    clusterFile = ClusterFile(clusterID: "", profile: "")
    do throws(ProcessError) {
      let ends = try InputEnds()
      (input, inputEnds) = (.descriptor(ends.readEnd), ends)
    } catch { throw ClusterError(error) }
  }

  public mutating func start(_ engines: Range<Int>, _ job: EngineJob) throws(ClusterError) {
    var environment = job.environment(withInfo: job.sendsConnectionInfo ?? true)
    environment[EngineJob.localMark] = job.markValue
    for index in engines { ended[index] = nil }
    for index in engines {
      var command = job.command
      if let script = job.environmentScript {
        command.arguments = EngineJob.words(command.arguments, sourcing: script)
        command.program = command.arguments[0]
      }
      command.environment = environment
      command.environment[EngineJob.index] = String(index)
      do throws(ProcessError) {
        processes[index] = try ChildProcess.start(command, input: input, outputFile: "\(job.logStem)-\(index).log")
      } catch {
        let reason = ClusterError(error)
        for left in index..<engines.upperBound { ended[left] = .refused(reason.reason) }
        // Which, and how many there are already, is half of the answer.
        let number = index == 0 ? "the first engine" : "engine \(index) (\(index) run already)"
        throw ClusterError(reason.exitCode, "\(number): \(reason.reason)", advice: reason.advice)
      }
    }
  }

  public mutating func states() throws(ClusterError) -> [Int: EngineState] {
    var states: [Int: EngineState] = ended.mapValues { .ended($0) }
    for (index, process) in processes where ended[index] == nil {
      if let end = end(of: process) {
        ended[index] = end
        states[index] = .ended(end)
      } else {
        states[index] = .running("")
      }
    }
    return states
  }

  private func end(of process: ChildProcess) -> EngineEnd? {
    if areChildren { return process.endedStatus().map { EngineEnd($0) } }
    let known = ClusterFile.Process(pid: process.pid, outputFile: process.outputFile)
    return ProcessTable.isAlive(known, of: clusterFile) ? nil : .vanished("")
  }

  public mutating func signal(_ signal: Int32, _ engines: Set<Int>) throws(ClusterError) {
    for index in engines where ended[index] == nil { processes[index]?.send(signal) }
  }

  public mutating func stop(_ engines: Set<Int>, isForced: Bool) throws(ClusterError) {
    try signal(isForced ? SIGKILL : SIGTERM, engines)
  }

  public func output(of engine: Int, limit: Int) -> [String] {
    processes[engine].map { FileSystem.lastLines(of: $0.outputFile, limit: limit) } ?? []
  }

  public func place(of engine: Int) -> String { processes[engine].map { "process \($0.pid)" } ?? "" }

  public mutating func removeFiles(logsOf engines: Set<Int>) {
    for index in engines { if let process = processes[index] { FileSystem.remove(process.outputFile) } }
  }

  public func state(_ job: EngineJob) -> JSONObject {
    let live = processes.filter { ended[$0.key] == nil }.sorted { $0.key < $1.key }
    var engines = JSONObject()
    for (index, process) in live {
      engines[String(index)] = [
        "cluster_id": .string(job.clusterID), "n": 1, "output_file": .string(process.outputFile), "pid": .int(Int(process.pid)),
        "profile_dir": .string(job.profile.location), "state": "running",
      ]
    }
    return [
      "cluster_id": .string(job.clusterID), "n": .int(live.count), "pid": -1, "profile_dir": .string(job.profile.location),
      "state": "running", "engines": .object(engines),
    ]
  }

  public init(reconnecting state: JSONObject, _ context: LauncherContext) throws(ClusterError) {
    clusterFile = ClusterFile(
      clusterID: state["cluster_id"]?.stringValue ?? "", profile: state["profile_dir"]?.stringValue ?? context.profile.location)
    areChildren = false
    (input, inputEnds) = (.nothing, nil)
    for (name, engine) in state["engines"]?.objectValue?.members ?? [] {
      guard let index = Int(name), let pid = engine["pid"]?.intValue.flatMap({ Int32(exactly: $0) }), pid > 0 else { continue }
      processes[index] = ChildProcess(pid: pid, outputFile: engine["output_file"]?.stringValue ?? "")
    }
    guard context.settles, let setID = context.setID else { return }
    // What was started before the file could name it.
    for (pid, index) in ProcessTable.engines(ofSet: clusterFile.mark + setID) where processes[index] == nil {
      let log = "ipengine-\(clusterFile.clusterID)-\(setID)-\(index).log"
      processes[index] = ChildProcess(pid: pid, outputFile: Path.join(context.profile.log, log))
    }
  }

  public func preview(_ count: Int, _ job: EngineJob) throws(ClusterError) -> String {
    "\(count) \(count == 1 ? "process" : "processes") on this host:\n\(ShellText.line(EngineJob.words(job.command.arguments, sourcing: job.environmentScript)))\n"
  }
}
