import ApusCluster
import ApusMessaging

/// `apus clean`.
struct CleanCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() throws(ClusterError) -> ExitCode {
    let all = try context.configuration.bool("all_profiles", of: "IPClusterClean") ?? false
    let force = try context.configuration.bool("force", of: "IPClusterClean") ?? false
    let profiles = all ? context.selection.ipythonDirectory.profiles() : [context.selection.profile]
    var running: [String] = []
    if !force { for path in profiles.flatMap(StopCommand.leftByPrograms) { stop(path) } }
    var clusters = force ? [] : profiles.flatMap { $0.clusterFiles() }.compactMap { try? ClusterStatus(reading: $0) }
    ClusterStatus.ask(&clusters, context.environment)
    for profile in profiles {
      let paths = Set(profile.clusterFiles())
      let alive = clusters.filter { paths.contains($0.path) && $0.isRunning }.map(\.path)
      let elsewhere = clusters.filter { paths.contains($0.path) && $0.hostOfController != nil }
      if alive.isEmpty { clean(profile, force: force, but: elsewhere) } else { running += alive }
    }
    guard running.isEmpty else {
      throw ClusterError(
        .failure, "still running: \(running.joined(separator: ", ")); nothing was removed there",
        advice: "'apus stop' ends a cluster first; --force removes the files and leaves the processes to you.")
    }
    return .success
  }

  /// What a program has left that was killed. What does not end is still running.
  private func stop(_ path: String) {
    do throws(ClusterError) {
      try ClusterStopper.stop(try ClusterStatus(reading: path), context.environment) { context.note(.info, $0) }
      context.note(.info, "stopped what a program had left: \(path)")
    } catch { context.note(.warning, error.description) }
  }

  /// - Parameter elsewhere: clusters that may run on other hosts, which share the profile.
  private func clean(_ profile: ProfileDirectory, force: Bool, but elsewhere: [ClusterStatus]) {
    context.note(.info, "cleaning \(profile.location)")
    // A controller that somebody has started by hand has no cluster's file.
    var kept = Set(force ? [] : profile.controllers().flatMap { profile.files(ofController: $0) })
    if !kept.isEmpty { context.note(.warning, "a controller runs in \(profile.location): its files stay; --force removes them") }
    for status in elsewhere {
      // Its file says to the next one, too, whose the journal is.
      kept.formUnion(profile.files(ofController: status.file.clusterID) + [status.path])
      context.note(
        .warning,
        "\(status.path) is that of a cluster on \(status.hostOfController ?? "another host"), and may run there: its journal and its connection files stay; --force removes them"
      )
    }
    let journals = JournalDirectory.all(in: profile).filter { !kept.contains($0.path) }
    let logs = FileSystem.entries(of: profile.log).map { Path.join(profile.log, $0) }
    let connections = FileSystem.entries(of: profile.security).filter { $0.hasPrefix("ipcontroller-") && $0.hasSuffix(".json") }
      .map { Path.join(profile.security, $0) }
    // Of processes that were killed while they wrote; or that are writing, where they live.
    let unfinished = [profile.location, profile.log, profile.security, profile.startup].flatMap { AtomicFile.unfinished(in: $0) }
    kept.formUnion(unfinished.filter { kept.contains($0.target) }.map(\.path))
    // Those of the package for Python, whose names do not say which cluster's file is to become of them.
    let unnamed = FileSystem.entries(of: profile.security).filter { $0.hasPrefix(".cluster-") && elsewhere.isEmpty }
      .map { Path.join(profile.security, $0) }
    let all = profile.clusterFiles() + logs + connections + unnamed + unfinished.map(\.path)
    for path in all where FileSystem.isFile(path) && !kept.contains(path) {
      context.note(.debug, "removing \(path)")
      if !FileSystem.remove(path) { context.note(.error, "\(path) could not be removed") }
    }
    for journal in journals {
      context.note(.info, "removing a journal, and the tasks in it: \(journal.sentence)")
      if !journal.remove() { context.note(.error, "\(journal.path) could not be removed") }
    }
  }
}
