import ApusCluster
import ApusProcess
import Glibc

/// `apus start` and `apus engines`.
struct StartCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() throws(ClusterError) -> ExitCode {
    let arguments = context.arguments.operands + context.arguments.passedThrough
    var configuration = try LaunchConfiguration(
      context.configuration, command: context.command, selection: context.selection, arguments: arguments,
      executable: context.executable,
      context.environment)
    if try context.configuration.bool("dry_run", of: "Cluster") ?? false {
      context.output.print(try configuration.preview())
      return .success
    }
    // A launcher in the background would say it once more.
    if let warning = configuration.warning, context.environment[DetachedSupervisor.variable] == nil {
      context.note(.warning, warning)
    }
    if context.command == .engines, !context.selection.profile.exists { throw noController }
    if configuration.plan.daemonizes, configuration.plan.stays {
      guard let log = context.environment[DetachedSupervisor.variable] else { return try startSupervisor(configuration) }
      configuration.plan.daemonizes = false
      configuration.isSupervisor = true
      configuration.supervisorLog = log
    }
    let launcher = try ClusterLauncher(configuration, announcer: Announcer(context: context))
    return try launcher.run()
  }

  /// The same command again, in the background: somebody has to start the controller again.
  private func startSupervisor(_ configuration: LaunchConfiguration) throws(ClusterError) -> ExitCode {
    var environment = context.environment
    environment["IPP_PROFILE_DIR"] = configuration.profile.location
    environment["IPP_CLUSTER_ID"] = configuration.clusterID
    let command = ChildProcess.Command(program: context.executable, arguments: CommandLine.arguments, environment: environment)
    let id = configuration.clusterID.isEmpty ? "" : "\(configuration.clusterID)-"
    let log = "\(configuration.profile.log)/ipcluster-\(id)\(getpid()).log"
    let code = try DetachedSupervisor(command, log: log).run {
      context.output.print($0 + "\n")
    } note: {
      Terminal.write($0 + "\n", to: STDERR_FILENO)
    }
    if code == .success {
      context.note(
        .info,
        "the cluster goes on in the background: 'apus stop' (or 'ipcluster stop') ends it; "
          + configuration.profile.clusterFile(configuration.clusterID))
    }
    return code
  }

  private var noController: ClusterError {
    ClusterError(
      .noController, "there is no profile \(context.selection.profile.location), and so no controller to connect to",
      advice: "Start one with 'apus start' or 'apus controller'.")
  }
}

/// Prints what a launcher has to say.
private struct Announcer: ClusterAnnouncer {
  let context: CommandContext
  func say(_ level: LogLevel, _ text: String) { context.note(level, text) }
  func show(progress: String?) { if context.logLevel <= .info { context.output.progress(progress) } }
  func announce(ready: String) {
    context.output.progress(nil)
    guard context.logLevel <= .warning else { return }
    if context.logsToFile { context.note(.info, ready) }
    context.output.print(ready + "\n")
  }

  func serving(_ code: ExitCode) { context.output.print("\(DetachedSupervisor.readyMark)\(code.rawValue)\n") }
}
