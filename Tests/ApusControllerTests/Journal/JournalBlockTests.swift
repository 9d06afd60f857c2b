import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Journal: blocks and records")
struct JournalBlockTests {
  /// Blocks of these entries, one after another.
  static func segment(_ blocks: [[JournalEntry]]) -> [UInt8] { blocks.flatMap { block($0) } }

  static func block(_ entries: [JournalEntry]) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: JournalBlock.headerSize)
    for entry in entries { JournalCodec.append(entry, to: &buffer) }
    JournalBlock.seal(&buffer)
    return buffer
  }

  static func submitted(_ id: MessageID, metadata: JSONValue = [:], at time: Timestamp = .now()) -> JournalEntry {
    .event(TaskEvent(id, .task, at: time, .submitted(request: Messages.request(id, metadata: metadata), engine: nil)))
  }
  static func placed(_ id: MessageID, _ engine: EngineUUID) -> JournalEntry {
    .event(TaskEvent(id, .task, at: .now(), .placed(engine: engine)))
  }
  static func finished(
    _ id: MessageID, _ engine: EngineUUID? = "e0", _ outcome: TaskOutcome = .ok, at time: Timestamp = .now(), bytes: Int = 0
  ) -> JournalEntry {
    let reply = Messages.reply(to: id, buffers: [Frame([UInt8](repeating: 1, count: bytes))])
    return .event(TaskEvent(id, .task, at: time, .finished(reply: reply, engine: engine, outcome: outcome)))
  }
  static func retried(_ id: MessageID, _ engine: EngineUUID, _ reason: RetryReason) -> JournalEntry {
    .event(TaskEvent(id, .task, at: .now(), .retried(from: engine, reason: reason)))
  }

  private func read(_ bytes: [UInt8]) -> (records: [String], damages: [JournalBlock.Damage]) {
    var records: [String] = []
    let damages = bytes.withUnsafeBytes { raw in
      JournalBlock.read(raw) { block, _ in _ = JournalCodec.read(block) { records.append(Self.text($0)) } }
    }
    return (records, damages)
  }

  private func requests(_ tasks: [RestatedTask]) -> [StoredRequest] {
    tasks.compactMap { if case .stored(let request) = $0.request { request } else { nil } }
  }

  static func text(_ record: JournalCodec.Record) -> String {
    switch record {
    case .submitted(let task): "submitted \(task.id) \(task.message.byteCount)"
    case .placed(let id, let engine): "placed \(id) \(engine)"
    case .retried(let id, let engine, let reason, let time): "retried \(id) \(engine) \(reason)\(time == nil ? " once" : "")"
    case .unwanted(let id): "unwanted \(id)"
    case .ended(let part): "ended \(part.seed) \(part.engines) \(part.ends.map { "\($0.code) \($0.succeeded) \($0.engine ?? -1)" })"
    case .finished(let result): "finished \(result.id) \(result.engine?.text ?? "nowhere") \(result.outcome)"
    case .outcome(let id, let outcome): "outcome \(id) \(outcome.succeeded) \(outcome.engine?.text ?? "nowhere")"
    case .snapshotBegins: "snapshot"
    case .restated(let task):
      "restated \(task.id) \(task.engine?.text ?? "nowhere") \(task.attempt) \(task.spentRetries) \(task.refused.map(\.text).sorted()) "
        + "\(task.declined.map(\.text).sorted()) \(task.message.byteCount)"
    case .delivered(let ids): "delivered \(ids.map(\.text))"
    case .missed(let ids): "missed \(ids.map(\.text))"
    case .snapshotEnds(let tasks): "end of \(tasks)"
    }
  }

  @Test("every kind of record comes back as it was written")
  func roundTrip() {
    let message = Messages.request("b", metadata: ["retries": 3])
    let bytes = Self.segment([
      [Self.submitted("a"), Self.placed("a", "e0"), Self.retried("a", "e0", .failed), Self.retried("a", "e1", .unmetDependency)],
      [
        Self.retried("a", "e1", .engineLost), Self.retried("a", "e1", .undelivered), Self.finished("a", nil, .lost),
        .outcome("x", JournalOutcome(succeeded: true, engine: "e7")), .outcome("y", JournalOutcome(succeeded: false)),
        .snapshotBegins,
        .restated(
          RestatedTask(
            id: "b", message: message, engine: "e2", attempt: 5, spentRetries: 2, refused: ["e0", "e1"], declined: ["e1"])),
        .restated(RestatedTask(id: "c", message: Messages.request("c"))), .snapshotEnds(tasks: 2), .unwanted("b"),
        .ended(
          EndedTasks(
            seed: .max, engines: ["e0", "e1"],
            ends: [
              .init(code: -5, succeeded: true, engine: 1), .init(code: .max, succeeded: false),
              .init(code: 7, succeeded: true, engine: 0),
            ])), .ended(EndedTasks(seed: 1)),
      ],
    ])
    let found = read(bytes)
    #expect(found.damages.isEmpty)
    #expect(
      found.records == [
        "submitted a \(Messages.request("a").byteCount)", "placed a e0", "retried a e0 failed", "retried a e1 unmetDependency",
        "retried a e1 engineLost", "retried a e1 undelivered", "finished a nowhere lost", "outcome x true e7",
        "outcome y false nowhere", "snapshot", #"restated b e2 5 2 ["e0", "e1"] ["e1"] \#(message.byteCount)"#,
        "restated c nowhere 0 0 [] [] \(Messages.request("c").byteCount)", "end of 2", "unwanted b",
        #"ended 18446744073709551615 [e0, e1] ["-5 true 1", "9223372036854775807 false -1", "7 true 0"]"#, "ended 1 [] []",
      ])
  }

  @Test("a message comes back frame by frame")
  func messages() throws {
    let sent = Messages.request("a", metadata: ["retries": 1])
    var received: Envelope?
    let bytes = Self.segment([[.event(TaskEvent("a", .task, at: .now(), .submitted(request: sent, engine: nil)))]])
    _ = bytes.withUnsafeBytes { raw in
      JournalBlock.read(raw) { block, _ in
        _ = JournalCodec.read(block) { if case .submitted(let task) = $0 { received = task.message } }
      }
    }
    let message = try #require(received)
    #expect(message.frames == sent.frames)
    #expect(message.delimiter == sent.delimiter && message.byteCount == sent.byteCount)
  }

  @Test("what messages have in common is in a block once, and they share it when they are read; each block stands alone")
  func repeated() throws {
    let function = Frame([UInt8](repeating: 3, count: 10_000))
    func task(_ number: Int, _ argument: String) -> RestatedTask {
      let request = Messages.request(MessageID("t\(number)"), client: "one client")
      return RestatedTask(
        id: MessageID("t\(number)"),
        message: Envelope(
          identities: Array(request.identities), signature: .empty, header: request.headerFrame, parentHeader: .emptyObject,
          metadata: Frame(#"{"codec": "cloudpickle"}"#), content: .emptyObject, buffers: [function, Frame(argument)]))
    }
    let tasks = [task(0, "a"), task(1, "b"), task(2, "b"), task(3, "")]
    var bytes: [UInt8] = []
    for part in [tasks[..<2], tasks[2...]] {
      var block = [UInt8](repeating: 0, count: JournalBlock.headerSize)
      var former = JournalCodec.Former()
      for task in part {
        JournalCodec.append(.restated(task), to: &block, after: &former)
        // A reply is not taken for the request before it.
        JournalCodec.append(Self.finished("x", bytes: 5), to: &block, after: &former)
      }
      JournalBlock.seal(&block)
      bytes += block
    }
    #expect(bytes.count < 2 * function.count + 8 * 300)
    var restorer = Restorer()
    bytes.withUnsafeBytes { restorer.read(segment: $0, name: "") }
    #expect(restorer.damages.isEmpty)
    let found = restorer.finish().tasks
    #expect(found.map(\.message.frames) == tasks.map(\.message.frames))
    #expect(found.allSatisfy { $0.message.frames[7].isIdentical(to: found[0].message.frames[7]) })
    #expect(requests(found).allSatisfy { $0.sharesClient(with: requests(found)[0]) })
    // The second block without the first.
    let second = bytes.withUnsafeBytes { raw -> [RestatedTask] in
      var restorer = Restorer()
      let mark = Array(raw[..<4])
      let start = (4..<raw.count - 4).first { Array(raw[$0..<$0 + 4]) == mark } ?? 0
      restorer.read(segment: UnsafeRawBufferPointer(rebasing: raw[start...]), name: "")
      return restorer.finish().tasks
    }
    #expect(second.map(\.message.frames) == tasks[2...].map(\.message.frames))
  }

  @Test("a message that shares with one that is not there is left out")
  func repeatedWithoutFormer() {
    var former = JournalCodec.Former()
    var first: [UInt8] = []
    JournalCodec.append(Self.submitted("a"), to: &first, after: &former)
    var second: [UInt8] = []
    JournalCodec.append(Self.submitted("a"), to: &second, after: &former)
    #expect(second.count < first.count)
    #expect(second.withUnsafeBytes { JournalCodec.read($0) { _ in Issue.record("it was read") } } == 1)
    #expect((first + second).withUnsafeBytes { JournalCodec.read($0) { _ in } } == 0)
  }

  @Test("wherever a write is cut off, what was written before is there, and the rest is a torn tail")
  func tornTail() {
    let first = Self.block([Self.submitted("a"), Self.placed("a", "e0")])
    let second = Self.block([Self.finished("a")])
    let whole = read(first + second).records
    #expect(whole.count == 3)
    for length in 0..<first.count + second.count {
      let found = read(Array((first + second)[..<length]))
      #expect(found.records == (length < first.count ? [] : Array(whole[..<2])), "cut at \(length)")
      let torn = length < first.count ? length : length - first.count
      let expected = torn == 0 ? [] : [JournalBlock.Damage(offset: length - torn, count: torn, isTail: true)]
      #expect(found.damages == expected, "cut at \(length)")
    }
  }

  @Test("a damaged block in the middle is left out and said, whichever bit it is")
  func damagedMiddle() {
    let blocks = (0..<3).map { Self.block([Self.submitted(MessageID("t\($0)"))]) }
    let clean = read(blocks.flatMap { $0 }).records
    var random = SeededRandom(seed: SeededRandom.newSeed())
    for index in 0..<blocks[1].count {
      var bytes = blocks.flatMap { $0 }
      let place = blocks[0].count + index
      bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      let found = read(bytes)
      #expect(found.records == [clean[0], clean[2]], "byte \(index)")
      #expect(found.damages == [JournalBlock.Damage(offset: blocks[0].count, count: blocks[1].count, isTail: false)])
    }
  }

  @Test("garbage is never taken for a journal, and nothing traps on it")
  func garbage() {
    let seed = SeededRandom.newSeed()
    var random = SeededRandom(seed: seed)
    let good = Self.segment([[Self.submitted("a"), Self.placed("a", "e0")], [Self.finished("a"), .snapshotBegins]])
    for _ in 0..<2000 {
      var bytes = random.chance(50) ? good : random.bytes(0...300)
      for _ in 0..<Int.random(in: 0...6, using: &random) where !bytes.isEmpty {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        if random.chance(50) { bytes[index] = random.bytes(1...1)[0] } else { bytes.removeSubrange(index...) }
      }
      let found = read(bytes)
      let missing = found.damages.reduce(0) { $0 + $1.count }
      #expect(missing <= bytes.count && found.records.count <= 4, "APUS_SEED=\(seed)")
      // Without a checksum around it, too.
      bytes.withUnsafeBytes { _ = JournalCodec.read($0) { _ in } }
    }
  }

  @Test("bytes that are exchanged, moved or missing change the checksum")
  func checksum() {
    var random = SeededRandom(seed: SeededRandom.newSeed())
    for length in [1, 7, 8, 31, 32, 33, 64, 100, 257] {
      let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 1) }
      let sum = bytes.withUnsafeBytes { JournalBlock.checksum($0) }
      for _ in 0..<200 {
        var other = bytes
        let index = Int.random(in: 0..<length, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: other[index] ^= UInt8.random(in: 1...255, using: &random)
        case 1: other.swapAt(index, (index + 1) % length)
        default: other.remove(at: index)
        }
        if other == bytes { continue }
        #expect(other.withUnsafeBytes { JournalBlock.checksum($0) } != sum, "\(length) bytes, at \(index)")
      }
    }
  }
}

extension JournalCodec {
  /// A block by itself.
  static func read(_ block: UnsafeRawBufferPointer, _ body: (Record) -> Void) -> Int {
    var course = Course(expecting: 0)
    var records: [Record] = []
    let unknown = read(block, &course, checksum: 0) { records.append($0) }
    course.requests.finish()
    for record in records { body(record) }
    return unknown
  }
}
