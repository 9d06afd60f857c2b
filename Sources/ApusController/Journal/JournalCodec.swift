import ApusMessaging
import Transport

/// The records of a journal as bytes: a byte that says what it is, the length of the rest in four, the rest. Numbers are little-endian, texts and
/// frames have their length in front. A reader skips kinds that it does not know.
enum JournalCodec {
  enum Kind: UInt8 {
    case submitted = 1
    case placed, retried, finished, outcome, snapshotBegins, restated, snapshotEnds
  }

  // MARK: writing

  static func append(_ entry: JournalEntry, to buffer: inout [UInt8]) {
    switch entry {
    case .event(let event): append(event, to: &buffer)
    case .outcome(let id, let outcome):
      record(.outcome, &buffer) { buffer in
        append(id.text, to: &buffer)
        buffer.append(outcome.succeeded ? 1 : 0)
        append(outcome.engine, to: &buffer)
      }
    case .snapshotBegins: record(.snapshotBegins, &buffer) { _ in }
    case .restated(let task):
      record(.restated, &buffer) { buffer in
        append(task.id.text, to: &buffer)
        append(task.engine, to: &buffer)
        append(number: UInt32(clamping: task.spentRetries), to: &buffer)
        append(task.refused, to: &buffer)
        append(task.declined, to: &buffer)
        append(task.message, to: &buffer)
        append(number: UInt32(clamping: task.attempt), to: &buffer)
      }
    case .result(let result):
      finished(result.id, result.time, result.outcome, result.engine, result.reply, &buffer)
    case .snapshotEnds(let tasks): record(.snapshotEnds, &buffer) { append(number: UInt32(clamping: tasks), to: &$0) }
    case .accounted: break
    }
  }

  private static func append(_ event: TaskEvent, to buffer: inout [UInt8]) {
    switch event.kind {
    case .submitted(let request, _):
      record(.submitted, &buffer) { buffer in
        append(event.id.text, to: &buffer)
        append(request, to: &buffer)
      }
    case .placed(let engine):
      record(.placed, &buffer) { buffer in
        append(event.id.text, to: &buffer)
        append(engine, to: &buffer)
      }
    case .retried(let engine, let reason):
      record(.retried, &buffer) { buffer in
        append(event.id.text, to: &buffer)
        append(engine, to: &buffer)
        buffer.append(reason.code)
      }
    case .finished(let reply, let engine, let outcome): finished(event.id, event.time, outcome, engine, reply, &buffer)
    case .waiting, .queued, .started, .output, .failed, .lost, .restored, .abortRequested, .aborted,
      .resubmitted:
      break
    }
  }

  private static func finished(
    _ id: MessageID, _ time: Timestamp, _ outcome: TaskOutcome, _ engine: EngineUUID?, _ reply: Envelope, _ buffer: inout [UInt8]
  ) {
    record(.finished, &buffer) { buffer in
      append(id.text, to: &buffer)
      append(number: UInt64(bitPattern: Int64(time.microseconds)), to: &buffer)
      buffer.append(outcome.rawValue)
      append(engine, to: &buffer)
      append(reply, to: &buffer)
    }
  }

  private static func record(_ kind: Kind, _ buffer: inout [UInt8], _ body: (inout [UInt8]) -> Void) {
    buffer.append(kind.rawValue)
    let place = buffer.count
    append(number: UInt32(0), to: &buffer)
    body(&buffer)
    let count = UInt32(clamping: buffer.count - place - 4)
    buffer.withUnsafeMutableBytes { $0.storeBytes(of: count.littleEndian, toByteOffset: place, as: UInt32.self) }
  }

  private static func append(number: some FixedWidthInteger, to buffer: inout [UInt8]) {
    withUnsafeBytes(of: number.littleEndian) { buffer.append(contentsOf: $0) }
  }

  private static func append(_ text: String, to buffer: inout [UInt8]) {
    var text = text
    text.withUTF8 { bytes in
      append(number: UInt16(clamping: bytes.count), to: &buffer)
      buffer.append(contentsOf: bytes.prefix(Int(UInt16.max)))
    }
  }

  private static func append(_ engine: EngineUUID?, to buffer: inout [UInt8]) { append(engine?.text ?? "", to: &buffer) }

  private static func append(_ engines: Set<EngineUUID>, to buffer: inout [UInt8]) {
    append(number: UInt16(clamping: engines.count), to: &buffer)
    for engine in engines.sorted(by: { $0.text < $1.text }).prefix(Int(UInt16.max)) { append(engine, to: &buffer) }
  }

  private static func append(_ message: Envelope, to buffer: inout [UInt8]) {
    append(number: UInt32(clamping: message.frames.count), to: &buffer)
    for frame in message.frames { append(number: UInt32(clamping: frame.count), to: &buffer) }
    for frame in message.frames { frame.withUnsafeBytes { buffer.append(contentsOf: $0) } }
  }

  // MARK: reading

  /// A record as it was read.
  enum Record {
    case submitted(MessageID, Envelope)
    case placed(MessageID, EngineUUID)
    case retried(MessageID, from: EngineUUID, RetryReason)
    case finished(JournalResult)
    case outcome(MessageID, JournalOutcome)
    case snapshotBegins
    case restated(RestatedTask)
    case snapshotEnds(tasks: Int)
  }

  /// - Returns: how many records had to be left out: their block is good, so another version has written them.
  static func read(_ block: UnsafeRawBufferPointer, _ body: (Record) -> Void) -> Int {
    var reader = Reader(block)
    var unknown = 0
    while !reader.isAtEnd {
      guard let kind: UInt8 = reader.number(), let count: UInt32 = reader.number(), let bytes = reader.bytes(Int(count)) else {
        return unknown + 1
      }
      var content = Reader(bytes)
      if let kind = Kind(rawValue: kind), let record = record(kind, &content) { body(record) } else { unknown += 1 }
    }
    return unknown
  }

  private static func record(_ kind: Kind, _ reader: inout Reader) -> Record? {
    switch kind {
    case .snapshotBegins: return .snapshotBegins
    case .snapshotEnds:
      guard let tasks: UInt32 = reader.number() else { return nil }
      return .snapshotEnds(tasks: Int(tasks))
    case .submitted, .placed, .retried, .finished, .outcome, .restated:
      guard let id = reader.text().map({ MessageID($0) }) else { return nil }
      return record(kind, id, &reader)
    }
  }

  private static func record(_ kind: Kind, _ id: MessageID, _ reader: inout Reader) -> Record? {
    switch kind {
    case .submitted: return reader.message().map { .submitted(id, $0) }
    case .placed: return reader.engine().flatMap { $0 }.map { .placed(id, $0) }
    case .retried:
      guard let engine = reader.engine().flatMap({ $0 }), let code: UInt8 = reader.number(), let reason = RetryReason(code: code)
      else { return nil }
      return .retried(id, from: engine, reason)
    case .finished:
      guard let time: UInt64 = reader.number(), let code: UInt8 = reader.number(), let outcome = TaskOutcome(rawValue: code),
        let engine = reader.engine(), let reply = reader.message()
      else { return nil }
      return .finished(
        JournalResult(
          id: id, reply: reply, time: Timestamp(microseconds: Int(Int64(bitPattern: time))), outcome: outcome, engine: engine))
    case .outcome:
      guard let succeeded: UInt8 = reader.number(), let engine = reader.engine() else { return nil }
      return .outcome(id, JournalOutcome(succeeded: succeeded != 0, engine: engine))
    case .restated:
      guard let engine = reader.engine(), let spent: UInt32 = reader.number(), let refused = reader.engines(),
        let declined = reader.engines(), let message = reader.message()
      else { return nil }
      // Earlier versions did not write it.
      let attempt: UInt32 = reader.number() ?? 0
      return .restated(
        RestatedTask(
          id: id, message: message, engine: engine, attempt: Int(attempt), spentRetries: Int(spent), refused: refused,
          declined: declined))
    case .snapshotBegins, .snapshotEnds: return nil
    }
  }

  /// Reads from the front; `nil` where there is too little left.
  private struct Reader {
    private var rest: UnsafeRawBufferPointer
    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer? {
      guard count <= rest.count else { return nil }
      defer { rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count)) }
      return UnsafeRawBufferPointer(rebasing: rest.prefix(count))
    }

    mutating func number<N: FixedWidthInteger>() -> N? {
      bytes(MemoryLayout<N>.size).map { N(littleEndian: $0.loadUnaligned(as: N.self)) }
    }

    mutating func text() -> String? {
      guard let count: UInt16 = number() else { return nil }
      return bytes(Int(count)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// - Returns: `nil` inside `nil` for none.
    mutating func engine() -> EngineUUID?? { text().map { $0.isEmpty ? nil : EngineUUID($0) } }

    mutating func engines() -> Set<EngineUUID>? {
      guard let count: UInt16 = number() else { return nil }
      var engines: Set<EngineUUID> = []
      for _ in 0..<count {
        guard let engine = engine() else { return nil }
        if let engine { engines.insert(engine) }
      }
      return engines
    }

    mutating func message() -> Envelope? {
      guard let count: UInt32 = number(), Int(count) <= rest.count / 4, let lengths = bytes(4 * Int(count)) else { return nil }
      var frames: [Frame] = []
      frames.reserveCapacity(Int(count))
      for index in 0..<Int(count) {
        let length = UInt32(littleEndian: lengths.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
        guard let bytes = bytes(Int(length)) else { return nil }
        frames.append(bytes.elementsEqual("<IDS|MSG>".utf8) ? .delimiter : Frame(shared: bytes))
      }
      return Envelope(frames)
    }
  }
}

extension RetryReason {
  /// In a journal.
  fileprivate var code: UInt8 {
    switch self {
    case .failed: 1
    case .unmetDependency: 2
    case .engineLost: 3
    case .undelivered: 4
    }
  }

  fileprivate init?(code: UInt8) {
    switch code {
    case 1: self = .failed
    case 2: self = .unmetDependency
    case 3: self = .engineLost
    case 4: self = .undelivered
    default: return nil
    }
  }
}
