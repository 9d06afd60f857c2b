import ApusCluster
import Glibc

/// What was called, under which name: `apus start`, `ipcluster start`, `ipcontroller`, `ipengine`.
struct Invocation {
  private let arguments: [String]
  /// How the program was called: `ipcluster` and its companions are links to it.
  static let face: String = {
    let name = Path.name(CommandLine.arguments.first ?? "apus")
    return ["ipcluster", "ipcontroller", "ipengine"].contains(name) ? name : "apus"
  }()
  private var face: String { Self.face }
  private let output = Terminal()

  init(_ commandLine: [String]) {
    arguments = Array(commandLine.dropFirst())
  }

  func run() async -> ExitCode {
    defer { LogWriter.flush() }
    do throws(ClusterError) {
      switch face {
      case "ipcontroller": return try await run(.controller, arguments)
      case "ipengine": return try await run(.engine, arguments)
      default: return try await runSubcommand()
      }
    } catch {
      // What was said before comes before.
      LogWriter.flush()
      output.error(error)
      return error.exitCode
    }
  }

  private var commands: [CommandSpecification] { face == "apus" ? CommandSpecification.all : CommandSpecification.ofCluster }

  private func runSubcommand() async throws(ClusterError) -> ExitCode {
    guard let name = arguments.first else {
      output.print(overview)
      return .failure
    }
    switch name {
    case "-h", "--help", "help":
      output.print(overview)
      return .success
    case "--help-all":
      for command in commands { output.print(HelpText(program: face).text(for: command, everything: true) + "\n") }
      return .success
    case "--version":
      printVersion()
      return .success
    case "profile" where face == "apus": return try ProfileCommand(Array(arguments.dropFirst()), output).run()
    case "nbextension":
      throw ClusterError(
        .unsupported, "the classic notebook's extension is not in Apus",
        advice: "ipyparallel's own for Jupyter works with Apus's clusters.")
    default: break
    }
    guard let command = commands.first(where: { $0.name == name }) else {
      let near = Suggestion.nearest(to: name, among: commands.map(\.name))
      throw ClusterError(
        .usage, "there is no command '\(name)'\(near.map { "; did you mean '\($0)'?" } ?? "")",
        advice: "'\(face) --help' lists the commands.")
    }
    return try await run(command, Array(arguments.dropFirst()))
  }

  private var overview: String {
    HelpText(program: face).overview(
      commands,
      introduction: face == "apus"
        ? "Apus: clusters of engines for interactive parallel computing, for programs in Swift and for clients of ipyparallel."
        : "Start, list and stop clusters of engines on this machine.")
  }

  private func printVersion() {
    output.print(face == "apus" ? "\(Version.apus) (speaks ipyparallel \(Version.ipyparallel))\n" : "\(Version.ipyparallel)\n")
  }

  private func run(_ command: CommandSpecification, _ arguments: [String]) async throws(ClusterError) -> ExitCode {
    // The engine reads its options itself, in Python: IPython's are among them.
    if command == .engine {
      if let action = EngineCommand.action(in: arguments) { return act(action, command) }
      if EngineCommand.wantsConfiguration(in: arguments) {
        let context = try CommandContext(command, try CommandLineParser.parse(arguments, for: command), output: output)
        if try context.showConfiguration() { return .success }
      }
      try EngineCommand(arguments.filter { $0 != "--init" }).run()
    }
    let parsed = try CommandLineParser.parse(arguments, for: command)
    if let action = parsed.action { return act(action, command) }
    let context = try CommandContext(command, parsed, output: output)
    if try context.showConfiguration() { return .success }
    switch command {
    case .start, .engines: return try StartCommand(context).run()
    case .stop: return try StopCommand(context).run()
    case .list: return try ListCommand(context).run()
    case .clean: return try CleanCommand(context).run()
    case .px: return try await PxCommand(context).run()
    case .run: return try await RunCommand(context).run()
    case .scale: return try await ScaleCommand(context).run()
    case .restart: return try await RestartCommand(context).run()
    case .status: return try await StatusCommand(context).run()
    case .tasks: return try await TasksCommand(context).run()
    case .explain: return try await ExplainCommand(context).run()
    case .story: return try await StoryCommand(context).run()
    case .trace: return try await TraceCommand(context).run()
    case .abort: return try await AbortCommand(context).run()
    default: return try await ControllerCommand(context).run()
    }
  }

  private func act(_ action: CommandOption.Action, _ command: CommandSpecification) -> ExitCode {
    switch action {
    case .version: printVersion()
    case .help: output.print(HelpText(program: face).text(for: command))
    case .helpAll: output.print(HelpText(program: face).text(for: command, everything: true))
    }
    return .success
  }
}
