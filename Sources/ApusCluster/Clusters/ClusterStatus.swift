/// What of a cluster's file is still true: processes that have ended are left out.
public struct ClusterStatus: Sendable, Hashable {
  public let path: String
  /// Without the processes that have ended.
  public private(set) var file: ClusterFile
  /// What the file names as its controller, where that has ended without being asked to.
  public private(set) var deadController: ClusterFile.Process?

  public init(_ file: ClusterFile, path: String, isAlive: (ClusterFile.Process, ClusterFile) -> Bool = ProcessTable.isAlive(_:of:))
  {
    self.path = path
    self.file = file
    if LauncherName(file.controllerLauncher).isLocal, let controller = file.controller, !isAlive(controller, file) {
      deadController = controller
      self.file.controller = nil
    }
    guard LauncherName(file.engineLauncher).isLocal else { return }
    for (id, set) in file.engineSets {
      let engines = set.engines.filter { isAlive($0.value, file) }
      if engines.isEmpty { self.file.engineSets[id] = nil } else { self.file.engineSets[id]?.engines = engines }
      if !engines.isEmpty { self.file.engineSets[id]?.count = engines.count }
    }
  }

  public init(reading path: String) throws(ClusterError) { self.init(try ClusterFile(reading: path), path: path) }

  /// A controller on another host, or in a batch system, counts as running for as long as its file says so.
  public var isControllerRunning: Bool {
    file.controller != nil || !LauncherName(file.controllerLauncher).isLocal && file.originalController != nil
  }
  public var isRunning: Bool { isControllerRunning || !file.engineSets.isEmpty }
  public var engineCount: Int { file.engineSets.values.reduce(0) { $0 + $1.count } }

  /// Processes on this host that belong to the cluster.
  public var processes: [ClusterFile.Process] {
    guard file.isLocal else { return [] }
    return (file.controller.map { [$0] } ?? []) + file.engineSets.values.flatMap(\.engines.values)
  }
}
