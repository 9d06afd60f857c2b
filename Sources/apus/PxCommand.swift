import ApusCluster

/// `apus px 'code'`.
struct PxCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    let operands = context.arguments.operands
    guard let first = operands.first else {
      throw ClusterError(
        .usage, "there is no code to run", advice: "For example: apus px 'import os; os.getpid()'; - reads standard input.")
    }
    guard operands.count == 1 else {
      throw ClusterError(
        .usage, "the code is one word for the shell, and there are \(operands.count)",
        advice: "Put it between quotes: apus px 'x = 5'.")
    }
    let run = try CellRun(context)
    let code = first == "-" ? try ScriptFile.standardInput() : first
    return try await run.run(code, label: "apus px")
  }
}
