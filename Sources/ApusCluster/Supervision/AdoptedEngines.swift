import ApusProcess
import ApusMessaging

/// Engines that have lost their controller and the launcher that watched over both: a new launcher goes on with them.
struct AdoptedEngines {
  /// Of the set, in the cluster's file.
  let setID: String
  let state: JSONObject
  let steps: LauncherSteps
  /// Those that live.
  let engines: Set<Int>
  /// Other sets of the same cluster, which other launchers started: they stay as they are.
  let others: [String: ClusterFile.EngineSet]

  /// - Returns: `nil` where no engine is left.
  /// - Throws: where the system that runs them does not answer.
  init?(_ status: ClusterStatus, _ configuration: LaunchConfiguration) throws(ClusterError) {
    var context = LauncherContext(
      environment: configuration.engines.command.environment, profile: configuration.profile, settles: true)
    for (id, set) in status.file.engineSets.sorted(by: { $0.key > $1.key }) {
      if Self.isWatched(id, status) { continue }
      context.setID = id
      let state = status.file.state(of: set)
      var steps = LauncherSteps(
        try LauncherRegistry.reconnect(state, launcher: status.file.launcher(of: set), context),
        outputLimit: configuration.outputLimit)
      var job = configuration.engines
      job.setID = id
      do throws(ClusterError) { _ = try steps.takeOver(job) } catch {
        steps.leave()
        throw error
      }
      guard !steps.live.isEmpty else {
        steps.leave()
        continue
      }
      var others = status.file.engineSets
      others[id] = nil
      (setID, self.state, self.steps, engines, self.others) = (id, steps.state ?? state, steps, steps.live, others)
      return
    }
    return nil
  }

  /// Whether the set is that of a launcher that is still there: it goes on with its engines itself.
  static func isWatched(_ set: String, _ status: ClusterStatus) -> Bool {
    status.file.launchers.contains { set.hasSuffix("-\($0.pid)") }
  }
}
