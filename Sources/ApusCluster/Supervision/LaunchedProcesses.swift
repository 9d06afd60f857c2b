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
  /// What a launcher told that the lifecycle has not heard of.
  private var events: [LauncherSteps.Event] = []
  /// What a start met that could not be; whoever takes it ends the cluster.
  var failure: ClusterError?
  private var controller: ChildProcess?
  private var driver: EngineDriver
  /// Engines that were started and have not ended.
  private var liveEngines: Set<Int> = []
  /// The set's state, as its launcher last told it.
  private var setState: JSONObject?
  private var ended: [EndedEngine] = []
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
    driver = try EngineDriver(configuration.launcher, outputLimit: configuration.outputLimit)
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
    if status.isRestarting {
      reason = "the controller of this cluster has died and is about to be started again: \(status.path)"
    } else if let controller = status.deadController {
      reason =
        "the controller (process \(controller.pid)) of this cluster has died, and \(status.engineCount) of its engines are left: \(status.path)"
    }
    return ClusterError(
      .alreadyRunning, reason, advice: "'apus stop' (or 'ipcluster stop') ends it; --cluster-id=NAME starts another one beside it.")
  }

  // MARK: processes

  mutating func startController() throws(ClusterError) {
    try spawnController()
    // The controller is there already: it must be ended in order.
    do throws(ClusterError) { try writeClusterFile() } catch { failure = error }
  }

  private mutating func spawnController() throws(ClusterError) {
    let id = configuration.clusterID.isEmpty ? "" : "\(configuration.clusterID)-"
    var command = configuration.controller
    addClusterVariables(to: &command.environment.variables)
    let log = Path.join(configuration.profile.log, "ipcontroller-\(id)\(getpid()).log")
    let process = try Self.start(command, log)
    controller = process
    announcer.say(.debug, "controller started: process \(process.pid), log \(process.outputFile)")
  }

  mutating func restartController() -> Bool {
    do throws(ClusterError) {
      try spawnController()
      // A file that cannot be written now is written later: the tasks are worth more.
      updateClusterFile()
      announcer.say(.info, "the controller is started again: process \(controller?.pid ?? 0)")
      return true
    } catch {
      failure = error
      return false
    }
  }

  private static func start(_ command: ChildProcess.Command, _ log: String) throws(ClusterError) -> ChildProcess {
    do throws(ProcessError) { return try ChildProcess.start(command, outputFile: log) } catch { throw ClusterError(error) }
  }

  private func addClusterVariables(to variables: inout [String: String]) {
    variables["IPP_CLUSTER_ID"] = configuration.clusterID
    variables["IPP_PROFILE_DIR"] = configuration.profile.location
  }

  mutating func startEngines(_ engines: Range<Int>) -> Int {
    var job = configuration.engines
    job.setID = setID
    job.connectionInfo = connectionInfo
    addClusterVariables(to: &job.variables)
    events += driver.send(.start(engines, job))
    guard case .immediate(let steps) = driver else {
      liveEngines.formUnion(engines)
      return engines.count
    }
    // The lifecycle is in the middle of a step: the launcher tells it after.
    setState = steps.state
    let refusal = events.compactMap { if case .refused(let error) = $0 { error } else { nil } }.first
    events = []
    let started = engines.filter { steps.live.contains($0) }
    liveEngines.formUnion(started)
    for index in started { announcer.say(.debug, "engine \(index) started: \(steps.launcher.place(of: index))") }
    if let refusal { failure = refusal }
    return refusal == nil ? engines.count : started.count
  }

  /// Readable when `takeEvents` has something; -1 where SIGCHLD says so.
  var engineDescriptor: Int32 { driver.descriptor }

  /// What became of engines since the last call. Each engine's end is told once.
  mutating func takeEvents() -> [LauncherSteps.Event] {
    let taken = events + driver.events()
    events = []
    for event in taken { note(event) }
    if !taken.isEmpty, case .immediate(let steps) = driver { setState = steps.state }
    return taken
  }

  private mutating func note(_ event: LauncherSteps.Event) {
    switch event {
    case .started(let state):
      setState = state
      updateClusterFile()
    case .refused(let error): failure = error
    case .ended(let engine):
      liveEngines.remove(engine.index)
      guard !isStopping else { return }
      var known = engine
      known.set = setID
      ended.append(known)
    case .trouble(let error): announcer.say(.warning, error.description)
    case .waiting, .running, .done: break
    }
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
    let (text, file) = try read(engine)
    connectionInfo = text
    guard configuration.startsElsewhere, ControllerAddress.isLoopback(file.host), file.ssh.isEmpty else { return }
    announcer.say(
      .warning,
      "the controller listens on \(file.host) only, where engines of other hosts do not reach it\nA start of it with --ip='*' cures that."
    )
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
    guard !indices.isEmpty else { return }
    switch signal {
    case SIGTERM: events += driver.send(.stop(isForced: false))
    case SIGKILL: events += driver.send(.stop(isForced: true))
    default: events += driver.send(.signal(signal, indices))
    }
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
      if configuration.plan.restartsController {
        file.supervisor = .init(pid: getpid(), outputFile: configuration.supervisorLog)
      }
      if let controller { file.controller = .init(pid: controller.pid, outputFile: controller.outputFile) }
    }
    for engine in ended where !file.ended.contains(engine) { file.ended.append(engine) }
    if configuration.plan.ownsController { file.engineLauncher = configuration.launcherName }
    if let setState, !liveEngines.isEmpty {
      file.set(setID, setState)
    } else {
      file.engineSets[setID] = nil
    }
    if file.controller == nil, file.supervisor == nil, file.engineSets.isEmpty, earlier == nil {
      FileSystem.remove(clusterFile)
    } else {
      try file.write(to: clusterFile)
    }
  }

  mutating func removeFiles() {
    liveEngines = []
    settle(.removeFiles)
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

  /// Lets the launcher do the last that there is to do, for as long as that may take.
  private mutating func settle(_ request: LauncherSteps.Request) {
    _ = driver.send(request)
    let deadline = MonotonicClock.now + .seconds(15)
    while case .threaded(let thread) = driver {
      var descriptors = [pollfd(fd: thread.descriptor, events: Int16(POLLIN), revents: 0)]
      let left = (deadline - MonotonicClock.now).milliseconds
      guard left > 0, poll(&descriptors, 1, Int32(clamping: left)) >= 0 || errno == EINTR else { return }
      let events = thread.read()
      for event in events { if case .started(let state) = event { setState = state } }
      if events.contains(where: { if case .done = $0 { true } else { false } }) { return thread.finish() }
    }
  }

  mutating func leaveRunning() -> Bool {
    if isFileStale { updateClusterFile() }
    if isFileStale {
      announcer.say(.error, "a cluster that its file does not name could not be stopped by anybody later: it is stopped now")
      return false
    }
    settle(.leave)
    announcer.say(.info, "the cluster goes on in the background: 'apus stop' (or 'ipcluster stop') ends it; \(clusterFile)")
    return true
  }

  // MARK: words

  mutating func report(_ report: ClusterReport) {
    switch report {
    case .progress(let count, let all): announcer.show(progress: "\(count) of \(all) engines ready")
    case .ready(let count, let all, let duration):
      let engines = count == all ? "\(all) \(all == 1 ? "engine" : "engines")" : "\(count) of \(all) engines"
      let address = configuration.reachableAddress.map { ", controller at \($0)" } ?? ""
      announcer.announce(ready: "\(engines) ready after \(duration.secondsText): \(place)\(address)")
    case .engineEnded(let index, let end): engineEnded(index, end)
    case .waiting(let count, let reason):
      let many = count == 1 ? "1 engine waits" : "\(count) engines wait"
      announcer.say(.info, "\(many) in the queue\(reason.isEmpty ? "" : " (\(reason))"): \(waitingPlace)")
    case .gaveUp(let engines):
      announcer.say(
        .error,
        "\(engines.count) engines did not end, and may run still: 'apus stop' tries it again; \(clusterFile) names them")
    case .allEnginesEnded(let early): allEnginesEnded(early: early)
    case .controllerEnded(let status, let early): controllerEnded(status, early: early)
    case .controllerRestarts(let status, let delay):
      announcer.say(
        .warning, "the controller died, with \(status)\(ending(of: controller))\nIt is started again in \(delay.secondsText)")
      controller = nil
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

  /// Which jobs those are.
  private var waitingPlace: String {
    let jobs = setState?["apus"]?["jobs"]?.arrayValue?.compactMap { $0["id"]?.stringValue } ?? []
    return jobs.isEmpty ? "Ctrl-C stops waiting" : "job \(jobs.prefix(5).joined(separator: ", ")); Ctrl-C stops waiting"
  }

  /// How clients find the cluster.
  private var place: String {
    let id = configuration.clusterID.isEmpty ? "" : ", cluster id '\(configuration.clusterID)'"
    return "profile \(configuration.profile.location)\(id)"
  }

  private func engineEnded(_ index: Int, _ end: EngineEnd) {
    guard let engine = ended.last(where: { $0.index == index }) else { return }
    if end.isSuccess { return announcer.say(.info, "engine \(index) (\(engine.place)) has ended") }
    let last = engine.lines.isEmpty ? "" : ". Its last words:\n" + engine.lines.map { "  \($0)" }.joined(separator: "\n")
    let verb =
      switch end {
      case .exited, .signaled, .timeLimit, .outOfMemory, .nodeLost: "died with"
      case .cancelled: "was"
      case .refused, .vanished: "is gone:"
      }
    announcer.say(.warning, "engine \(index) (\(engine.place)) \(verb) \(end)\(last)")
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
