import ApusClient
import ApusCluster
import ApusMessaging

/// `apus abort [ID…|--all]`.
struct AbortCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  /// Between two looks whether the tasks have ended.
  private static let pause = Duration.milliseconds(50)

  func run() async throws(ClusterError) -> ExitCode {
    let application = context.command.application
    let isAll = try context.configuration.bool("all_tasks", of: application) ?? false
    let named = context.arguments.operands.map { MessageID($0) }
    guard isAll != !named.isEmpty else {
      throw ClusterError(
        .usage, isAll ? "--all is all tasks, and some are named too" : "no task is named",
        advice: "Name tasks by their ids ('apus tasks --status=running' shows them), or write --all.")
    }
    let connection = try ClusterConnection(context)
    let interrupts = try !(context.configuration.bool("queued_only", of: application) ?? false)
    let limit = Duration.seconds(try context.configuration.double("timeout", of: application) ?? 5)
    let isJSON = try context.printsJSON
    return try await connection.withClient { client in
      let outstanding = try await client.outstandingTasks().ids
      let wanted = isAll ? outstanding.sorted { $0.text < $1.text } : named
      let open = wanted.filter { outstanding.contains($0) }
      let ended = wanted.filter { !outstanding.contains($0) }
      if !ended.isEmpty { try await check(ended, client) }
      let left = try await abort(open, interrupts: interrupts, within: limit, client)
      report(aborted: open.filter { !left.contains($0) }, left: left, ended: ended, isJSON: isJSON, interrupts: interrupts)
      return left.isEmpty ? .success : .failure
    }
  }

  /// What is named and not under way must at least have been there.
  private func check(_ ids: [MessageID], _ client: Client) async throws {
    for id in ids {
      do { _ = try await client.resultStatus(of: [id]) } catch let error as RemoteError where error.name == "KeyError" {
        throw ClusterError(
          .missing, "there is no task \(id); nothing was aborted", advice: "'apus tasks --status=running' shows what runs.")
      }
    }
  }

  /// - Returns: those that have not ended.
  private func abort(_ ids: [MessageID], interrupts: Bool, within limit: Duration, _ client: Client) async throws -> [MessageID] {
    guard !ids.isEmpty else { return [] }
    try await client.abort(ids, interruptsRunning: interrupts)
    let deadline = ContinuousClock.now + limit
    var left = ids
    while true {
      let outstanding = try await client.outstandingTasks().ids
      left = left.filter { outstanding.contains($0) }
      if left.isEmpty || deadline <= .now { return left }
      try await Task.sleep(for: Self.pause)
    }
  }

  private func report(aborted: [MessageID], left: [MessageID], ended: [MessageID], isJSON: Bool, interrupts: Bool) {
    if isJSON {
      let document: JSONValue = [
        "aborted": JSONValue(aborted.map(\.text)), "outstanding": JSONValue(left.map(\.text)),
        "ended_before": JSONValue(ended.map(\.text)),
      ]
      return context.output.print(String(decoding: document.encoded(pretty: true), as: UTF8.self) + "\n")
    }
    func tasks(_ count: Int) -> String { count == 1 ? "1 task" : "\(count) tasks" }
    context.output.print("\(tasks(aborted.count)) aborted\(ended.isEmpty ? "" : ", \(ended.count) had ended before")\n")
    guard !left.isEmpty else { return }
    let reason =
      interrupts
      ? "their engines are of ipyparallel, their code heeds no interrupt, or they wait behind such a task"
      : "they run, or wait behind one that runs and end when their turn comes"
    context.output.note(.warning, "not ended yet: \(left.map(\.text).joined(separator: ", ")) (\(reason))")
  }
}
