import ApusClient
import ApusCluster
import ApusMessaging

/// `apus explain TASK|ENGINE`.
struct ExplainCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    guard let subject = context.arguments.operands.first else {
      throw ClusterError(.usage, "nothing is named", advice: "Name a task by its id, or an engine by its number: 'apus explain 0'.")
    }
    let connection = try ClusterConnection(context)
    let isJSON = try context.printsJSON
    return try await connection.withClient { client in
      var explanation = try await explain(subject, client)
      if explanation.status == "lost" { addLastWords(to: &explanation, connection.path) }
      if isJSON {
        context.output.print(String(decoding: explanation.json.encoded(pretty: true), as: UTF8.self) + "\n")
      } else {
        let lines = explanation.text.split(separator: "\n", omittingEmptySubsequences: false)
        context.output.print(lines.map { TerminalStyle.printable(String($0)) }.joined(separator: "\n"))
      }
      return explanation.status == "unknown" ? .missing : .success
    }
  }

  /// A number is an engine's; other words are a task's id, and else perhaps an engine's uuid.
  private func explain(_ subject: String, _ client: Client) async throws -> Explanation {
    if let number = Int(subject) { return try await client.explain(engine: EngineID(number)) }
    let task = try await client.explain(MessageID(subject))
    guard task.status == "unknown" else { return task }
    let engine = try await client.explain(engine: EngineUUID(subject))
    return engine.status == "unknown" ? task : engine
  }

  /// What the launcher of engines that have ended knows of them. It does not know which engine was which number.
  private func addLastWords(to explanation: inout Explanation, _ path: String) {
    for engine in context.endedEngines(at: path).suffix(5) {
      let words = engine.lines.suffix(5).map { "\n    \($0)" }.joined()
      explanation.reasons.append(
        .init("launcher", "its launcher knows: \(engine.sentence)\(words)", engine.json.objectValue ?? [:]))
    }
  }
}
