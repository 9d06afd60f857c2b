import ApusMessaging
import ApusProcess
import Glibc

/// A controller that a launcher has started somewhere else: on another host, or as a job.
extension LaunchedProcesses {
  private static let index = 0

  mutating func startController(with launcher: any Launcher) throws(ClusterError) {
    guard var job = configuration.controllerJob else { return }
    job.setID = "\(setID)-controller"
    for path in controllerFiles { formerFiles[path] = FileSystem.version(of: path) }
    addClusterVariables(to: &job.variables)
    var driver: EngineDriver
    do throws(ClusterError) {
      try refuseToReplace()
      // Of a launcher before, which was killed while it fetched them.
      ControllerLeftovers.removeUnfinished(["client", "engine"], configuration.profile, clusterID: configuration.clusterID)
      driver = try EngineDriver(launcher, outputLimit: configuration.outputLimit)
    } catch {
      renounceClusterFile()
      throw error
    }
    // With the versions of the connection files that are another's.
    updateClusterFile()
    // The cluster's file is to name it first.
    controllerEvents += driver.send(.plan(Self.index..<Self.index + 1, job))
    controllerDriver = driver
    controllerIsAwaited = true
    plannedController = job
  }

  /// The connection files of a controller elsewhere come to the place of those that are there: a controller that lives needs its own.
  private func refuseToReplace() throws(ClusterError) {
    let path = configuration.profile.connectionFile("client", clusterID: configuration.clusterID)
    guard ControllerLeftovers.areInUse(configuration.profile, clusterID: configuration.clusterID) else { return }
    throw ClusterError(
      .alreadyRunning, "a controller runs already whose connection files are those of this cluster: \(path)",
      advice: "--cluster-id=NAME starts another one beside it.")
  }

  /// Whether there is one, as far as it is for this launcher to start it.
  var controllerHasStarted: Bool { !controllerIsAwaited }

  /// Readable when `takeControllerEvents` has something; -1 where SIGCHLD says so.
  var controllerDescriptor: Int32 { controllerDriver?.descriptor ?? -1 }

  /// What became of the controller since the last call.
  mutating func takeControllerEvents() -> [LauncherSteps.Event] {
    guard controllerDriver != nil else { return [] }
    let taken = controllerEvents + (controllerDriver?.events() ?? [])
    controllerEvents = []
    for event in taken {
      switch event {
      case .planned(let part, _, let state):
        // It was asked to end before: it is gone already.
        guard let job = plannedController else { continue }
        controllerState = state
        updateClusterFile()
        plannedController = nil
        controllerEvents += controllerDriver?.send(.start(part, job)) ?? []
      case .started(let state):
        controllerIsAwaited = false
        controllerState = state
        updateClusterFile()
      case .refused(let error): failure = failure ?? error
      case .ended(let end):
        controllerState = nil
        controllerEnd = end
      case .trouble(let error): announcer.say(.warning, error.description)
      case .waiting, .running, .returned, .unreachable, .done: break
      }
    }
    return taken
  }

  mutating func stopController(by signal: Int32) {
    guard controllerDriver != nil, signal == SIGTERM || signal == SIGKILL else { return }
    controllerEvents += controllerDriver?.send(.stop(isForced: signal == SIGKILL)) ?? []
    // What its launcher has not been told to start will never be, and so nobody would tell of its end.
    guard plannedController != nil else { return }
    plannedController = nil
    controllerEvents.append(
      .ended(EndedEngine(index: Self.index, end: .cancelled(by: ""), place: "never started", lines: [])))
  }

  /// Where it was reached, for people; `nil` where all are here.
  var controllerAddress: String? {
    if configuration.controllerLauncher == nil { return configuration.reachableAddress }
    return connection.map { $0.location.isEmpty ? $0.host : $0.location }
  }

  /// Removes what a controller elsewhere has left here.
  mutating func removeControllerFiles() {
    guard controllerDriver != nil else { return }
    settle(.removeFiles, \.controllerDriver)
    // One that ends in order removes its own; what came over ssh is a copy.
    let endedItself = if case .exited? = controllerEnd?.end { true } else { false }
    guard configuration.controllerLauncherName == SSHLauncher.name || !endedItself else { return }
    guard !ControllerLeftovers.areUsedAgain(configuration.controllerArguments) else { return }
    ControllerLeftovers.removeConnections(
      configuration.profile, clusterID: configuration.clusterID, former: formerFiles.mapValues(\.text))
  }

  private var controllerFiles: [String] {
    ["client", "engine"].map { configuration.profile.connectionFile($0, clusterID: configuration.clusterID) }
  }
}
