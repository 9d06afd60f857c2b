import ApusMessaging
import Foundation
import Transport

@testable import ApusController

/// Messages of tasks as clients and engines send them, with dates that a test can count on.
enum TaskSamples {
  static let base = Timestamp(microseconds: 1_770_000_000_000_000)

  /// The moment `seconds` after the first.
  static func date(_ seconds: Int) -> Timestamp { Timestamp(microseconds: base.microseconds + seconds * 1_000_000) }

  static func id(_ number: Int) -> MessageID { MessageID("12345678-00000000_42_\(number)") }

  static func request(_ number: Int, at seconds: Int? = nil, session: String = "client-1", label: JSONValue? = nil, size: Int = 10)
    -> Envelope
  {
    var metadata: JSONObject = ["is_broadcast": false]
    metadata["label"] = label
    return Envelope(
      signature: Frame("0123"),
      header: Frame([
        "msg_id": .string(id(number).text), "msg_type": "apply_request", "username": "user", "session": .string(session),
        "date": .string(date(seconds ?? number).description), "version": "5.4",
      ]), parentHeader: .emptyObject, metadata: Frame(.object(metadata)), content: .emptyObject,
      buffers: [Frame([UInt8](repeating: 7, count: size)), .empty])
  }

  static func reply(to number: Int, at seconds: Int, engine: EngineUUID, size: Int = 10) -> Envelope {
    Envelope(
      signature: Frame("4567"),
      header: Frame([
        "msg_id": .string("\(engine)_\(number)"), "msg_type": "apply_reply", "username": "user", "session": .string(engine.text),
        "date": .string(date(seconds).description), "version": "5.4",
      ]), parentHeader: Frame(["msg_id": .string(id(number).text)]),
      metadata: Frame(["engine": .string(engine.text), "started": .string(date(seconds - 1).description), "status": "ok"]),
      content: Frame(["status": "ok"]), buffers: [Frame([UInt8](repeating: 9, count: size))])
  }

  /// As a journal has them.
  static func restored(_ numbers: ClosedRange<Int>, size: Int = 10) -> [RestoredTask] {
    let stored = StoredRequest.samples(numbers.map { request($0, label: "restored", size: size).routed(to: [Frame("client")]) })
    return zip(numbers, stored).map { RestoredTask(id: id($0), request: .stored($1)) }
  }

  static func output(_ content: JSONValue) -> Envelope {
    Envelope(signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject, content: Frame(content))
  }
}

extension TaskDatabase {
  func submit(_ number: Int, at seconds: Int? = nil, session: String = "client-1", label: JSONValue? = nil, size: Int = 10) throws {
    let record = try open(TaskSamples.id(number))
    record.request = TaskSamples.request(number, at: seconds, session: session, label: label, size: size)
    record.queue = .task
    try save(record)
  }

  func finish(_ number: Int, at seconds: Int? = nil, engine: EngineUUID = "engine-1", size: Int = 10) throws {
    let record = try open(TaskSamples.id(number))
    let seconds = seconds ?? number + 100
    record.engine = engine
    record.reply = TaskSamples.reply(to: number, at: seconds, engine: engine, size: size)
    record.received = TaskSamples.date(seconds + 1)
    try save(record)
  }

  func output(_ number: Int, _ kind: OutputKind, _ content: JSONValue) throws {
    let record = try open(TaskSamples.id(number))
    record.append(kind, TaskSamples.output(content))
    try save(record)
  }

  /// The numbers of the records that match.
  func find(_ query: JSONValue) throws -> [Int] { try find(TaskQuery(query)).map { number($0.id) } }
  func numbers() throws -> [Int] { try history().map(number) }

  private func number(_ id: MessageID) -> Int { Int(id.text.split(separator: "_").last ?? "") ?? -1 }
}
