import ApusCluster

/// `apus clean`.
struct CleanCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() throws(ClusterError) -> ExitCode {
    let all = try context.configuration.bool("all_profiles", of: "IPClusterClean") ?? false
    let force = try context.configuration.bool("force", of: "IPClusterClean") ?? false
    let profiles = all ? context.selection.ipythonDirectory.profiles() : [context.selection.profile]
    var running: [String] = []
    for profile in profiles {
      let alive = force ? [] : profile.clusterFiles().filter(isRunning)
      if alive.isEmpty { clean(profile) } else { running += alive }
    }
    guard running.isEmpty else {
      throw ClusterError(
        .failure, "still running: \(running.joined(separator: ", ")); nothing was removed there",
        advice: "'apus stop' ends a cluster first; --force removes the files and leaves the processes to you.")
    }
    return .success
  }

  private func isRunning(_ path: String) -> Bool {
    guard var status = try? ClusterStatus(reading: path) else { return false }
    status.ask(context.environment)
    return status.isRunning
  }

  private func clean(_ profile: ProfileDirectory) {
    context.note(.info, "cleaning \(profile.location)")
    let logs = FileSystem.entries(of: profile.log).map { Path.join(profile.log, $0) }
    let connections = FileSystem.entries(of: profile.security).filter { $0.hasPrefix("ipcontroller-") && $0.hasSuffix(".json") }
      .map { Path.join(profile.security, $0) }
    for path in profile.clusterFiles() + logs + connections where FileSystem.isFile(path) {
      context.note(.debug, "removing \(path)")
      if !FileSystem.remove(path) { context.note(.error, "\(path) could not be removed") }
    }
  }
}
