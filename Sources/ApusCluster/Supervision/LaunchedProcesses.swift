import ApusProcess
import ApusMessaging
import Glibc

/// The processes of a cluster and the file that names them: what `ClusterLifecycle` decides is done here.
struct LaunchedProcesses: ClusterLifecycleEffects {
  let configuration: LaunchConfiguration
  let announcer: any ClusterAnnouncer
  let clusterFile: String
  let setID: String
  private(set) var watch: RegistrationWatch?
  private(set) var link: ClusterLink?
  /// What a launcher told that the lifecycle has not heard of.
  private var events: [LauncherSteps.Event] = []
  /// What a start met that could not be; whoever takes it ends the cluster.
  var failure: ClusterError?
  var controller: ChildProcess?
  /// What started the controller, where it is no process of this host.
  var controllerDriver: EngineDriver?
  /// The controller's state, as its launcher last told it; `nil` once it has ended.
  var controllerState: JSONObject?
  var controllerEnd: EndedEngine?
  /// What it is to start as soon as the cluster's file says how that is found.
  var plannedController: EngineJob?
  /// Whether it is being started elsewhere, and that it has begun is not known yet.
  var controllerIsAwaited = false
  /// Connection files that were there before a controller elsewhere was started.
  var formerFiles: [String: FileSystem.Version] = [:]
  /// What that launcher told at once.
  var controllerEvents: [LauncherSteps.Event] = []
  var driver: EngineDriver
  /// Engines that were started and have not ended.
  var liveEngines: Set<Int> = []
  /// The set's state, as its launcher last told it.
  var setState: JSONObject?
  var ended: [EndedEngine] = []
  /// The cluster's file is this launcher's: what it says of other sets is kept.
  var isFileOurs = false
  /// The start is over.
  var hasServed = false
  /// It could not end in order.
  private(set) var hasKilledController = false
  /// It lived when it was asked to end.
  private(set) var hasAskedController = false
  /// How the latest controller of this host ended; `nil` while it runs.
  private(set) var controllerStatus: ExitStatus?
  /// It died, and is not started again: what it would have removed is for the next one.
  var hasLostController = false
  /// A journal was there before the first controller was started, with what was told of it then.
  let hadJournal: Bool
  let formerBeginning: FileSystem.Version?
  /// Engines of a cluster whose controller and launcher have died: this launcher goes on with them.
  private(set) var adopted: AdoptedEngines?
  private var hasAdopted = false
  private var queue = SubmissionQueue()
  /// What other launchers had added to a cluster that has ended: it is still to be found by the file.
  private(set) var setsOfBefore: [String: ClusterFile.EngineSet] = [:]
  /// All of it, as it was before this launcher took its place.
  var formerContents: [UInt8]?
  /// What the file said that has them, or engines to adopt: what others have put there stays.
  private(set) var fileOfBefore: ClusterFile?
  /// The cluster goes on without this launcher.
  var hasLeft = false
  /// Why the last start of engines was cut short.
  private(set) var startRefusal: String?
  private(set) var connection: ConnectionFile?
  private var connectionInfo: String?
  /// Logs of processes that ended well, to be removed at the end; of those that did not, the user needs them.
  var finishedLogs: [String] = []
  var isStopping = false
  /// The processes are others than the cluster's file says.
  var isFileStale = false

  /// - Throws: where the cluster runs already.
  init(_ configuration: LaunchConfiguration, announcer: any ClusterAnnouncer) throws(ClusterError) {
    self.configuration = configuration
    self.announcer = announcer
    clusterFile = configuration.profile.clusterFile(configuration.clusterID)
    let journal = JournalDirectory(configuration.profile, clusterID: configuration.clusterID)
    hadJournal = configuration.plan.ownsController && journal.isThere
    formerBeginning = FileSystem.version(of: Path.join(journal.path, JournalBeginning.fileName))
    // Several launchers may add engines to a cluster in the same second.
    var id = configuration.plan.ownsController ? "\(time(nil))" : "\(time(nil))-\(getpid())"
    if let status = Self.formerStatus(clusterFile, announcer) {
      if configuration.plan.ownsController, status.isRunning {
        let isWanted = configuration.plan.restartsController && status.isAbandoned
        guard status.hasOnlyEngines || isWanted else { throw Self.alreadyRunning(status) }
        // One that somebody has started by hand has taken the place: the engines are its own.
        guard !ControllerLeftovers.areInUse(configuration.profile, clusterID: configuration.clusterID) else {
          throw Self.alreadyRunning(status, hasAnotherController: true)
        }
        fileOfBefore = status.fileToKeep
        if status.hasOnlyEngines {
          setsOfBefore = status.file.engineSets
        } else {
          adopted = try AdoptedEngines(status, configuration)
          setsOfBefore = status.file.engineSets.filter { AdoptedEngines.isWatched($0.key, status) }
        }
      }
      var number = 1
      while status.file.engineSets[id] != nil {
        id = "\(time(nil))-\(number)"
        number += 1
      }
    }
    if let adopted {
      setID = adopted.setID
      setState = adopted.state
      driver = .threaded(try LauncherThread(adopted.steps))
      announcer.say(
        .info,
        "\(adopted.engines.count) engines of the cluster before are still there, and so are its tasks: the new controller goes on with them"
      )
    } else {
      setID = id
      driver = try EngineDriver(configuration.launcher, outputLimit: configuration.outputLimit)
    }
  }

  /// What the cluster's file says, if there is one that says something.
  private static func formerStatus(_ path: String, _ announcer: any ClusterAnnouncer) -> ClusterStatus? {
    guard FileSystem.exists(path) else { return nil }
    do throws(ClusterError) { return try ClusterStatus(reading: path) } catch {
      announcer.say(.warning, "\(error.reason); it is replaced")
      return nil
    }
  }

  static func alreadyRunning(_ status: ClusterStatus, hasAnotherController: Bool = false) -> ClusterError {
    var reason = "the cluster is running already: \(status.path)"
    if hasAnotherController {
      reason = "a controller that the cluster's file does not name answers by the cluster's connection files: \(status.path)"
    } else if status.isRestarting {
      reason = "the controller of this cluster has died and is about to be started again: \(status.path)"
    } else if let controller = status.deadController {
      reason =
        "the controller (process \(controller.pid)) of this cluster has died, and \(status.engineCount) of its engines are left: \(status.path)"
    }
    if let host = status.otherHost {
      return ClusterError(
        .alreadyRunning, "the cluster is that of \(status.owner) on \(host), which may live: \(status.path)",
        advice:
          "'apus stop' on \(host) ends it, 'apus clean --force' removes its file when that host is gone; --cluster-id=NAME starts another one beside it."
      )
    }
    return ClusterError(
      .alreadyRunning, reason, advice: "'apus stop' (or 'ipcluster stop') ends it; --cluster-id=NAME starts another one beside it.")
  }

  // MARK: processes

  mutating func startController() throws(ClusterError) {
    if let launcher = configuration.controllerLauncher { return try startController(with: launcher) }
    do throws(ClusterError) { try spawnController() } catch {
      renounceClusterFile()
      throw error
    }
    // The controller is there already: it must be ended in order.
    do throws(ClusterError) { try writeClusterFile() } catch { failure = error }
  }

  private mutating func spawnController() throws(ClusterError) {
    let id = configuration.clusterID.isEmpty ? "" : "\(configuration.clusterID)-"
    var command = configuration.controller
    addClusterVariables(to: &command.environment.variables)
    command.environment[EngineJob.localMark] = configuration.engines.mark(ofSet: "\(setID)-controller")
    let log = Path.join(configuration.profile.log, "ipcontroller-\(id)\(getpid()).log")
    let process = try Self.start(command, log)
    controller = process
    controllerStatus = nil
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
      hasLostController = true
      failure = error
      return false
    }
  }

  private static func start(_ command: ChildProcess.Command, _ log: String) throws(ClusterError) -> ChildProcess {
    do throws(ProcessError) { return try ChildProcess.start(command, outputFile: log) } catch { throw ClusterError(error) }
  }

  func addClusterVariables(to variables: inout [String: String]) {
    variables["IPP_CLUSTER_ID"] = configuration.clusterID
    variables["IPP_PROFILE_DIR"] = configuration.profile.location
  }

  private var job: EngineJob {
    var job = configuration.engines
    job.setID = setID
    job.connectionInfo = connectionInfo
    addClusterVariables(to: &job.variables)
    return job
  }

  mutating func startEngines(_ engines: Range<Int>) -> Int {
    startRefusal = nil
    if case .threaded = driver {
      liveEngines.formUnion(engines)
      queue.plan(engines)
      _ = driver.send(.plan(engines, job))
      return engines.count
    }
    // Before there is a process, as with the controller.
    if !configuration.plan.ownsController, !isFileOurs { updateClusterFile() }
    let news = driver.send(.start(engines, job))
    guard case .immediate(let steps) = driver else { return 0 }
    // The lifecycle is in the middle of a step: the launcher tells it after.
    setState = steps.state
    let refusal = news.compactMap { if case .refused(let error) = $0 { error } else { nil } }.first
    events += news.filter { if case .ended(let engine) = $0 { !engines.contains(engine.index) } else { false } }
    let started = engines.filter { steps.live.contains($0) }
    liveEngines.formUnion(started)
    for index in started { announcer.say(.debug, "engine \(index) started: \(steps.launcher.place(of: index))") }
    startRefusal = refusal?.reason
    if let refusal { refused(refusal) }
    return refusal == nil ? engines.count : started.count
  }

  var isAboutToAdopt: Bool { adopted != nil && !hasAdopted }

  /// Of a start it is the end; a cluster that serves goes on with what it has.
  private mutating func refused(_ error: ClusterError) {
    // Nobody wants any.
    if isStopping { return }
    if hasServed { announcer.say(.warning, "no more engines: \(error.description)") } else { failure = error }
  }

  mutating func adoptEngines() {
    hasAdopted = true
    liveEngines = adopted?.engines ?? []
  }

  private mutating func handOver(_ part: Range<Int>?) {
    if let part { _ = driver.send(.start(part, job)) }
  }

  /// What was never handed over has ended.
  private mutating func forget(_ engines: [Int], _ end: EngineEnd) {
    for index in engines { events.append(.ended(EndedEngine(index: index, end: end, place: "never submitted", lines: []))) }
  }

  /// Whether `takeEvents` has something at once.
  var hasEvents: Bool { !events.isEmpty }

  /// Readable when `takeEvents` has something; -1 where SIGCHLD says so.
  var engineDescriptor: Int32 { driver.descriptor }

  /// What became of engines since the last call. Each engine's end is told once.
  mutating func takeEvents() -> [LauncherSteps.Event] {
    let taken = events + driver.events()
    events = []
    let isRefused = taken.contains { if case .refused = $0 { true } else { false } }
    var news: [LauncherSteps.Event] = []
    for event in taken where !isOfFormerRun(event) {
      note(event)
      news.append(event)
      if case .planned(let engines, let parts, _) = event { handOver(queue.planned(engines, parts)) }
      guard case .started = event else { continue }
      if !isRefused { handOver(queue.submitted()) }
    }
    if !taken.isEmpty, case .immediate(let steps) = driver { setState = steps.state }
    return news
  }

  /// Some engines are started again before their system has told that they ended: what it tells before it has the new ones is of the old.
  private func isOfFormerRun(_ event: LauncherSteps.Event) -> Bool {
    switch event {
    case .ended(let engine): queue.isAwaited(engine.index)
    case .waiting(let index, _), .running(let index, _), .returned(let index): queue.isAwaited(index)
    case .planned, .started, .refused, .trouble, .unreachable, .done: false
    }
  }

  private mutating func note(_ event: LauncherSteps.Event) {
    switch event {
    case .planned(_, _, let state), .started(let state):
      setState = state
      updateClusterFile()
    case .refused(let error):
      startRefusal = error.reason
      refused(error)
      forget(queue.refused(), .refused(error.reason))
    case .ended(let engine):
      liveEngines.remove(engine.index)
      guard !isStopping else { return }
      var known = engine
      known.set = setID
      ended.append(known)
    case .returned(let index): liveEngines.insert(index)
    case .trouble(let error): announcer.say(.warning, error.description)
    case .waiting, .running, .unreachable, .done: break
    }
  }

  mutating func endedController() -> ExitStatus? {
    guard let process = controller, let status = process.endedStatus() else { return nil }
    controllerStatus = status
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
    tellOfJournal()
    guard configuration.startsElsewhere, ControllerAddress.isLoopback(file.host), file.ssh.isEmpty else { return }
    announcer.say(
      .warning,
      "the controller listens on \(file.host) only, where engines of other hosts do not reach it\nA start of it with --ip='*' cures that."
    )
  }

  mutating func watchRegistrations() {
    guard let connection, watch == nil else { return }
    let plan = configuration.plan
    do throws(ClusterError) {
      watch = try RegistrationWatch(connection, supervises: plan.asksForDemand && !plan.daemonizes)
    } catch { failure = error }
  }

  /// From the moment on at which the cluster serves.
  mutating func openLink() {
    guard let connection, link == nil else { return }
    do throws(ClusterError) { link = try ClusterLink(connection) } catch { failure = error }
  }

  mutating func drain(_ ids: [Int]) { link?.drain(ids) }

  mutating func forgetEnd(of engine: Int) {
    if let place = ended.lastIndex(where: { $0.index == engine && $0.set == setID }) { ended.remove(at: place) }
  }

  mutating func retire(_ ids: [Int]) { link?.drain(ids, atOnce: true) }

  /// Of our set, as engines tell it to the controller.
  var mark: String { job.markValue }

  mutating func stopWatchingRegistrations() {
    watch?.stop()
    watch = nil
    announcer.show(progress: nil)
  }

  mutating func signal(_ signal: Int32, controller includesController: Bool, engines indices: Set<Int>) {
    if signal == SIGTERM {
      isStopping = true
      forget(queue.cancel(), .cancelled(by: ""))
    }
    if includesController {
      stopController(by: signal)
      controller?.send(signal)
      hasKilledController = hasKilledController || signal == SIGKILL
      hasAskedController = hasAskedController || controller != nil && (signal == SIGTERM || signal == SIGKILL)
    }
    guard !indices.isEmpty else { return }
    switch signal {
    case SIGTERM: events += driver.send(.stop(isForced: false))
    case SIGKILL: events += driver.send(.stop(isForced: true))
    default: events += driver.send(.signal(signal, indices))
    }
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
