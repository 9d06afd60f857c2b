import ApusMessaging
import ApusProcess

/// All launchers by their names.
public enum LauncherRegistry {
  private static let batchSystems: [any BatchSystem.Type] = [Slurm.self, PBS.self, GridEngine.self, LSF.self, HTCondor.self]

  static func batchSystem(named name: String) -> (any BatchSystem)? { batchSystems.first { $0.name == name }?.init() }

  /// As options name them.
  public static let names = ["local", "ssh", "mpi"] + batchSystems.map { $0.name }

  /// - Parameter state: of a set of engines in a cluster's file.
  /// - Throws: with `.unsupported` for one of a launcher that Apus does not have, with `.damagedFile` for one that makes no sense.
  static func reconnect(_ state: JSONObject, launcher name: LauncherName, _ context: LauncherContext) throws(ClusterError)
    -> any Launcher
  {
    let entry = state["apus"]?["launcher"]?.stringValue ?? name.entry
    switch entry {
    case LocalLauncher.name: return try LocalLauncher(reconnecting: state, context)
    case SSHLauncher.name where state["apus"] != nil: return try SSHLauncher(reconnecting: state, context)
    case MPILauncher.name: return try MPILauncher(reconnecting: state, context)
    case let entry? where batchSystem(named: entry) != nil:
      var state = state
      // As ipyparallel wrote it.
      if state["apus"] == nil { state["apus"] = ["launcher": .string(entry)] }
      return try BatchLauncher(reconnecting: state, context)
    default:
      throw ClusterError(
        .unsupported, "engines were started by the launcher '\(name.text)', which Apus cannot take over",
        advice: "Stop them with the ipyparallel that started them.")
    }
  }
}
