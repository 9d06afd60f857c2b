import ApusMessaging
import GRDB

/// The table of ipyparallel's SQLite databases: its columns in their order, with the types that its reader looks for.
struct TaskTable {
  /// As asked for, or with the suffix that kept it apart from a table of another form.
  let name: String
  private let quotedName: String
  private let insertion: String
  private let selection: String

  private init(name: String) {
    self.name = name
    quotedName = Self.quoted(name)
    insertion = "INSERT OR REPLACE INTO \(quotedName) VALUES (\(Self.columns.map { _ in "?" }.joined(separator: ",")))"
    selection = "SELECT * FROM \(quotedName) WHERE msg_id = ?"
  }

  static func type(of field: TaskRecord.Field) -> String {
    switch field {
    case .header, .metadata, .content, .result_header, .result_metadata, .result_content: "dict text"
    case .buffers, .result_buffers: "bufs blob"
    case .submitted, .started, .completed, .received: "timestamp"
    default: "text"
    }
  }

  private static let columns = TaskRecord.Field.allCases.map { (name: $0.rawValue, type: type(of: $0)) }

  /// Finds the table, or makes it. One that has other columns is left alone: `_1`, `_2` and so on are tried instead, as ipyparallel does.
  init(_ wanted: String, in database: Database) throws {
    var name = wanted
    var attempt = 0
    while true {
      let found = try Row.fetchAll(database, sql: "PRAGMA table_info(\(Self.quoted(name)))").map { row in
        // Since version 3.37 SQLite answers TEXT where the table says text: ipyparallel takes its own tables for strangers' there.
        (name: TaskTable.text(row["name"]) ?? "", type: (TaskTable.text(row["type"]) ?? "").lowercased())
      }
      if found.isEmpty || found.elementsEqual(Self.columns, by: ==) { break }
      attempt += 1
      name = "\(wanted)_\(attempt)"
    }
    self.init(name: name)
    let list = Self.columns.map { "\($0.name) \($0.type)\($0.name == "msg_id" ? " PRIMARY KEY" : "")" }.joined(separator: ", ")
    try database.execute(sql: "CREATE TABLE IF NOT EXISTS \(quotedName) (\(list))")
    // For the history: without it, each row's buffers are paged through to get at the date behind them.
    let index = Self.quoted("\(name)-submitted")
    try database.execute(sql: "CREATE INDEX IF NOT EXISTS \(index) ON \(quotedName) (submitted, msg_id)")
  }

  /// Names come from options: anything may be in them.
  private static func quoted(_ name: String) -> String { "\"" + name.replacing("\"", with: "\"\"") + "\"" }

  private static func text(_ value: DatabaseValue) -> String? { if case .string(let text) = value.storage { text } else { nil } }

  // MARK: writing

  /// Groups of columns that change together, so that buffers are written once and not at every change.
  private static let requestFields: [TaskRecord.Field] = [.header, .metadata, .content, .buffers, .submitted, .client_uuid, .label]
  private static let replyFields: [TaskRecord.Field] = [
    .started, .completed, .received, .result_header, .result_metadata, .result_content, .result_buffers,
  ]
  private static let stateFields: [TaskRecord.Field] = [
    .engine_uuid, .resubmitted, .queue, .execute_input, .execute_result, .error, .stdout, .stderr,
  ]

  /// What SQLite takes in one row, with room for the record's header. More would not be refused but trap in the binding.
  static let rowLimit = 999_000_000

  /// Writes what is not in the record's row yet. Marks nothing: the transaction may still fail.
  func write(_ record: TaskRecord, in database: Database) throws {
    if record.marks.contains(.rowWritten) {
      var fields = Self.stateFields
      if record.hasRequest, !record.marks.contains(.requestWritten) { fields += Self.requestFields }
      if record.reply != nil, !record.marks.contains(.replyWritten) { fields += Self.replyFields }
      let assignments = fields.map { "\($0.rawValue) = ?" }.joined(separator: ", ")
      let statement = try database.cachedStatement(sql: "UPDATE \(quotedName) SET \(assignments) WHERE msg_id = ?")
      try statement.execute(arguments: arguments(fields + [.msg_id], of: record))
      // Somebody else may have purged the row meanwhile.
      if database.changesCount > 0 { return }
    }
    let statement = try database.cachedStatement(sql: insertion)
    try statement.execute(arguments: arguments(TaskRecord.Field.allCases, of: record))
  }

  private func arguments(_ fields: [TaskRecord.Field], of record: TaskRecord) -> StatementArguments {
    StatementArguments(fields.map { TaskRow.databaseValue($0, of: record) })
  }

  // MARK: reading

  /// Far below what SQLite takes in one value, and far above what a question needs. Clients write them, and more would trap in the binding.
  private static let argumentLimit = 100_000_000

  private static func check(_ argument: String) throws {
    guard argument.utf8.count > argumentLimit else { return }
    throw TaskDatabaseError(.invalidQuery, "the query is too long: \(argument.utf8.count) bytes, with at most \(argumentLimit)")
  }

  /// A row of `SELECT *` as a record.
  /// - Throws: `storage` if its buffers cannot be read: a result must not lose them silently.
  func load(_ id: MessageID, in database: Database) throws -> TaskRecord? {
    guard id.text.utf8.count <= Self.argumentLimit else { return nil }
    let statement = try database.cachedStatement(sql: selection)
    return try Row.fetchOne(statement, arguments: [id.text]).map { try TaskRow.record($0) }
  }

  /// Rows that may match, oldest first: the caller tests each of them. Skips those that `isKnown`.
  func find(_ query: TaskQuery, in database: Database, except isKnown: (MessageID) -> Bool) throws -> [TaskRecord] {
    let condition = query.condition
    try condition.arguments.forEach(Self.check)
    let sql = "SELECT * FROM \(quotedName) WHERE \(condition.sql) ORDER BY submitted IS NULL, submitted, rowid"
    var found: [TaskRecord] = []
    let rows = try Row.fetchCursor(database, sql: sql, arguments: StatementArguments(condition.arguments))
    while let row = try rows.next() {
      guard let id = Self.text(row[0]), !isKnown(MessageID(id)) else { continue }
      let record = try TaskRow.record(row)
      if query.matches(record) { found.append(record) }
    }
    return found
  }

  /// Ids and dates of all submissions.
  func submissions(in database: Database) throws -> [(id: MessageID, submitted: Int)] {
    let sql = "SELECT msg_id, submitted FROM \(quotedName) WHERE submitted IS NOT NULL ORDER BY submitted, rowid"
    var found: [(MessageID, Int)] = []
    let rows = try Row.fetchCursor(database, sql: sql)
    while let row = try rows.next() {
      guard let id = Self.text(row[0]) else { continue }
      found.append((MessageID(id), Self.text(row[1]).flatMap { Timestamp($0) }?.microseconds ?? Int.max))
    }
    return found
  }

  // MARK: removing

  private static let isFinished = "(completed IS NOT NULL OR result_header IS NOT NULL)"

  func remove(_ ids: [MessageID], in database: Database) throws {
    let list = JSONValue(ids.map(\.text)).text
    try Self.check(list)
    try database.execute(sql: "DELETE FROM \(quotedName) WHERE msg_id IN (SELECT value FROM json_each(?))", arguments: [list])
  }

  func removeFinished(in database: Database) throws {
    // Those that were never submitted hold output of tasks that nobody knows.
    try database.execute(sql: "DELETE FROM \(quotedName) WHERE \(Self.isFinished) OR submitted IS NULL")
  }

  func removeFinished(of engine: EngineUUID, in database: Database) throws {
    try database.execute(sql: "DELETE FROM \(quotedName) WHERE engine_uuid = ? AND \(Self.isFinished)", arguments: [engine.text])
  }
}
