import ApusCluster
import ApusProcess

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
    // Who says a name twice wants one end of it.
    var known: Set<String> = []
    paths = paths.filter { known.insert($0).inserted }
    let seconds = try configuration.double("connect_timeout", of: "SSHLauncher")
    let connectTimeout = seconds.flatMap { $0 > 0 && $0 < 1e6 ? Duration.milliseconds(Int($0 * 1000)) : nil }
    var failure: ClusterError?
    let stop = Stopping(
      environment: context.environment, connectTimeout: connectTimeout, isAll: isAll, isFace: context.isIpyparallelFace)
    // Each waits for its own processes, hosts and systems; one that fails keeps no other from its end.
    OrderedWork.run(paths.count, width: Self.width) { (message: Message) in
      switch message {
      case .note(let level, let text): context.note(level, text)
      case .failure(let error):
        context.output.error(error)
        failure = error
      }
    } _: { [paths] index, say in
      stop(paths[index], say)
    }
    // A slip in one name keeps no other from its end.
    for error in missing { context.output.error(error) }
    return (failure ?? missing.first)?.exitCode ?? .success
  }

  /// So many clusters are ended at the same time.
  private static let width = 8

  private enum Message: Sendable {
    case note(LogLevel, String)
    case failure(ClusterError)
  }

  /// Ends one cluster.
  private struct Stopping: Sendable {
    let environment: Environment
    let connectTimeout: Duration?
    let isAll: Bool
    /// Whether the command was called by ipyparallel's name.
    let isFace: Bool

    func callAsFunction(_ path: String, _ say: @Sendable (Message) -> Void) {
      do throws(ClusterError) {
        // In ipyparallel's words, which programs look for.
        if isFace { say(.note(.info, "Stopping cluster \(path)")) }
        let status = try ClusterStatus(reading: path)
        if isAll, let host = status.otherHost ?? status.hostOfController {
          return say(.note(.warning, "\(status.file.clusterID) is that of \(status.owner) on \(host), and is left to it: \(path)"))
        }
        let stopped = try ClusterStopper.stop(status, connectTimeout: connectTimeout, environment) { say(.note(.info, $0)) }
        if let program = status.file.program {
          if status.isLeftByProgram { say(.note(.info, "\(program) had ended before, and had left it")) }
        } else if let controller = status.deadController, status.file.supervisor == nil {
          say(
            .note(
              .warning,
              "its controller (process \(controller.pid)) had died before; its last words may be in \(controller.outputFile)"))
        }
        say(.note(.info, summary(stopped, path)))
      } catch { say(.failure(error)) }
    }

    private func summary(_ stopped: ClusterStopper.Result, _ path: String) -> String {
      let parts = [(stopped.processes, "process", "processes"), (stopped.engines, "engine elsewhere", "engines elsewhere")]
        .filter { $0.0 > 0 }.map { "\($0.0) \($0.0 == 1 ? $0.1 : $0.2)" }
      if parts.isEmpty { return "nothing of it ran any more; its files are removed: \(path)" }
      return "stopped \(parts.joined(separator: " and ")): \(path)\(stopped.hadToKill ? " (by SIGKILL, in part)" : "")"
    }
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
