public import Transport

/// Several small messages of one hop in one frame: one signature, one system call and one wake-up for all of them.
///
/// Apus's own parties agree on it (an engine says `batches` when it registers, the hub says it to clients); everybody else gets plain
/// messages. A batch is a message of three frames behind the identity of the hop: the marker, a signature over its hop (`MessageScope`), marker and body, and the body.
/// The messages in it have no signatures of their own: who passes one on outside of a batch signs it (`Envelope.payload(signedBy:)`).
///
/// The body is message after message: a byte with the number of identities, a byte with the number of all frames (identities, the four
/// dictionaries, buffers; the delimiter and the signature are left out), their lengths as 32-bit little-endian numbers, their bytes. A frame
/// that is equal to the one at the same place of the message before has `repeated` for its length, and no bytes: of many calls of one function,
/// the function is there once.
public enum MessageBatch {
  public static let marker = Frame("<APUS|BATCH>")
  /// What is larger travels alone: copying it would cost more than its own frames.
  public static let largestMessage = 8192
  /// A batch that has this size leaves, in bytes and in messages.
  static let fullSize = 1 << 16
  static let fullCount = 32
  /// Header, parent header, metadata, content.
  static let dictionaries = 4
  static let repeated = UInt32.max

  /// Whether this is a batch from behind so many identities.
  public static func isBatch(_ frames: [Frame], identities: Int) -> Bool {
    frames.count == identities + 3 && frames[identities] == marker
  }
}

/// Collects messages for one receiver.
public struct MessageBatchWriter: Sendable {
  private var body: [UInt8] = []
  /// Messages in it.
  public private(set) var count = 0
  /// Of the message before.
  private var previous: [Frame] = []
  /// Which frames of this message are those of the one before.
  private var isRepeated: [Bool] = []

  public init() {}

  public var isEmpty: Bool { count == 0 }
  /// Whether it is time to send it.
  public var isFull: Bool { count >= MessageBatch.fullCount || body.count >= MessageBatch.fullSize }

  /// - Parameters:
  ///   - identity: the one behind that of the hop, if there is one.
  ///   - payload: of an envelope: delimiter, signature, dictionaries, buffers.
  /// - Returns: false, and takes nothing, if the message is too large for batches.
  public mutating func append(_ identity: Frame?, _ payload: ArraySlice<Frame>) -> Bool {
    let parts = payload.dropFirst(2)
    let frames = parts.count + (identity == nil ? 0 : 1)
    var size = identity?.count ?? 0
    for part in parts { size += part.count }
    guard frames <= UInt8.max, size <= MessageBatch.largestMessage else { return false }
    if body.capacity == 0 { body.reserveCapacity(MessageBatch.fullSize + 2 * MessageBatch.largestMessage) }
    body.append(identity == nil ? 0 : 1)
    body.append(UInt8(frames))
    if previous.count > frames { previous.removeLast(previous.count - frames) }
    isRepeated.removeAll(keepingCapacity: true)
    if let identity { append(lengthOf: identity) }
    for part in parts { append(lengthOf: part) }
    for (index, frame) in previous.enumerated() where !isRepeated[index] {
      frame.withUnsafeBytes { body.append(contentsOf: $0) }
    }
    count += 1
    return true
  }

  private mutating func append(lengthOf frame: Frame) {
    let index = isRepeated.count
    let isKnown = index < previous.count && previous[index] == frame
    isRepeated.append(isKnown)
    if index == previous.count { previous.append(frame) } else if !isKnown { previous[index] = frame }
    let length = isKnown ? MessageBatch.repeated : UInt32(frame.count)
    withUnsafeBytes(of: length.littleEndian) { body.append(contentsOf: $0) }
  }

  /// The three frames of the batch; the writer is empty afterwards.
  public mutating func take(signedBy signer: Signer, _ scope: MessageScope) -> [Frame] {
    let frame = Frame(body)
    body.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    count = 0
    return [MessageBatch.marker, signer.sign([scope.frame, MessageBatch.marker, frame]), frame]
  }
}

/// The messages of a batch, one after another.
public struct MessageBatchReader: Sendable {
  private let outer: ArraySlice<Frame>
  private let body: Frame
  private var position = 0
  /// Frames of the message before: those of a batch have most of them in common, and share them.
  private var previous: [Frame] = []
  private var lengths: [Int] = []
  private static let repeated = -1

  /// - Parameter frames: identities, marker, signature and body, of which the signature was found good, or is one's own.
  package init(verified frames: [Frame]) {
    outer = frames.dropLast(3)
    body = frames[frames.count - 1]
  }

  /// - Parameter frames: of a batch, as `MessageBatch.isBatch` has recognised it.
  /// - Returns: `nil` if the signature is not by this key. Replays are for others to notice.
  public init?(_ frames: [Frame], verifiedBy signer: Signer, _ scope: MessageScope) {
    let end = frames.count
    guard end >= 3, signer.verify(frames[end - 2], [scope.frame, frames[end - 3], frames[end - 1]]) else { return nil }
    self.init(verified: frames)
  }

  /// - Returns: `nil` at the end.
  /// - Throws: where the body is not what it should be; nothing can be read behind that place.
  public mutating func next() throws(MessageError) -> Envelope? {
    let size = body.count
    guard position < size else { return nil }
    let found = body.withUnsafeBytes { bytes in read(bytes) }
    guard let found else {
      position = size
      throw MessageError(reason: "a batch that ends within a message")
    }
    return found
  }

  private mutating func read(_ bytes: UnsafeRawBufferPointer) -> Envelope? {
    guard bytes.count - position >= 2 else { return nil }
    let identities = Int(bytes[position])
    let count = Int(bytes[position + 1])
    guard count >= identities + MessageBatch.dictionaries, bytes.count - position - 2 >= 4 * count else { return nil }
    lengths.removeAll(keepingCapacity: true)
    var rest = bytes.count - position - 2 - 4 * count
    for index in 0..<count {
      let word = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position + 2 + 4 * index, as: UInt32.self))
      if word == MessageBatch.repeated {
        guard index < previous.count else { return nil }
        lengths.append(Self.repeated)
        continue
      }
      rest -= Int(word)
      guard rest >= 0 else { return nil }
      lengths.append(Int(word))
    }
    position += 2 + 4 * count
    var frames: [Frame] = []
    frames.reserveCapacity(outer.count + count + 2)
    frames.append(contentsOf: outer)
    if previous.count > count { previous.removeLast(previous.count - count) }
    for index in 0..<count {
      if index == identities {
        frames.append(.delimiter)
        frames.append(.empty)
      }
      if lengths[index] == Self.repeated {
        frames.append(previous[index])
        continue
      }
      let frame = frame(UnsafeRawBufferPointer(rebasing: bytes[position..<position + lengths[index]]), at: index)
      frames.append(frame)
      position += lengths[index]
    }
    return Envelope(unsigned: frames, identities: outer.count + identities)
  }

  private mutating func frame(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Frame {
    if index < previous.count {
      if previous[index].hasBytes(bytes) { return previous[index] }
      previous[index] = Frame(shared: bytes)
    } else {
      previous.append(Frame(shared: bytes))
    }
    return previous[index]
  }
}
