import ApusCluster

/// `apus start` and `apus engines`.
struct StartCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() throws(ClusterError) -> ExitCode {
    let arguments = context.arguments.operands + context.arguments.passedThrough
    let configuration = try LaunchConfiguration(
      context.configuration, command: context.command, selection: context.selection, arguments: arguments,
      executable: context.executable,
      context.environment)
    if try context.configuration.bool("dry_run", of: "Cluster") ?? false {
      context.output.print(try configuration.preview())
      return .success
    }
    if context.command == .engines, !context.selection.profile.exists { throw noController }
    let launcher = try ClusterLauncher(configuration, announcer: Announcer(context: context))
    return try launcher.run()
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
}
