import ApusController
import ApusMessaging
import Testing
import Transport

/// What hub and clients may expect of any database that keeps records.
@Suite("Task databases")
struct TaskDatabaseConformanceTests {
  @Test(arguments: DatabaseKind.allCases) func anUnknownTaskHasNoRecord(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    #expect(test.database.keepsRecords)
    #expect(try test.database.record("nobody") == nil)
    #expect(try test.database.find(.all).isEmpty)
    #expect(try test.database.history().isEmpty)
  }

  @Test(arguments: DatabaseKind.allCases) func everyFieldIsKept(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    try test.database.submit(1, label: "späte \"Auswertung\"", size: 300)
    try test.database.output(1, .executeInput, ["code": "print(1)", "execution_count": 1])
    try test.database.output(1, .stream, ["name": "stdout", "text": "eins\n"])
    try test.database.output(1, .stream, ["name": "stdout", "text": "zwei\n"])
    try test.database.output(1, .stream, ["name": "stderr", "text": "drei\n"])
    try test.database.output(1, .executeResult, ["data": ["text/plain": "5"], "execution_count": 1])
    try test.database.output(1, .error, ["ename": "E", "evalue": "v"])
    try test.settle()
    try test.database.finish(1, at: 5, engine: "engine-9", size: 70_000)
    let changed = try test.database.open(TaskSamples.id(1))
    changed.resubmitted = TaskSamples.id(2)
    try test.database.save(changed)
    try test.settle()

    let record = try #require(try test.database.record(TaskSamples.id(1)))
    let request = TaskSamples.request(1, label: "späte \"Auswertung\"", size: 300)
    let reply = TaskSamples.reply(to: 1, at: 5, engine: "engine-9", size: 70_000)
    #expect(record.isFinished)
    #expect(record.request?.headerFrame == request.headerFrame)
    #expect(record.request?.metadataFrame == request.metadataFrame)
    #expect(record.request?.contentFrame == request.contentFrame)
    #expect(Array(record.requestBuffers) == Array(request.buffers))
    #expect(record.reply?.headerFrame == reply.headerFrame)
    #expect(record.reply?.metadataFrame == reply.metadataFrame)
    #expect(record.reply?.contentFrame == reply.contentFrame)
    #expect(Array(record.replyBuffers) == Array(reply.buffers))
    #expect(record.submitted == TaskSamples.date(1))
    #expect(record.value(.client_uuid) == "client-1")
    #expect(record.value(.engine_uuid) == "engine-9")
    #expect(record.value(.started) == .string(TaskSamples.date(4).description))
    #expect(record.value(.completed) == .string(TaskSamples.date(5).description))
    #expect(record.value(.received) == .string(TaskSamples.date(6).description))
    #expect(record.value(.resubmitted) == .string(TaskSamples.id(2).text))
    #expect(record.value(.queue) == "task")
    #expect(record.value(.label) == "späte \"Auswertung\"")
    #expect(record.value(.execute_input) == "print(1)")
    #expect(record.value(.execute_result) == ["data": ["text/plain": "5"], "execution_count": 1])
    #expect(record.value(.error) == ["ename": "E", "evalue": "v"])
    #expect(record.value(.stdout) == "eins\nzwei\n")
    #expect(record.value(.stderr) == "drei\n")
  }

  @Test(arguments: DatabaseKind.allCases) func outputMayComeBeforeTheTaskAndAfterItsEnd(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    try test.database.output(1, .stream, ["name": "stdout", "text": "a"])
    try test.settle()
    #expect(try test.database.history().isEmpty)
    try test.database.submit(1)
    try test.settle()
    try test.database.finish(1)
    try test.settle()
    try test.database.output(1, .stream, ["name": "stdout", "text": "b"])
    try test.settle()
    let record = try #require(try test.database.record(TaskSamples.id(1)))
    #expect(record.value(.stdout) == "ab")
    #expect(record.isFinished)
    #expect(record.request != nil)
    #expect(try test.database.numbers() == [1])
  }

  @Test(arguments: DatabaseKind.allCases) func aRecordIsOneObjectWhileItsTaskRuns(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    try test.database.submit(1)
    try test.database.flush()
    #expect(try test.database.open(TaskSamples.id(1)) === test.database.record(TaskSamples.id(1)))
    #expect(try test.database.open(TaskSamples.id(1)) === test.database.find(.all).first)
  }

  @Test(arguments: DatabaseKind.allCases) func historyIsByTimeOfSubmission(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    for (number, seconds) in [(1, 30), (2, 10), (3, 20), (4, 40)] { try test.database.submit(number, at: seconds) }
    try test.database.finish(3)
    try test.settle()
    try test.database.submit(5, at: 15)
    try test.database.output(6, .stream, ["name": "stdout", "text": "whose?"])
    #expect(try test.database.numbers() == [2, 5, 3, 1, 4])
    #expect(try test.database.find([:]) == [2, 5, 3, 1, 4, 6])
  }

  @Test(arguments: DatabaseKind.allCases) func removedRecordsAreGone(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    for number in 1...6 { try test.database.submit(number) }
    try test.settle()
    for number in 2...5 { try test.database.finish(number, engine: number < 4 ? "engine-1" : "engine-2") }
    try test.settle()
    try test.database.remove([TaskSamples.id(2), "nobody"])
    #expect(try test.database.numbers() == [1, 3, 4, 5, 6])
    #expect(try test.database.record(TaskSamples.id(2)) == nil)
    try test.database.removeFinished(of: "engine-2")
    #expect(try test.database.numbers() == [1, 3, 6])
    try test.database.removeFinished(of: "engine-3")
    try test.database.removeFinished()
    #expect(try test.database.numbers() == [1, 6])
    try test.settle()
    #expect(try test.database.numbers() == [1, 6])
  }

  @Test(arguments: DatabaseKind.allCases) func purgingTakesOutputThatNobodyKnows(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    try test.database.submit(1)
    try test.database.output(2, .stream, ["name": "stdout", "text": "whose?"])
    try test.settle()
    try test.database.removeFinished(of: "engine-1")
    #expect(try test.database.find([:]) == [1, 2])
    try test.database.removeFinished()
    try test.settle()
    #expect(try test.database.find([:]) == [1])
  }

  /// Queries with the numbers of the tasks that answer them: 1, 2 and 3 are finished, 4 to 6 are not.
  static let queries: [(query: JSONValue, numbers: [Int])] = [
    ([:], [1, 2, 3, 4, 5, 6]),
    (.null, [1, 2, 3, 4, 5, 6]),
    (["msg_id": .string(TaskSamples.id(2).text)], [2]),
    (["msg_id": ["$ne": ""]], [1, 2, 3, 4, 5, 6]),
    (["msg_id": ["$in": [.string(TaskSamples.id(5).text), .string(TaskSamples.id(1).text), "nobody", 7]]], [1, 5]),
    (["msg_id": ["$in": []]], []),
    (["msg_id": ["$nin": [.string(TaskSamples.id(5).text), .string(TaskSamples.id(1).text)]]], [2, 3, 4, 6]),
    (["msg_id": ["$gt": .string(TaskSamples.id(4).text)]], [5, 6]),
    (["msg_id": ["$gte": .string(TaskSamples.id(4).text), "$lt": .string(TaskSamples.id(6).text)]], [4, 5]),
    (["completed": .null], [4, 5, 6]),
    (["completed": ["$ne": .null]], [1, 2, 3]),
    (["completed": ["$exists": false]], [4, 5, 6]),
    (["buffers": ["$exists": true]], [1, 2, 3, 4, 5, 6]),
    (["result_buffers": .null], [4, 5, 6]),
    (["submitted": .string(TaskSamples.date(3).description)], [3]),
    (["submitted": ["$lt": .string(TaskSamples.date(3).description)]], [1, 2]),
    (["submitted": ["$lte": .string(TaskSamples.date(3).description)]], [1, 2, 3]),
    // The same moment in another zone.
    (["submitted": ["$gte": .string(TaskRecordDates.berlin(TaskSamples.date(3)))]], [3, 4, 5, 6]),
    (["submitted": ["$gt": "2001-01-01"]], [1, 2, 3, 4, 5, 6]),
    (["submitted": ["$in": [.string(TaskSamples.date(3).description), "never"]]], [3]),
    (["submitted": "never"], []),
    (["received": ["$gt": .string(TaskSamples.date(102).description)]], [2, 3]),
    (["engine_uuid": "engine-1"], [1, 3]),
    (["engine_uuid": ["$in": ["engine-2", .null]]], [2, 4, 5, 6]),
    (["engine_uuid": ["$nin": ["engine-1"]]], [2, 4, 5, 6]),
    (["engine_uuid": ["$ne": "engine-1"]], [2, 4, 5, 6]),
    (["engine_uuid": "engine-1", "submitted": ["$gt": .string(TaskSamples.date(1).description)]], [3]),
    (["engine_uuid": "engine-1", "client_uuid": "client-2"], []),
    (["client_uuid": "client-2"], [2, 4, 6]),
    (["queue": "task"], [1, 2, 3, 4, 5, 6]),
    (["label": ["$glob": "group/*"]], [1, 2]),
    (["label": ["$glob": "group/[!a]"]], [2]),
    (["label": ["$glob": "*[*]*"]], [3]),
    (["label": ["$glob": "GROUP*"]], []),
    (["label": .null], [6]),
    (["label": ["$exists": true]], [1, 2, 3, 4, 5]),
    (["label": 7], [4]),
    (["label": 7.0], [4]),
    (["label": ["$gt": 6, "$lt": 8]], [4]),
    (["label": ["$mod": [5, 2]]], [4]),
    (["label": ["$mod": [-5, -3]]], [4]),
    (["label": ["$lt": "h"]], [1, 2]),
    (["label": ["$all": ["x", "y"]]], [5]),
    (["label": ["$all": ["x", "z"]]], []),
    (["label": ["$eq": ["x", "y"]]], [5]),
    (["stdout": ["$glob": "*needle*"]], [2]),
    (["stdout": ""], [1, 3, 4, 5, 6]),
    (["stdout": ["$ne": .null]], [1, 2, 3, 4, 5, 6]),
    (["header": ["$ne": .null], "execute_result": .null], [1, 2, 3, 4, 5, 6]),
    (["result_content": ["$eq": ["status": "ok"]]], [1, 2, 3]),
    (["stdout": [:]], [1, 2, 3, 4, 5, 6]),
  ]

  @Test(arguments: DatabaseKind.allCases) func queriesFindWhatTheySay(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    let labels: [JSONValue?] = ["group/a", "group/b", "star*", 7, ["x", "y"], nil]
    for (index, label) in labels.enumerated() {
      try test.database.submit(index + 1, session: index % 2 == 0 ? "client-1" : "client-2", label: label)
    }
    try test.database.output(2, .stream, ["name": "stdout", "text": "hay needle hay"])
    for number in 1...3 { try test.database.finish(number, engine: number == 2 ? "engine-2" : "engine-1") }
    try test.settle()
    for (query, numbers) in Self.queries { #expect(try test.database.find(query) == numbers, "\(query.text)") }
  }
}

enum TaskRecordDates {
  /// A moment as a client two hours east writes it.
  static func berlin(_ date: Timestamp) -> String {
    let local = Timestamp(microseconds: date.microseconds + 7_200_000_000).description
    return String(local.dropLast()) + "+02:00"
  }
}
