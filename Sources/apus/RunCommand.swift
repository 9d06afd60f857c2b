import ApusCluster

/// `apus run SCRIPT [ARGUMENT]…`.
struct RunCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    guard let path = context.arguments.operands.first else {
      throw ClusterError(.usage, "there is no script to run", advice: "For example: apus run simulate.py --steps 100.")
    }
    let run = try CellRun(context)
    let script = try ScriptFile(path, arguments: Array(context.arguments.operands.dropFirst()))
    return try await run.run(script.cell, label: "apus run \(Path.name(path))")
  }
}
