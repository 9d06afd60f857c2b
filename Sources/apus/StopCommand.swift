import ApusCluster

/// `apus stop`.
struct StopCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() throws(ClusterError) -> ExitCode {
    let profile = context.selection.profile
    let configuration = context.configuration
    var paths: [String]
    var missing: [ClusterError] = []
    let isAll = try configuration.bool("all_cluster_ids", of: "IPClusterStop") ?? false
    if isAll {
      paths = profile.clusterFiles()
      if paths.isEmpty { context.note(.info, "no clusters to stop in \(profile.location)") }
    } else {
      var ids = context.arguments.operands
      let said = try configuration.string("cluster_id", of: "IPClusterStop")
      if ids.isEmpty { ids = [said ?? ""] }
      // Nobody knows the names of these, nor wants them to go on.
      let left = Self.leftByPrograms(in: profile)
      // Who has said no name may have meant them.
      let mayBeMissing = context.arguments.operands.isEmpty && said == nil && !left.isEmpty
      missing = ids.map { ($0, profile.clusterFile($0)) }.filter { !mayBeMissing && !FileSystem.exists($0.1) }.map(self.missing)
      paths = ids.map { profile.clusterFile($0) }.filter { FileSystem.exists($0) }
      paths += left.filter { !paths.contains($0) }
    }
    let seconds = try configuration.double("connect_timeout", of: "SSHLauncher")
    let connectTimeout = seconds.flatMap { $0 > 0 && $0 < 1e6 ? Duration.milliseconds(Int($0 * 1000)) : nil }
    var failure: ClusterError?
    for path in paths {
      do throws(ClusterError) {
        // In ipyparallel's words, which programs look for.
        if context.isIpyparallelFace { context.note(.info, "Stopping cluster \(path)") }
        let status = try ClusterStatus(reading: path)
        if isAll, let host = status.otherHost {
          context.note(.warning, "\(status.file.clusterID) is that of a program on \(host), and is left to it: \(path)")
          continue
        }
        let stopped = try ClusterStopper.stop(status, connectTimeout: connectTimeout, context.environment) {
          context.note(.info, $0)
        }
        if let program = status.file.program {
          if status.isLeftByProgram { context.note(.info, "\(program) had ended before, and had left it") }
        } else if let controller = status.deadController, status.file.supervisor == nil {
          context.note(
            .warning,
            "its controller (process \(controller.pid)) had died before; its last words may be in \(controller.outputFile)")
        }
        let parts = [(stopped.processes, "process", "processes"), (stopped.engines, "engine elsewhere", "engines elsewhere")]
          .filter { $0.0 > 0 }.map { "\($0.0) \($0.0 == 1 ? $0.1 : $0.2)" }
        context.note(
          .info,
          parts.isEmpty
            ? "nothing of it ran any more; its files are removed: \(path)"
            : "stopped \(parts.joined(separator: " and ")): \(path)\(stopped.hadToKill ? " (by SIGKILL, in part)" : "")")
      } catch {
        // The others are stopped all the same.
        context.output.error(error)
        failure = error
      }
    }
    // A slip in one name keeps no other from its end.
    for error in missing { context.output.error(error) }
    return (failure ?? missing.first)?.exitCode ?? .success
  }

  /// Clusters of programs that were killed.
  static func leftByPrograms(in profile: ProfileDirectory) -> [String] {
    profile.clusterFiles().filter { (try? ClusterStatus(reading: $0))?.isLeftByProgram ?? false }
  }

  private func missing(_ id: String, _ path: String) -> ClusterError {
    let directory = context.selection.ipythonDirectory
    var advice = "'apus list' shows what runs."
    let others = context.selection.profile.clusterFiles().map { Path.name($0).dropFirst("cluster-".count).dropLast(".json".count) }
    if !others.isEmpty {
      advice = "The profile has \(others.map { "'\($0)'" }.joined(separator: ", ")): 'apus stop ID', or 'apus stop --all'."
    } else if let elsewhere = directory.profiles().first(where: { !$0.clusterFiles().isEmpty }) {
      advice = "There is one in another profile: --profile=\(directory.abbreviation(of: elsewhere.location)). \(advice)"
    }
    return ClusterError(
      .alreadyStopped, "there is no cluster \(id.isEmpty ? "" : "'\(id)' ")to stop: no file \(path)", advice: advice)
  }
}
