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
    try refuseToReplace()
    try writeClusterFile()
    isFileOurs = true
    var driver = try EngineDriver(launcher, outputLimit: configuration.outputLimit)
    // The cluster's file is to name it first.
    controllerEvents += driver.send(.plan(Self.index..<Self.index + 1, job))
    controllerDriver = driver
    plannedController = job
  }

  /// The connection files of a controller elsewhere come to the place of those that are there: a controller that lives needs its own.
  private func refuseToReplace() throws(ClusterError) {
    let path = configuration.profile.connectionFile("client", clusterID: configuration.clusterID)
    guard let text = try? FileSystem.text(of: path), let file = try? ConnectionFile(parsing: text), RegistrationWatch.answers(file)
    else { return }
    throw ClusterError(
      .alreadyRunning, "a controller runs already whose connection files are those of this cluster: \(path)",
      advice: "--cluster-id=NAME starts another one beside it.")
  }

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
        controllerState = state
        updateClusterFile()
        guard let job = plannedController else { continue }
        plannedController = nil
        if !isStopping { controllerEvents += controllerDriver?.send(.start(part, job)) ?? [] }
      case .started(let state):
        controllerState = state
        updateClusterFile()
      case .refused(let error): failure = failure ?? error
      case .ended(let end):
        controllerState = nil
        controllerEnd = end
      case .trouble(let error): announcer.say(.warning, error.description)
      case .waiting, .running, .unreachable, .done: break
      }
    }
    return taken
  }

  mutating func stopController(by signal: Int32) {
    guard controllerDriver != nil, signal == SIGTERM || signal == SIGKILL else { return }
    controllerEvents += controllerDriver?.send(.stop(isForced: signal == SIGKILL)) ?? []
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
    // What was there before the start is another controller's, which may live.
    for path in controllerFiles where FileSystem.version(of: path) != formerFiles[path] { FileSystem.remove(path) }
  }

  private var controllerFiles: [String] {
    ["client", "engine"].map { configuration.profile.connectionFile($0, clusterID: configuration.clusterID) }
  }
}
