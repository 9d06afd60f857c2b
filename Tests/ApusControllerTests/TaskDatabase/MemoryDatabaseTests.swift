import ApusMessaging
import TestSupport
import Testing

@testable import ApusController

@Suite("The database in memory")
struct MemoryDatabaseTests {
  private func database(records: Int = 1024, bytes: Int = 1 << 30, fraction: Double = 0.2) -> MemoryDatabase {
    var configuration = MemoryDatabase.Configuration()
    configuration.recordLimit = records
    configuration.sizeLimit = bytes
    configuration.cullFraction = fraction
    return MemoryDatabase(configuration)
  }

  @Test func theFirstFinishedMakeRoomForTheRest() throws {
    let database = database(records: 20)
    for number in 1...20 { try database.submit(number) }
    for number in 1...20 { try database.finish(number) }
    #expect(database.count == 20)
    try database.submit(21)
    try database.finish(21)
    // A fifth of 20 is freed, as in ipyparallel.
    #expect(try database.numbers() == Array(5...21))
    #expect(database.record(TaskSamples.id(4)) == nil)
  }

  @Test func unfinishedTasksStay() throws {
    let database = database(records: 10, bytes: 20_000)
    for number in 1...100 { try database.submit(number, size: 1000) }
    #expect(database.count == 100)
    for number in 101...110 {
      try database.submit(number)
      try database.finish(number)
    }
    #expect(try Array(database.numbers().prefix(100)) == Array(1...100))
    #expect(database.count < 110)
  }

  @Test func bytesAreBounded() throws {
    let database = database(bytes: 100_000)
    for number in 1...50 {
      try database.submit(number, size: 1000)
      try database.finish(number, size: 5000)
      #expect(database.byteCount <= 100_000)
    }
    let numbers = try database.numbers()
    #expect(numbers.last == 50)
    #expect(numbers.count > 5)
    #expect(numbers == Array((51 - numbers.count)...50))
    // A culled record's late output starts nothing that lasts.
    try database.output(1, .stream, ["name": "stdout", "text": "late"])
    #expect(database.record(TaskSamples.id(1))?.request == nil)
  }

  @Test func bytesOfOutputCount() throws {
    let database = database()
    try database.submit(1)
    let before = database.byteCount
    try database.output(1, .stream, ["name": "stdout", "text": .string(String(repeating: "x", count: 1000))])
    #expect(database.byteCount == before + 1000)
    try database.output(1, .executeResult, ["data": .string(String(repeating: "x", count: 1000))])
    try database.output(1, .displayData, ["data": .string(String(repeating: "x", count: 1000))])
    try database.output(1, .displayData, ["data": .string(String(repeating: "x", count: 1000))])
    #expect(database.byteCount > before + 4000)
    #expect(database.byteCount < before + 6000)
    database.remove([TaskSamples.id(1)])
    #expect(database.byteCount == 0)
  }

  @Test func oneTaskCannotPrintMemoryFull() throws {
    let database = database()
    try database.submit(1)
    let megabyte = JSONValue.string(String(repeating: "x", count: 1 << 20))
    for _ in 0..<20 { try database.output(1, .stream, ["name": "stdout", "text": megabyte]) }
    let output = try #require(database.record(TaskSamples.id(1))?.output)
    #expect(output.isTruncated)
    #expect(output.byteCount < 17 << 20)
    #expect(output.stderr.contains("not recorded"))
  }

  @Test func outputWithoutATaskIsBoundedToo() throws {
    let database = database(records: 20)
    for number in 1...1000 { try database.output(number, .stream, ["name": "stdout", "text": "?"]) }
    #expect(database.count <= 20)
    // Those that turn out to be tasks stay.
    for number in 1001...1200 {
      try database.output(number, .stream, ["name": "stdout", "text": "?"])
      try database.submit(number)
    }
    #expect(try database.numbers() == Array(1001...1200))
    for number in 1001...1200 { try database.finish(number) }
    #expect(database.count <= 20)
  }

  @Test func aRecordThatMadeRoomDoesNotComeBack() throws {
    let database = database(records: 1, fraction: 1)
    try database.submit(1)
    let record = database.open(TaskSamples.id(1))
    try database.finish(1)
    try database.submit(2)
    try database.finish(2)
    #expect(database.record(TaskSamples.id(1)) == nil)
    record.resubmitted = "x"
    database.save(record)
    #expect(database.record(TaskSamples.id(1)) == nil)
  }

  @Test func limitsMayBeAbsurd() throws {
    for (records, bytes, fraction) in [(0, 0, 0.0), (-5, -5, .nan), (Int.max, .max, 1), (3, 3, .infinity), (3, 3, -1)] {
      let database = database(records: records, bytes: bytes, fraction: fraction)
      for number in 1...10 { try database.submit(number) }
      for number in 1...5 { try database.finish(number) }
      #expect(try database.numbers().suffix(5) == [6, 7, 8, 9, 10])
    }
  }

  @Test(.timeLimit(.minutes(1 * patience))) func aLongQueueIsWorkedOffInAnyOrder() throws {
    let count = 10_000
    for isReversed in [false, true] {
      let database = database()
      for number in 1...count { try database.submit(number) }
      for number in 1...count { try database.finish(isReversed ? count + 1 - number : number) }
      #expect(database.count <= 1024)
      #expect(database.byteCount < 1_000_000)
    }
  }

  @Test("where most of a part of a journal has ended, what is left of it does not keep it in memory")
  func leftOver() throws {
    let database = database()
    let large = (1...3).flatMap { TaskSamples.restored($0...$0, size: 15 << 20 + $0) }
    let tasks = large + TaskSamples.restored(4...6)
    let stored = StoredRequest.samples(tasks.map(\.request.message))
    func restore(_ number: Int) {
      let record = database.open(TaskSamples.id(number))
      record.take(.stored(stored[number - 1]))
      database.save(record)
    }
    func storedCount() -> Int { (1...6).count { database.record(TaskSamples.id($0))?.stored != nil } }
    for number in 1...6 { restore(number) }
    let bytes = database.byteCount
    #expect(storedCount() == 6 && bytes > 45 << 20)
    try database.finish(1)
    #expect(storedCount() == 5)
    // One that is purged, too.
    database.remove([TaskSamples.id(2)])
    #expect(storedCount() == 0, "of 45 MB, 15 are left")
    #expect(database.record(TaskSamples.id(6))?.request?.frames == tasks[5].request.message.frames)
    for number in 3...6 { try database.finish(number) }
    database.remove((1...6).map { TaskSamples.id($0) })
    #expect(database.byteCount == 0 && database.count == 0)
  }
}
