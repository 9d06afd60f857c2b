import ArgumentParser

/// A native load on a controller: what it can do when client and engines cost next to nothing.
@main struct LoadProgram: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus-bench",
    abstract: "Load a controller with native clients and engines.",
    discussion: """
      Every command measures a running controller (--profile-dir, or --client-file and --engine-file) or starts one in a temporary \
      profile (--controller; by default the apus beside this program). Numbers are medians of rounds with the least and the greatest \
      in parentheses. Exit code 1: a task was lost, answered twice or answered wrongly, or a measurement could not be made.
      """,
    subcommands: [
      TasksCommand.self, RoundTripCommand.self, BurstCommand.self, EnginesCommand.self, RawCommand.self,
      EchoEngineCommand.self, RawRelayCommand.self,
    ])
}

/// What every measuring command takes.
struct OutputOptions: ParsableArguments {
  @Flag(help: "One flat JSON object on one line instead of a table.") var json = false
}

/// What a task weighs.
struct TaskOptions: ParsableArguments {
  @Option(help: "Bytes of the one buffer that each request carries.") var payload = 100
  @Option(help: "Echo engines, each in a process of its own.") var engines = 2

  func validate() throws {
    guard payload >= 0, engines > 0 else { throw ValidationError("--payload is 0 or more, --engines 1 or more") }
  }
}
