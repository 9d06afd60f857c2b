import ApusMessaging
import Transport

extension JournalCodec {
  private static let delimiterSize = Frame.delimiter.count

  /// A record as it was read.
  enum Record: Sendable {
    case submitted(RestatedTask)
    case placed(MessageID, EngineUUID)
    case retried(MessageID, from: EngineUUID, RetryReason, at: Timestamp?)
    case finished(JournalResult)
    case outcome(MessageID, JournalOutcome)
    case unwanted(MessageID)
    case ended(EndedTasks)
    case snapshotBegins
    case restated(RestatedTask)
    case snapshotEnds(tasks: Int)
    case delivered([MessageID])
    case missed([MessageID])

    var isTask: Bool {
      switch self {
      case .submitted, .restated: true
      case .placed, .retried, .finished, .outcome, .unwanted, .ended, .snapshotBegins, .snapshotEnds, .delivered, .missed: false
      }
    }
  }

  /// What blocks that are read one after the other have in common.
  struct Course {
    /// Requests are kept as they are; each may have frames in common with the one before.
    var requests: StoredRequests.Writer
    /// The frames of the reply before.
    fileprivate var reply: [Frame] = []
    /// The checksum of the block before.
    fileprivate var block: UInt64?

    /// - Parameter expected: bytes of all blocks, about.
    init(expecting expected: Int) { requests = StoredRequests.Writer(expecting: expected) }

    fileprivate mutating func forgetFormer() {
      requests.forgetFormer()
      reply = []
    }
  }

  /// - Parameters:
  ///   - course: messages share frames with those of the block before, too, where these are equal. Its requests may be looked at when they are
  ///     finished.
  ///   - checksum: of this block.
  /// - Returns: how many records had to be left out: their block is good, so another version has written them.
  static func read(_ block: UnsafeRawBufferPointer, _ course: inout Course, checksum: UInt64, _ body: (Record) -> Void) -> Int {
    var reader = Reader(block)
    defer { course.block = checksum }
    var unknown = 0
    while !reader.isAtEnd {
      guard let kind: UInt8 = reader.number(), let count: UInt32 = reader.number(), let bytes = reader.bytes(Int(count)) else {
        return unknown + 1
      }
      var content = Reader(bytes)
      if kind == Kind.continues.rawValue {
        // The one before is damaged, or missing: what is in common with it is not known.
        if let before: UInt64 = content.number(), before != course.block { course.forgetFormer() }
        continue
      }
      if let kind = Kind(rawValue: kind), let record = record(kind, &content, &course) {
        body(record)
      } else {
        unknown += 1
        // What comes next may have frames in common with what could not be read, and must not get those of an earlier one.
        course.forgetFormer()
      }
    }
    return unknown
  }

  private static func record(_ kind: Kind, _ reader: inout Reader, _ course: inout Course) -> Record? {
    switch kind {
    case .snapshotBegins: return .snapshotBegins
    case .snapshotEnds:
      guard let tasks: UInt32 = reader.number() else { return nil }
      return .snapshotEnds(tasks: Int(tasks))
    case .ended: return reader.ended().map { .ended($0) }
    case .delivered: return reader.ids().map { .delivered($0) }
    case .missed: return reader.ids().map { .missed($0) }
    case .continues: return nil
    case .submitted, .placed, .retried, .finished, .outcome, .restated, .unwanted:
      guard let id = reader.text().map({ MessageID($0) }) else { return nil }
      return record(kind, id, &reader, &course)
    }
  }

  private static func record(_ kind: Kind, _ id: MessageID, _ reader: inout Reader, _ course: inout Course) -> Record? {
    switch kind {
    case .submitted:
      let count = reader.count
      return reader.request(into: &course.requests).map { .submitted(RestatedTask(id: id, .stored($0), bytesRead: count)) }
    case .placed: return reader.engine().flatMap { $0 }.map { .placed(id, $0) }
    case .retried:
      guard let engine = reader.engine().flatMap({ $0 }), let code: UInt8 = reader.number(),
        let reason = RetryReason(journalCode: code)
      else { return nil }
      return .retried(id, from: engine, reason, at: reader.time())
    case .finished:
      guard let time: UInt64 = reader.number(), let code: UInt8 = reader.number(), let outcome = TaskOutcome(rawValue: code),
        let engine = reader.engine(), let reply = reader.message(after: &course.reply)
      else { return nil }
      let client = reader.frame()
      return .finished(
        JournalResult(
          id: id, reply: reply, time: Timestamp(microseconds: Int(Int64(bitPattern: time))), outcome: outcome, engine: engine,
          client: client, isOwnClient: client == nil))
    case .unwanted: return .unwanted(id)
    case .outcome:
      guard let succeeded: UInt8 = reader.number(), let engine = reader.engine() else { return nil }
      return .outcome(id, JournalOutcome(succeeded: succeeded != 0, engine: engine))
    case .restated:
      let count = reader.count
      guard let engine = reader.engine(), let spent: UInt32 = reader.number(), let refused = reader.engines(),
        let declined = reader.engines(), let request = reader.request(into: &course.requests)
      else { return nil }
      // Earlier versions did not write it.
      let attempt: UInt32 = reader.number() ?? 0
      return .restated(
        RestatedTask(
          id: id, .stored(request), engine: engine, attempt: Int(attempt), spentRetries: Int(spent), restsSince: reader.time(),
          refused: refused, declined: declined, bytesRead: count))
    case .snapshotBegins, .snapshotEnds, .ended, .continues, .delivered, .missed: return nil
    }
  }

  /// Reads from the front; `nil` where there is too little left.
  private struct Reader {
    private var rest: UnsafeRawBufferPointer
    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    var count: Int { rest.count }

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

    /// Earlier versions did not write it.
    mutating func time() -> Timestamp? {
      guard let time: UInt64 = number(), time > 0 else { return nil }
      return Timestamp(microseconds: Int(clamping: time))
    }

    /// Earlier versions did not write it.
    mutating func frame() -> Frame? {
      guard let count: UInt32 = number() else { return nil }
      return bytes(Int(count)).map { Frame($0) }
    }

    mutating func ids() -> [MessageID]? {
      guard let count: UInt32 = number(), Int(count) <= rest.count / 2 else { return nil }
      var ids: [MessageID] = []
      for _ in 0..<count {
        guard let id = text() else { return nil }
        ids.append(MessageID(id))
      }
      return ids
    }

    mutating func ended() -> EndedTasks? {
      guard let seed: UInt64 = number(), let engineCount: UInt32 = number() else { return nil }
      var ended = EndedTasks(seed: seed)
      for _ in 0..<engineCount {
        guard case .some(.some(let engine)) = engine() else { return nil }
        ended.engines.append(engine)
      }
      guard let count: UInt32 = number(), Int(count) <= rest.count / 12 else { return nil }
      ended.ends.reserveCapacity(Int(count))
      for _ in 0..<count {
        guard let code: UInt64 = number(), let packed: UInt32 = number(), packed >> 1 <= UInt32(ended.engines.count) else {
          return nil
        }
        let place = Int(packed >> 1) - 1
        ended.ends.append(
          EndedTasks.End(code: Int(Int64(bitPattern: code)), succeeded: packed & 1 == 1, engine: place < 0 ? nil : place))
      }
      return ended
    }

    mutating func request(into requests: inout StoredRequests.Writer) -> StoredRequest? {
      guard let count: UInt32 = number(), Int(count) <= rest.count / 4, let lengths = bytes(4 * Int(count)) else { return nil }
      requests.begin()
      for index in 0..<Int(count) {
        let length = UInt32(littleEndian: lengths.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
        if length == JournalCodec.repeated {
          guard requests.repeatFrame() else { return nil }
        } else if length == JournalCodec.altered {
          guard let difference = difference(), requests.alterFrame(difference) else { return nil }
        } else {
          guard let bytes = bytes(Int(length)) else { return nil }
          requests.append(bytes)
        }
      }
      return requests.end()
    }

    mutating func message(after former: inout [Frame]) -> Envelope? {
      guard let count: UInt32 = number(), Int(count) <= rest.count / 4, let lengths = bytes(4 * Int(count)) else { return nil }
      var frames: [Frame] = []
      frames.reserveCapacity(Int(count))
      var delimiter: Int?
      var byteCount = 0
      for index in 0..<Int(count) {
        let length = UInt32(littleEndian: lengths.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
        guard let frame = frame(at: index, length, former) else { return nil }
        if delimiter == nil, frame.isIdentical(to: .delimiter) { delimiter = index }
        byteCount += frame.count
        frames.append(frame)
      }
      guard let delimiter, let message = Envelope(frames, delimiter: delimiter, byteCount: byteCount) else { return nil }
      former = frames
      return message
    }

    private mutating func difference() -> UnsafeRawBufferPointer? {
      guard let count: UInt16 = number() else { return nil }
      return bytes(Int(count))
    }

    private mutating func frame(at index: Int, _ length: UInt32, _ former: [Frame]) -> Frame? {
      if length == JournalCodec.repeated { return index < former.count ? former[index] : nil }
      if length == JournalCodec.altered {
        guard let difference = difference(), index < former.count else { return nil }
        var bytes: [UInt8] = []
        let isOne = former[index].withUnsafeBytes { FrameDifference.read(difference, from: $0) { bytes.append(contentsOf: $0) } }
        return isOne ? Frame(bytes) : nil
      }
      guard let bytes = bytes(Int(length)) else { return nil }
      if index < former.count, former[index].hasBytes(bytes) { return former[index] }
      return bytes.count == JournalCodec.delimiterSize && Frame.delimiter.hasBytes(bytes) ? .delimiter : Frame(shared: bytes)
    }
  }
}
