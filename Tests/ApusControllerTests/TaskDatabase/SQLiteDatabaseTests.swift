import ApusMessaging
import Foundation
import GRDB
import Testing
import Transport

@testable import ApusController

@Suite("The database in SQLite")
struct SQLiteDatabaseTests {
  private let directory: URL
  private let path: String

  init() throws {
    directory = try temporaryDirectory()
    path = directory.path + "/tasks.db"
  }

  private func clean() { try? FileManager.default.removeItem(at: directory) }

  /// Another program's look into the file.
  private func rows(_ sql: String) throws -> [[String?]] {
    let file = try DatabaseQueue(path: path)
    return try file.read { try Row.fetchAll($0, sql: sql).map { $0.databaseValues.map { String.fromDatabaseValue($0) } } }
  }

  @Test func theTableIsIpyparallels() throws {
    defer { clean() }
    let database = try SQLiteDatabase(.init(path: path))
    #expect(database.tableName == "ipython-tasks")
    let columns = try rows("SELECT name || '|' || lower(type) || '|' || pk FROM pragma_table_info('ipython-tasks')").map {
      $0[0] ?? ""
    }
    #expect(
      columns == [
        "msg_id|text|1", "header|dict text|0", "metadata|dict text|0", "content|dict text|0", "buffers|bufs blob|0",
        "submitted|timestamp|0",
        "client_uuid|text|0", "engine_uuid|text|0", "started|timestamp|0", "completed|timestamp|0", "resubmitted|text|0",
        "received|timestamp|0", "result_header|dict text|0", "result_metadata|dict text|0", "result_content|dict text|0",
        "result_buffers|bufs blob|0", "queue|text|0", "execute_input|text|0", "execute_result|text|0", "error|text|0",
        "stdout|text|0",
        "stderr|text|0", "label|text|0",
      ])
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
  }

  @Test func rowsAreAsIpyparallelWritesThem() throws {
    defer { clean() }
    let database = try SQLiteDatabase(.init(path: path))
    try database.submit(1, label: "x")
    try database.output(1, .stream, ["name": "stderr", "text": "oh"])
    try database.flush()
    #expect(
      try rows("SELECT submitted, completed, client_uuid, queue, label, stdout, stderr FROM 'ipython-tasks'") == [
        ["2026-02-02T02:40:01+00:00", nil, "client-1", "task", "x", "", "oh"]
      ])
    try database.finish(1, at: 2)
    try database.flush()
    #expect(
      try rows("SELECT submitted, completed, received, engine_uuid, result_content FROM 'ipython-tasks'") == [
        ["2026-02-02T02:40:01+00:00", "2026-02-02T02:40:02+00:00", "2026-02-02T02:40:03+00:00", "engine-1", "{\"status\":\"ok\"}"]
      ])
  }

  @Test func aTableOfAnotherFormIsLeftAlone() throws {
    defer { clean() }
    let file = try DatabaseQueue(path: path)
    try file.write {
      try $0.execute(sql: "CREATE TABLE 'ipython-tasks' (msg_id text PRIMARY KEY, other text)")
      try $0.execute(sql: "CREATE TABLE 'ipython-tasks_1' (msg_id text)")
    }
    let database = try SQLiteDatabase(.init(path: path))
    #expect(database.tableName == "ipython-tasks_2")
    try database.submit(1)
    try database.flush()
    #expect(try rows("SELECT msg_id FROM 'ipython-tasks_2'") == [[TaskSamples.id(1).text]])
    #expect(try SQLiteDatabase(.init(path: path)).tableName == "ipython-tasks_2")
  }

  @Test(arguments: ["tasks \"of\" 'today'; DROP TABLE x", "ä", "_12345678_0000"]) func anyNameIsATable(_ name: String) throws {
    defer { clean() }
    var configuration = SQLiteDatabase.Configuration(path: path)
    configuration.table = name
    let database = try SQLiteDatabase(configuration)
    try database.submit(1)
    try database.finish(1)
    try database.flush()
    #expect(try SQLiteDatabase(configuration).numbers() == [1])
  }

  @Test func manyChangesAreWrittenWithoutAFlush() throws {
    defer { clean() }
    let database = try SQLiteDatabase(.init(path: path))
    for number in 1...999 { try database.submit(number) }
    #expect(try rows("SELECT count(*) || '' FROM 'ipython-tasks'") == [["0"]])
    try database.submit(1000)
    #expect(try rows("SELECT count(*) || '' FROM 'ipython-tasks'") == [["1000"]])
    // Large ones sooner.
    try database.submit(1001, size: 17 << 20)
    #expect(try rows("SELECT count(*) || '' FROM 'ipython-tasks'") == [["1001"]])
  }

  @Test func aFileThatCannotBeOpenedIsNamed() throws {
    defer { clean() }
    try Data("this is no database, not at all; it is longer than a header".utf8).write(to: URL(fileURLWithPath: path))
    for (path, reason) in [
      (path, "not a database"), (directory.path + "/none/tasks.db", "unable to open"), (directory.path, "unable to open"),
    ] {
      let error = #expect(throws: TaskDatabaseError.self) { _ = try SQLiteDatabase(.init(path: path)) }
      #expect(error?.code == .storage)
      #expect(error?.reason.contains(path) == true)
      #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
    }
  }

  @Test func whileTheFileCannotBeWrittenChangesWait() throws {
    defer { clean() }
    var configuration = SQLiteDatabase.Configuration(path: path)
    configuration.pendingLimit = 5
    configuration.memory.recordLimit = 10
    let database = try SQLiteDatabase(configuration)
    try database.submit(1)
    try database.flush()
    // Somebody holds the file, as a full disk would: each write fails.
    var options = GRDB.Configuration()
    options.allowsUnsafeTransactions = true
    let other = try DatabaseQueue(path: path, configuration: options)
    try other.inDatabase { try $0.execute(sql: "BEGIN IMMEDIATE") }
    for number in 2...5 { try database.submit(number) }
    let error = #expect(throws: TaskDatabaseError.self) { try database.submit(6) }
    #expect(error?.code == .storage)
    #expect(error?.reason.contains("locked") == true, "\(error?.reason ?? "")")
    // Nothing is tried before the next flush, so nothing takes long.
    for number in 7...40 { try database.submit(number) }
    for number in 1...30 { try database.finish(number) }
    #expect(throws: TaskDatabaseError.self) { try database.flush() }
    #expect(try database.numbers().suffix(10) == Array(31...40)[...])
    #expect(try database.find(["completed": ["$ne": .null]]).count <= 10)
    try other.inDatabase { try $0.execute(sql: "ROLLBACK") }
    try database.flush()
    let stored = try rows("SELECT count(*) || '' FROM 'ipython-tasks' WHERE completed IS NULL")
    // The ten that run, and the first task: its end was lost to the limit of what may wait.
    #expect(stored == [["11"]])
    for number in 31...40 { try database.finish(number) }
    try database.flush()
    #expect(try database.find(["completed": ["$ne": .null]]).suffix(10) == Array(31...40)[...])
  }

  @Test func rowsOfOthersAreRead() throws {
    defer { clean() }
    var database = try SQLiteDatabase(.init(path: path))
    // As ipyparallel writes a task whose engine died, with buffers by Python's pickler.
    try DatabaseQueue(path: path).write {
      try $0.execute(
        sql: """
          INSERT INTO 'ipython-tasks' (msg_id, header, metadata, content, buffers, submitted, client_uuid, engine_uuid, completed,
            result_header, result_content, queue, execute_result, stdout, stderr, label)
          VALUES ('a_1', '{"msg_id": "a_1", "session": "a", "date": "2026-01-01T00:00:00.5Z"}', '{"label": "x"}', '{}',
            X'80049527000000000000005D942843036F6E65944300946802421E0000007878787878787878787878787878787878787878787878787878787878789465',
            '2026-01-01T00:00:00.500000+00:00', 'a', 'e', '2026-01-01T00:00:01+00:00', '{"engine": "e", "date": "2026-01-01T00:00:01Z"}',
            '{"status": "error", "ename": "EngineError"}', 'mux', 'not JSON', '', '', 'x')
          """)
    }
    let broken = #expect(throws: TaskDatabaseError.self) { _ = try database.record("a_1") }
    #expect(broken?.reason.contains("not a pickled list of bytes") == true)
    try DatabaseQueue(path: path).write {
      try $0.execute(sql: "UPDATE 'ipython-tasks' SET buffers = X'80049510000000000000005D942843036F6E6594430094680265652E'")
      try $0.execute(sql: "UPDATE 'ipython-tasks' SET buffers = X'8004950F000000000000005D942843036F6E65944300946802652E'")
    }
    database = try SQLiteDatabase(.init(path: path))
    let record = try #require(try database.record("a_1"))
    #expect(record.isFinished)
    #expect(record.requestBuffers.map(\.text) == ["one", "", ""])
    #expect(record.value(.execute_result) == "not JSON")
    #expect(record.value(.result_content)["ename"] == "EngineError")
    #expect(record.queue == .mux)
    #expect(try database.find(["label": "x", "submitted": ["$gt": "2026-01-01T00:00:00.4Z"]]).count == 1)
  }

  @Test func bothDatabasesAnswerAlike() throws {
    defer { clean() }
    var random = SeededGenerator(state: 20_260_131)
    let memory = MemoryDatabase()
    let sqlite = try SQLiteDatabase(.init(path: path))
    let texts: [JSONValue] = ["a", "b", "ab", "a*", "", "é", 1, 2.5, .null, ["a"], true]
    for number in 1...80 {
      let label = texts.randomElement(using: &random)
      let session = ["a", "b"].randomElement(using: &random) ?? ""
      let second = Int.random(in: 0..<10_000, using: &random) * 10 + number % 10
      let isFinished = Bool.random(using: &random)
      for database in [memory, sqlite] as [any TaskDatabase] {
        try database.submit(number, at: second, session: session, label: label)
        if isFinished { try database.finish(number, at: second + 5, engine: EngineUUID(number % 3 == 0 ? "a" : "b")) }
      }
      if number % 37 == 0 { try sqlite.flush() }
    }
    let fields = TaskRecord.Field.allCases
    var asked = 0
    while asked < 500 {
      var members: [(key: String, value: JSONValue)] = []
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        guard let field = fields.randomElement(using: &random), let name = TaskQuery.Operator.allCases.randomElement(using: &random)
        else { continue }
        let date = JSONValue.string(TaskSamples.date(Int.random(in: 0..<100_000, using: &random)).description)
        let values = field.isDate ? [date, .null] : texts
        let value = values.randomElement(using: &random) ?? .null
        let operand: JSONValue =
          switch name {
          case .in, .notIn, .all:
            .array((0..<Int.random(in: 0...3, using: &random)).map { _ in values.randomElement(using: &random) ?? .null })
          case .modulo: [2, 1]
          case .exists: .bool(Bool.random(using: &random))
          default: value
          }
        members.append((field.rawValue, [name.rawValue: operand]))
      }
      guard let query = try? TaskQuery(.object(JSONObject(members: members))) else { continue }
      asked += 1
      let expected = memory.find(query).map(\.id)
      #expect(try sqlite.find(query).map(\.id) == expected, "\(JSONValue.object(JSONObject(members: members)).text)")
    }
    #expect(try sqlite.history() == memory.history())
  }
}

struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
