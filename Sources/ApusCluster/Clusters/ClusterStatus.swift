public import ApusProcess

/// What of a cluster's file is still true: engines and a controller that have ended are left out.
public struct ClusterStatus: Sendable, Hashable {
  public let path: String
  /// Without the processes that have ended.
  public private(set) var file: ClusterFile
  /// What the file names as its controller, where that has ended without being asked to.
  public private(set) var deadController: ClusterFile.Process?
  /// What a launcher started that was killed before it could say so in the file.
  public private(set) var unnamed: [ClusterFile.Process] = []
  /// Why batch systems and hosts could not be asked.
  public private(set) var troubles: [ClusterError] = []

  public init(
    _ file: ClusterFile, path: String, isAlive: (ClusterFile.Process, ClusterFile) -> Bool = ProcessTable.isAlive(_:of:),
    started: (ClusterFile) -> [ClusterFile.Process] = ProcessTable.started(for:)
  ) {
    self.path = path
    self.file = file
    if LauncherName(file.controllerLauncher).isLocal, let controller = file.controller, !isAlive(controller, file) {
      deadController = controller
      self.file.controller = nil
    }
    self.file.launchers.removeAll { !isAlive($0, file) }
    if let supervisor = file.supervisor, !isAlive(supervisor, file) { self.file.supervisor = nil }
    let isLauncherDead = self.file.launchers.count < file.launchers.count || self.file.supervisor == nil && file.supervisor != nil
    for (id, set) in file.engineSets where set.state == nil {
      let engines = set.engines.filter { isAlive($0.value, file) }
      if engines.isEmpty { self.file.engineSets[id] = nil } else { self.file.engineSets[id]?.engines = engines }
      if !engines.isEmpty { self.file.engineSets[id]?.count = engines.count }
    }
    if isLauncherDead {
      let named = Set(self.processes.map(\.pid))
      unnamed = started(file).filter { !named.contains($0.pid) }
    }
  }

  public init(reading path: String) throws(ClusterError) { self.init(try ClusterFile(reading: path), path: path) }

  /// Asks batch systems, hosts and mpiexec how their engines are, which takes as long as their commands do; without it, their engines count
  /// as running for as long as the file says so. Those that have ended are taken out of the sets and put among the ended.
  public mutating func ask(_ environment: Environment) {
    askController(environment)
    for (id, set) in file.engineSets.sorted(by: { $0.key < $1.key }) {
      guard let state = set.state else { continue }
      let context = LauncherContext(environment: environment, profile: ProfileDirectory(file.profile))
      do throws(ClusterError) {
        var steps = LauncherSteps(try LauncherRegistry.reconnect(state, launcher: file.launcher(of: set), context), outputLimit: 20)
        let ended = try steps.takeOver().sorted { $0.index < $1.index }
        let count = steps.live.count
        if count == 0 { file.engineSets[id] = nil } else { file.engineSets[id]?.count = count }
        // What ended in order is no news.
        for var engine in ended
        where !engine.end.isSuccess && !file.ended.contains(where: { $0.set == id && $0.index == engine.index }) {
          engine.set = id
          file.ended.append(engine)
        }
        steps.leave()
      } catch { troubles.append(error) }
    }
  }

  private mutating func askController(_ environment: Environment) {
    guard let state = file.controllerElsewhere else { return }
    let context = LauncherContext(environment: environment, profile: ProfileDirectory(file.profile))
    do throws(ClusterError) {
      let launcher = try LauncherRegistry.reconnect(state, launcher: LauncherName(file.controllerLauncher), context)
      var steps = LauncherSteps(launcher, outputLimit: 20)
      _ = try steps.takeOver()
      // mpiexec is a process of this host: it stands in both.
      if steps.live.isEmpty { (file.controller, file.originalController) = (nil, nil) }
      steps.leave()
    } catch { troubles.append(error) }
  }

  /// A controller on another host, or in a batch system, counts as running for as long as its file says so.
  public var isControllerRunning: Bool {
    file.controller != nil || !LauncherName(file.controllerLauncher).isLocal && file.originalController != nil
  }
  /// Controller and launcher have both died, and engines are left.
  public var isAbandoned: Bool { !isControllerRunning && file.supervisor == nil && !file.engineSets.isEmpty }
  /// The controller has died, and its launcher starts it again.
  public var isRestarting: Bool { !isControllerRunning && file.supervisor != nil && file.restartsController }
  public var isRunning: Bool { isControllerRunning || file.supervisor != nil || !file.engineSets.isEmpty || !unnamed.isEmpty }
  /// Engines that are processes of this host.
  var localEngineCount: Int { file.engineSets.values.reduce(0) { $0 + $1.engines.count } }
  /// Whether no other system has, or is about to get, a part in it.
  var isHere: Bool { file.isLocal && LauncherName(file.engineLauncher).isLocal }
  public var engineCount: Int { file.engineSets.values.reduce(0) { $0 + $1.count } }

  /// Processes on this host that belong to the cluster.
  public var processes: [ClusterFile.Process] {
    let controller = LauncherName(file.controllerLauncher).isLocal ? file.controller : nil
    // The supervisor first: it is not to start anything again.
    return [file.supervisor, controller].compactMap { $0 } + file.engineSets.values.flatMap(\.engines.values) + unnamed
  }

  /// Beginnings of the names of logs that the engines write.
  var logStems: [String] { file.engineSets.keys.map { "ipengine-\(file.clusterID)-\($0)" } }
}
