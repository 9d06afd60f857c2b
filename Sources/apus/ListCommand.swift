import ApusCluster
import ApusMessaging

/// `apus list`.
struct ListCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() throws(ClusterError) -> ExitCode {
    let profiles = context.selection.isExplicit ? [context.selection.profile] : context.selection.ipythonDirectory.profiles()
    var clusters: [ClusterStatus] = []
    for path in profiles.flatMap({ $0.clusterFiles() }) {
      do throws(ClusterError) { clusters.append(try ClusterStatus(reading: path)) } catch { context.note(.warning, error.reason) }
    }
    ClusterStatus.ask(&clusters, context.environment)
    clusters.sort { ($0.file.profile, $0.file.clusterID) < ($1.file.profile, $1.file.clusterID) }
    if try context.configuration.string("output_format", of: "IPClusterList") == "json" {
      context.output.print(JSONValue.array(clusters.map(\.file.json)).text + "\n")
    } else {
      context.output.print(table(clusters))
      // Not in the table, which scripts split.
      for engine in clusters.flatMap(\.file.ended).suffix(20) { context.note(.info, engine.sentence) }
    }
    for cluster in clusters {
      guard let host = cluster.otherHost else { continue }
      context.note(
        .info, "\(cluster.file.clusterID) is that of \(cluster.owner) on \(host): whether it still runs is known only there")
    }
    for trouble in clusters.flatMap(\.troubles) { context.note(.warning, trouble.description) }
    return .success
  }

  /// ipyparallel's columns: scripts split them.
  private func table(_ clusters: [ClusterStatus]) -> String {
    var lines = [row("PROFILE", "CLUSTER ID", "RUNNING", "ENGINES", "LAUNCHER")]
    for cluster in clusters {
      lines.append(
        row(
          context.selection.ipythonDirectory.abbreviation(of: cluster.file.profile),
          cluster.file.clusterID.isEmpty ? "''" : cluster.file.clusterID, running(cluster),
          pad(String(cluster.engineCount), 7, leading: true), cluster.file.launcherTitle))
    }
    return lines.map { $0 + "\n" }.joined()
  }

  private func running(_ cluster: ClusterStatus) -> String {
    cluster.isControllerRunning ? "True" : cluster.isRestarting ? "Restarting" : "False"
  }

  private func row(_ profile: String, _ id: String, _ running: String, _ engines: String, _ launcher: String) -> String {
    "\(pad(profile, 16)) \(pad(id, 32)) \(pad(running, 7)) \(pad(engines, 7)) \(launcher)"
  }

  private func pad(_ text: String, _ width: Int, leading: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return leading ? space + text : text + space
  }
}
