import ApusProcess
import ApusMessaging
import Glibc

/// The processes of a cluster and the file that names them: what `ClusterLifecycle` decides is done here.
struct LaunchedProcesses: ClusterLifecycleEffects {
  private let configuration: LaunchConfiguration
  private let announcer: any ClusterAnnouncer
  private let clusterFile: String
  private let setID: String
  private(set) var watch: RegistrationWatch?
  /// What a start met that could not be; whoever takes it ends the cluster.
  var failure: ClusterError?
  private var controller: ChildProcess?
  private var engines: [Int: ChildProcess] = [:]
  private var connection: ConnectionFile?
  private var connectionInfo: String?
  /// Logs of processes that ended well, to be removed at the end; of those that did not, the user needs them.
  private var finishedLogs: [String] = []
  private var isStopping = false
  /// The processes are others than the cluster's file says.
  private var isFileStale = false

  /// - Throws: where the cluster runs already.
  init(_ configuration: LaunchConfiguration, announcer: any ClusterAnnouncer) throws(ClusterError) {
    self.configuration = configuration
    self.announcer = announcer
    clusterFile = configuration.profile.clusterFile(configuration.clusterID)
    var id = "\(time(nil))"
    if FileSystem.exists(clusterFile) {
      do throws(ClusterError) {
        let status = try ClusterStatus(reading: clusterFile)
        if configuration.plan.ownsController, status.isRunning {
          throw Self.alreadyRunning(status)
        }
        var number = 1
        while status.file.engineSets[id] != nil {
          id = "\(time(nil))-\(number)"
          number += 1
        }
      } catch  where error.exitCode != .alreadyRunning {
        announcer.say(.warning, "\(error.reason); it is replaced")
      }
    }
    setID = id
  }

  private static func alreadyRunning(_ status: ClusterStatus) -> ClusterError {
    var reason = "the cluster is running already: \(status.path)"
    if let controller = status.deadController {
      reason =
        "the controller (process \(controller.pid)) of this cluster has died, and \(status.engineCount) of its engines are left: \(status.path)"
    }
    return ClusterError(
      .alreadyRunning, reason, advice: "'apus stop' (or 'ipcluster stop') ends it; --cluster-id=NAME starts another one beside it.")
  }

  // MARK: processes

  mutating func startController() throws(ClusterError) {
    let id = configuration.clusterID.isEmpty ? "" : "\(configuration.clusterID)-"
    var command = configuration.controller
    addClusterVariables(to: &command)
    let log = Path.join(configuration.profile.log, "ipcontroller-\(id)\(getpid()).log")
    let process = try Self.start(command, log)
    controller = process
    announcer.say(.debug, "controller started: process \(process.pid), log \(process.outputFile)")
    // The controller is there already: it must be ended in order.
    do throws(ClusterError) { try writeClusterFile() } catch { failure = error }
  }

  private static func start(_ command: ChildProcess.Command, _ log: String) throws(ClusterError) -> ChildProcess {
    do throws(ProcessError) { return try ChildProcess.start(command, outputFile: log) } catch { throw ClusterError(error) }
  }

  private func addClusterVariables(to command: inout ChildProcess.Command) {
    command.environment["IPP_CLUSTER_ID"] = configuration.clusterID
    command.environment["IPP_PROFILE_DIR"] = configuration.profile.location
  }

  mutating func startEngine(_ index: Int) -> Bool {
    var command = configuration.engine
    addClusterVariables(to: &command)
    if let connectionInfo, configuration.sendsConnectionInfo { command.environment["IPP_CONNECTION_INFO"] = connectionInfo }
    let log = Path.join(configuration.profile.log, "ipengine-\(configuration.clusterID)-\(setID)-\(index).log")
    do throws(ClusterError) {
      let process = try Self.start(command, log)
      engines[index] = process
      announcer.say(.debug, "engine \(index) started: process \(process.pid), log \(log)")
      return true
    } catch {
      // The lifecycle is in the middle of a step: the launcher tells it after.
      let number = index == 0 ? "the first engine" : "engine \(index) (\(index) run already)"
      failure = ClusterError(error.exitCode, "\(number): \(error.reason)", advice: error.advice)
      return false
    }
  }

  /// Each engine's end is told once.
  mutating func endedEngines() -> [(Int, ExitStatus)] {
    var ended: [(Int, ExitStatus)] = []
    for (index, process) in engines.sorted(by: { $0.key < $1.key }) {
      guard let status = process.endedStatus() else { continue }
      ended.append((index, status))
      // Otherwise the report needs it.
      if isStopping { finishedLogs.append(engines.removeValue(forKey: index)?.outputFile ?? "") }
    }
    return ended
  }

  mutating func endedController() -> ExitStatus? {
    guard let process = controller, let status = process.endedStatus() else { return nil }
    if isStopping {
      finishedLogs.append(process.outputFile)
      controller = nil
    }
    return status
  }

  /// - Throws: where they cannot be read or are not what they should be.
  mutating func readConnectionFiles(client: String, engine: String) throws(ClusterError) {
    func read(_ path: String) throws(ClusterError) -> (text: String, file: ConnectionFile) {
      do {
        let text = try FileSystem.text(of: path)
        return (text, try ConnectionFile(parsing: text))
      } catch let error as ConnectionFileError {
        throw ClusterError(
          .damagedFile, "the connection file \(path) is damaged: \(error)", advice: "A new start of the controller writes it anew.")
      } catch { throw ClusterError(.damagedFile, "the connection file could not be read: \(error)") }
    }
    connection = try read(client).file
    connectionInfo = try read(engine).text
  }

  mutating func watchRegistrations() {
    guard let connection, watch == nil else { return }
    do throws(ClusterError) { watch = try RegistrationWatch(connection) } catch { failure = error }
  }

  mutating func stopWatchingRegistrations() {
    watch?.stop()
    watch = nil
    announcer.show(progress: nil)
  }

  mutating func signal(_ signal: Int32, controller includesController: Bool, engines indices: Set<Int>) {
    if signal == SIGTERM { isStopping = true }
    if includesController { controller?.send(signal) }
    for index in indices { engines[index]?.send(signal) }
  }

  // MARK: files

  mutating func updateClusterFile() {
    do throws(ClusterError) {
      try writeClusterFile()
      isFileStale = false
    } catch {
      isFileStale = true
      announcer.say(.warning, error.description)
    }
  }

  private func writeClusterFile() throws(ClusterError) {
    // Beside other engine sets of the same cluster, which other launchers wrote.
    let earlier = configuration.plan.ownsController ? nil : try? ClusterStatus(reading: clusterFile).file
    var file = earlier ?? ClusterFile(clusterID: configuration.clusterID, profile: configuration.profile.location)
    if configuration.plan.ownsController {
      file.count = configuration.plan.engines
      file.controllerArguments = configuration.controllerArguments
      file.controllerIP = configuration.controllerIP
      file.controllerLocation = configuration.controllerLocation
      file.delay = configuration.plan.delay.seconds
      if let controller { file.controller = .init(pid: controller.pid, outputFile: controller.outputFile) }
    }
    let members = engines.map { (String($0.key), ClusterFile.Process(pid: $0.value.pid, outputFile: $0.value.outputFile)) }
    file.engineSets[setID] = members.isEmpty ? nil : .init(count: members.count, engines: Dictionary(members) { $1 })
    if file.controller == nil, file.engineSets.isEmpty, earlier == nil {
      FileSystem.remove(clusterFile)
    } else {
      try file.write(to: clusterFile)
    }
  }

  mutating func removeFiles() {
    for process in engines.values { finishedLogs.append(process.outputFile) }
    engines = [:]
    if configuration.plan.ownsController {
      if let controller { finishedLogs.append(controller.outputFile) }
      controller = nil
      FileSystem.remove(clusterFile)
    } else if FileSystem.exists(clusterFile) {
      updateClusterFile()
      if let status = try? ClusterStatus(reading: clusterFile), !status.isRunning { FileSystem.remove(clusterFile) }
    }
    for log in finishedLogs { FileSystem.remove(log) }
  }

  mutating func leaveRunning() -> Bool {
    if isFileStale { updateClusterFile() }
    if isFileStale {
      announcer.say(.error, "a cluster that its file does not name could not be stopped by anybody later: it is stopped now")
      return false
    }
    announcer.say(.info, "the cluster goes on in the background: 'apus stop' (or 'ipcluster stop') ends it; \(clusterFile)")
    return true
  }

  // MARK: words

  mutating func report(_ report: ClusterReport) {
    switch report {
    case .progress(let count, let all): announcer.show(progress: "\(count) of \(all) engines ready")
    case .ready(let count, let all, let duration):
      let engines = count == all ? "\(all) \(all == 1 ? "engine" : "engines")" : "\(count) of \(all) engines"
      announcer.announce(ready: "\(engines) ready after \(duration.secondsText): \(place)")
    case .engineEnded(let index, let status): engineEnded(index, status)
    case .allEnginesEnded(let early): allEnginesEnded(early: early)
    case .controllerEnded(let status, let early): controllerEnded(status, early: early)
    case .controllerTimedOut(let time):
      announcer.say(
        .error,
        configuration.plan.ownsController
          ? "the controller wrote no connection files within \(time.secondsText)\(ending(of: controller))"
          : "no controller answers in \(configuration.profile.location)\nStart one with 'apus start' or 'apus controller'")
    case .enginesTimedOut(let count, let all, let time):
      announcer.say(
        .error,
        "only \(count) of \(all) engines registered within \(time.secondsText); see their logs in \(configuration.profile.log)")
    case .interrupting: announcer.say(.info, "interrupting the engines; SIGTERM stops them")
    case .stopping: announcer.say(.info, "stopping the cluster")
    case .killing(becauseAsked: true): announcer.say(.warning, "asked a second time: what has not ended yet is killed (SIGKILL)")
    case .killing(becauseAsked: false):
      announcer.say(.warning, "not everything ended within \(configuration.plan.killAfter.secondsText) of SIGTERM: SIGKILL")
    }
  }

  /// How clients find the cluster.
  private var place: String {
    let id = configuration.clusterID.isEmpty ? "" : ", cluster id '\(configuration.clusterID)'"
    return "profile \(configuration.profile.location)\(id)"
  }

  private mutating func engineEnded(_ index: Int, _ status: ExitStatus) {
    guard let process = engines.removeValue(forKey: index) else { return }
    if status.isSuccess {
      finishedLogs.append(process.outputFile)
      return announcer.say(.info, "engine \(index) (process \(process.pid)) has ended")
    }
    announcer.say(.warning, "engine \(index) (process \(process.pid)) died with \(status)\(ending(of: process))")
  }

  private mutating func allEnginesEnded(early: Bool) {
    guard early else { return announcer.say(.info, "all engines have ended") }
    announcer.say(
      .error,
      """
      all engines died within \(configuration.plan.earlyShutdown.secondsText) of their start: the cluster is stopped
      Their last words are above. 'apus engine --python=…' starts one by hand, in the foreground.
      """)
  }

  private mutating func controllerEnded(_ status: ExitStatus, early: Bool) {
    let process = controller
    controller = nil
    if status.isSuccess, !early {
      if let process { finishedLogs.append(process.outputFile) }
      return announcer.say(.info, "the controller has ended: stopping the cluster")
    }
    announcer.say(
      .error, "the controller \(early ? "ended before it was ready" : "died"), with \(status)\(ending(of: process))")
  }

  /// The end of a log, as the rest of a paragraph.
  private func ending(of process: ChildProcess?) -> String {
    guard let process else { return "" }
    let lines = FileSystem.lastLines(of: process.outputFile, limit: configuration.outputLimit)
    if lines.isEmpty { return "; it left no words in \(process.outputFile)" }
    return ". The last of \(process.outputFile):\n" + lines.map { "  \($0)" }.joined(separator: "\n")
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
