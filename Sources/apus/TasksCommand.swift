import ApusClient
import ApusCluster
import ApusMessaging

/// `apus tasks`.
struct TasksCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  /// Records that the hub is asked for at once: it answers nobody else meanwhile.
  private static let batch = 1000

  func run() async throws(ClusterError) -> ExitCode {
    let connection = try ClusterConnection(context)
    let application = context.command.application
    let limit = try context.configuration.integer("limit", of: application) ?? 20
    let state = try context.configuration.string("status", of: application).flatMap { TaskReport.State(rawValue: $0) }
    var query = JSONObject()
    if let label = try text("label") { query["label"] = ["$glob": .string(label)] }
    if let since = try text("since") { query["submitted"] = ["$gte": .string(try Timestamp(since: since).description)] }
    switch state {
    case .pending:
      query["completed"] = .null
      query["engine_uuid"] = .null
    case .running:
      query["completed"] = .null
      query["engine_uuid"] = ["$ne": .null]
    case .done, .failed: query["completed"] = ["$ne": .null]
    case nil: break
    }
    let (base, engine, isJSON) = (query, try text("engine"), try context.printsJSON)
    let named = context.arguments.operands.map { MessageID($0) }
    return try await connection.withClient { client in
      var query = base
      if let engine { query["engine_uuid"] = .string(try Self.uuid(engine, client)) }
      let tasks = try await find(query, named: named, state: state, limit: named.isEmpty ? limit : 0, client)
      for id in named where !tasks.contains(where: { $0.id == id.text }) {
        let isKnown = try await !client.taskQuery(["msg_id": .string(id.text)], fields: ["msg_id"]).isEmpty
        guard isKnown else {
          throw ClusterError(
            .missing, "there is no task \(id)", advice: "'apus tasks' lists the latest; the database may have let go of older ones."
          )
        }
      }
      show(tasks, isJSON: isJSON)
      return .success
    }
  }

  private func text(_ trait: String) throws(ClusterError) -> String? {
    let text = try context.configuration.string(trait, of: context.command.application)
    return text?.isEmpty == false ? text : nil
  }

  private static func uuid(_ text: String, _ client: Client) throws(ClusterError) -> String {
    guard let number = Int(text) else { return text }
    if let engine = client.engines.first(where: { $0.id.number == number }) { return engine.uuid.text }
    throw ClusterError(
      .missing, "engine \(number) is not registered",
      advice: "Tasks of an engine that is gone are found by its uuid: --engine=UUID.")
  }

  /// From the latest backwards, in batches, until there are enough.
  private func find(
    _ query: JSONObject, named: [MessageID], state: TaskReport.State?, limit: Int, _ client: Client
  ) async throws -> [TaskReport] {
    let engines = Dictionary(client.engines.map { ($0.uuid.text, $0.id.number) }) { $1 }
    func reports(_ query: JSONObject) async throws -> [TaskReport] {
      try await client.taskQuery(query, fields: TaskReport.fields).map {
        TaskReport(id: $0.id.text, fields: $0.fields, engines: engines)
      }
      .filter { state == nil || $0.state == state }
    }
    var found: [TaskReport] = []
    var ids = (named.isEmpty ? try await client.history() : named)[...]
    while !ids.isEmpty, limit == 0 || found.count < limit {
      let batch = ids.suffix(limit > 0 && query.isEmpty ? min(limit, Self.batch) : Self.batch)
      ids = ids.dropLast(batch.count)
      var part = query
      part["msg_id"] = ["$in": JSONValue(batch.map(\.text))]
      let order = Dictionary(batch.enumerated().map { ($0.element.text, $0.offset) }) { $1 }
      found = try await reports(part).sorted { order[$0.id, default: 0] < order[$1.id, default: 0] } + found
    }
    return limit > 0 ? found.suffix(limit) : found
  }

  private func show(_ tasks: [TaskReport], isJSON: Bool) {
    if isJSON {
      context.output.print(String(decoding: JSONValue.array(tasks.map(\.json)).encoded(pretty: true), as: UTF8.self) + "\n")
    } else if tasks.isEmpty {
      context.output.note(.info, "no tasks")
    } else {
      context.output.print(TaskReport.table(tasks, isStyled: context.output.isOutputColoured))
    }
  }
}
