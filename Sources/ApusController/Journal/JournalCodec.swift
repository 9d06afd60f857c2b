import ApusMessaging
import Glibc
import Transport

/// The records of a journal as bytes: a byte that says what it is, the length of the rest in four, the rest. Numbers are little-endian, texts and
/// frames have their length in front. A reader skips kinds that it does not know.
///
/// A frame of a message that is equal to the one at the same place of the message before has `repeated` for its length, and no bytes: of many
/// calls of one function, the function is there once. One that differs from it in some bytes may have `altered` there, and the difference, with its
/// length in two bytes, in place of the frame (`FrameDifference`). That message may be in the block before, which is then named by its checksum: where it cannot
/// be read, nothing is taken for what it had.
enum JournalCodec {
  enum Kind: UInt8 {
    case submitted = 1
    case placed, retried, finished, outcome, snapshotBegins, restated, snapshotEnds, unwanted, ended, continues, delivered, missed
  }

  /// The frames of the message before, of requests and of replies.
  struct Former {
    var request: [Frame] = []
    var reply: [Frame] = []
    /// The checksum of the block before; `nil` where there is none.
    var block: UInt64?
    init() {}

    /// Bytes of large frames: those that are worth having in common with another block.
    var largeBytes: Int { Self.largeBytes(request) + Self.largeBytes(reply) }

    /// The small ones are written once more: damage takes no more along than what has large frames in common with it.
    mutating func forgetSmall() {
      request = request.map { $0.count >= JournalCodec.largeFrame ? $0 : Self.unlikeAny }
      reply = reply.map { $0.count >= JournalCodec.largeFrame ? $0 : Self.unlikeAny }
    }

    /// Nobody else's frame is equal to it, and it is too short to differ from.
    private static let unlikeAny = Frame(String(SessionID.random().text.prefix(FrameDifference.smallest - 1)))

    private static func largeBytes(_ frames: [Frame]) -> Int {
      frames.reduce(0) { $1.count >= JournalCodec.largeFrame ? $0 + $1.count : $0 }
    }
  }

  static let repeated = UInt32.max
  static let altered = UInt32.max - 1
  /// Bytes.
  static let largeFrame = 4096

  // MARK: writing
  //
  // What an entry has is looked at where it is, and not copied: its references were last counted by another thread, and counting them here took longer
  // than writing it. So entries are borrowed, and no closure gets parts of them.

  /// The first record of a block that has frames in common with the one before.
  static func appendContinuation(of block: UInt64, to buffer: inout [UInt8]) {
    let record = begin(.continues, &buffer)
    append(number: block, to: &buffer)
    end(record, &buffer)
  }

  /// - Parameter records: of a block.
  static func leansOnTheOneBefore(_ records: UnsafeRawBufferPointer) -> Bool { records.first == Kind.continues.rawValue }

  static func append(_ entry: borrowing JournalEntry, to buffer: inout [UInt8]) {
    var former = Former()
    append(entry, to: &buffer, after: &former)
  }

  static func append(_ entry: borrowing JournalEntry, to buffer: inout [UInt8], after former: inout Former) {
    switch entry {
    case .event(let event): append(event, client: nil, to: &buffer, after: &former)
    case .end(let event, let client): append(event, client: client, to: &buffer, after: &former)
    case .outcome(let id, let outcome):
      let record = begin(.outcome, &buffer)
      append(id.text, to: &buffer)
      buffer.append(outcome.succeeded ? 1 : 0)
      append(outcome.engine, to: &buffer)
      end(record, &buffer)
    case .unwanted(let id):
      let record = begin(.unwanted, &buffer)
      append(id.text, to: &buffer)
      end(record, &buffer)
    case .ended(let ended):
      let record = begin(.ended, &buffer)
      append(ended, to: &buffer)
      end(record, &buffer)
    case .snapshotBegins: end(begin(.snapshotBegins, &buffer), &buffer)
    case .restated(let task):
      let record = begin(.restated, &buffer)
      append(task.id.text, to: &buffer)
      append(task.engine, to: &buffer)
      append(number: UInt32(clamping: task.spentRetries), to: &buffer)
      append(task.refused, to: &buffer)
      append(task.declined, to: &buffer)
      append(task.message, to: &buffer, after: &former.request)
      append(number: UInt32(clamping: task.attempt), to: &buffer)
      append(number: UInt64(clamping: task.restsSince?.microseconds ?? 0), to: &buffer)
      end(record, &buffer)
    case .result(let result):
      finished(
        result.id, result.time, result.outcome, result.engine, result.reply, client: result.isOwnClient ? nil : result.client,
        &buffer, &former)
    case .delivered(let ids): append(.delivered, ids, to: &buffer)
    case .missed(let ids): append(.missed, ids, to: &buffer)
    case .snapshotEnds(let tasks):
      let record = begin(.snapshotEnds, &buffer)
      append(number: UInt32(clamping: tasks), to: &buffer)
      end(record, &buffer)
    case .accounted: break
    }
  }

  /// - Parameter client: of `finished`, whose end alone says whose task it was.
  private static func append(
    _ event: borrowing TaskEvent, client: Frame?, to buffer: inout [UInt8], after former: inout Former
  ) {
    switch event.kind {
    case .submitted(let request, _):
      let record = begin(.submitted, &buffer)
      append(event.id.text, to: &buffer)
      append(request, to: &buffer, after: &former.request)
      end(record, &buffer)
    case .placed(let engine):
      let record = begin(.placed, &buffer)
      append(event.id.text, to: &buffer)
      append(engine.text, to: &buffer)
      end(record, &buffer)
    case .retried(let engine, let reason):
      let record = begin(.retried, &buffer)
      append(event.id.text, to: &buffer)
      append(engine.text, to: &buffer)
      buffer.append(reason.journalCode)
      append(number: UInt64(clamping: event.time.microseconds), to: &buffer)
      end(record, &buffer)
    case .finished(let reply, let engine, let outcome):
      finished(event.id, event.time, outcome, engine, reply, client: client, &buffer, &former)
    case .waiting, .queued, .started, .output, .failed, .lost, .restored, .abortRequested, .aborted,
      .resubmitted:
      break
    }
  }

  private static func finished(
    _ id: MessageID, _ time: Timestamp, _ outcome: TaskOutcome, _ engine: EngineUUID?, _ reply: Envelope, client: Frame?,
    _ buffer: inout [UInt8], _ former: inout Former
  ) {
    let record = begin(.finished, &buffer)
    append(id.text, to: &buffer)
    append(number: UInt64(bitPattern: Int64(time.microseconds)), to: &buffer)
    buffer.append(outcome.rawValue)
    append(engine, to: &buffer)
    append(reply, to: &buffer, after: &former.reply)
    // Earlier versions do not look at what is behind.
    if let client {
      append(number: UInt32(clamping: client.count), to: &buffer)
      client.withUnsafeBytes { buffer.append(contentsOf: $0) }
    }
    end(record, &buffer)
  }

  private static func append(_ kind: Kind, _ ids: [MessageID], to buffer: inout [UInt8]) {
    let record = begin(kind, &buffer)
    append(number: UInt32(clamping: ids.count), to: &buffer)
    for id in ids { append(id.text, to: &buffer) }
    end(record, &buffer)
  }

  /// - Returns: where the record's length is to stand.
  private static func begin(_ kind: Kind, _ buffer: inout [UInt8]) -> Int {
    buffer.append(kind.rawValue)
    append(number: UInt32(0), to: &buffer)
    return buffer.count - 4
  }

  private static func end(_ record: Int, _ buffer: inout [UInt8]) {
    let count = UInt32(clamping: buffer.count - record - 4)
    buffer.withUnsafeMutableBytes { $0.storeBytes(of: count.littleEndian, toByteOffset: record, as: UInt32.self) }
  }

  private static func append(number: some FixedWidthInteger, to buffer: inout [UInt8]) {
    withUnsafeBytes(of: number.littleEndian) { buffer.append(contentsOf: $0) }
  }

  private static func append(_ text: String, to buffer: inout [UInt8]) {
    // Without a copy of the text, as `withUTF8` asks for.
    let isDone: Void? = text.utf8.withContiguousStorageIfAvailable { append(UnsafeRawBufferPointer($0), to: &buffer) }
    if isDone == nil { Array(text.utf8).withUnsafeBytes { append($0, to: &buffer) } }
  }

  private static func append(_ text: UnsafeRawBufferPointer, to buffer: inout [UInt8]) {
    append(number: UInt16(clamping: text.count), to: &buffer)
    buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: text.prefix(Int(UInt16.max))))
  }

  private static func append(_ engine: EngineUUID?, to buffer: inout [UInt8]) { append(engine?.text ?? "", to: &buffer) }

  private static func append(_ engines: Set<EngineUUID>, to buffer: inout [UInt8]) {
    append(number: UInt16(clamping: engines.count), to: &buffer)
    for engine in engines.sorted(by: { $0.text < $1.text }).prefix(Int(UInt16.max)) { append(engine, to: &buffer) }
  }

  private static func append(_ ended: EndedTasks, to buffer: inout [UInt8]) {
    append(number: ended.seed, to: &buffer)
    append(number: UInt32(clamping: ended.engines.count), to: &buffer)
    for engine in ended.engines { append(engine, to: &buffer) }
    append(number: UInt32(clamping: ended.ends.count), to: &buffer)
    for end in ended.ends {
      append(number: UInt64(bitPattern: Int64(end.code)), to: &buffer)
      // The place of its engine from 1 on, and whether it succeeded.
      append(number: UInt32(clamping: (end.engine.map { $0 + 1 } ?? 0) << 1 | (end.succeeded ? 1 : 0)), to: &buffer)
    }
  }

  private static func append(_ message: Envelope, to buffer: inout [UInt8], after former: inout [Frame]) {
    let frames = message.frames
    append(number: UInt32(clamping: frames.count), to: &buffer)
    let lengths = buffer.count
    buffer.append(contentsOf: repeatElement(0, count: 4 * frames.count))
    Frame.compare(frames, with: former) { index, frame, former in
      let length = append(frame, after: former, to: &buffer)
      buffer.withUnsafeMutableBytes { $0.storeBytes(of: length.littleEndian, toByteOffset: lengths + 4 * index, as: UInt32.self) }
    }
    former = frames
  }

  /// - Returns: what stands for its length.
  private static func append(_ frame: UnsafeRawBufferPointer, after former: UnsafeRawBufferPointer?, to buffer: inout [UInt8])
    -> UInt32
  {
    if let former {
      if isEqual(frame, former) { return repeated }
      if appendDifference(of: frame, from: former, to: &buffer) { return altered }
    }
    buffer.append(contentsOf: frame)
    return UInt32(clamping: frame.count)
  }

  private static func isEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count else { return false }
    guard let a = a.baseAddress, let other = b.baseAddress, a != other else { return true }
    return memcmp(a, other, b.count) == 0
  }

  private static func appendDifference(
    of frame: UnsafeRawBufferPointer, from former: UnsafeRawBufferPointer, to buffer: inout [UInt8]
  ) -> Bool {
    let small = FrameDifference.smallest..<largeFrame
    guard small.contains(frame.count), small.contains(former.count) else { return false }
    let place = buffer.count
    append(number: UInt16(0), to: &buffer)
    guard FrameDifference.append(of: frame, from: former, to: &buffer) else {
      buffer.removeLast(buffer.count - place)
      return false
    }
    let count = UInt16(clamping: buffer.count - place - 2)
    buffer.withUnsafeMutableBytes { $0.storeBytes(of: count.littleEndian, toByteOffset: place, as: UInt16.self) }
    return true
  }
}

extension RetryReason {
  /// In a journal.
  var journalCode: UInt8 {
    switch self {
    case .failed: 1
    case .unmetDependency: 2
    case .engineLost: 3
    case .undelivered: 4
    case .overtaken: 5
    }
  }

  init?(journalCode code: UInt8) {
    switch code {
    case 1: self = .failed
    case 2: self = .unmetDependency
    case 3: self = .engineLost
    case 4: self = .undelivered
    case 5: self = .overtaken
    default: return nil
    }
  }
}
