#if canImport(Glibc)
  import Glibc
#endif
public import Transport

/// One party's voice: makes messages in its name, signs them, and checks those of others.
public struct Session: Sendable {
  public let id: SessionID
  public let username: String
  public let signer: Signer
  private var replays: ReplayHistory
  private var counter = 0
  private let prefix: String

  /// - Parameters:
  ///   - key: the `key` of the connection file, as its UTF-8 bytes. Empty: nothing is signed or checked.
  ///   - processID: goes into message ids, so that forked sessions do not collide; by default this process's.
  public init(
    id: SessionID = .random(), key: String, username: String = "apus", processID: Int32? = nil, replayCapacity: Int = 65_536
  ) {
    self.id = id
    self.username = username
    signer = Signer(key: Array(key.utf8))
    replays = ReplayHistory(capacity: replayCapacity)
    prefix = "\(id.text)_\(processID ?? getpid())_"
  }

  public mutating func nextID() -> MessageID {
    defer { counter += 1 }
    return MessageID(prefix + String(counter))
  }

  /// A fresh, signed message.
  /// - Parameter parentHeader: the header frame of the request that this answers, byte for byte.
  public mutating func message(
    _ type: MessageType, content: JSONValue = [:], parentHeader: Frame = .emptyObject, metadata: JSONValue = [:],
    identities: [Frame] = [],
    buffers: [Frame] = []
  ) -> Envelope {
    seal(
      identities: identities, header: header(type, id: nextID()), parentHeader: parentHeader, metadata: Frame(metadata),
      content: Frame(content), buffers: buffers)
  }

  /// The header frame of a message of this session, dated now.
  public func header(_ type: MessageType, id: MessageID) -> Frame {
    var writer = JSONWriter(reserving: 256)
    writer.append(raw: "{\"msg_id\":")
    writer.append(string: id.text)
    writer.append(raw: ",\"msg_type\":")
    writer.append(string: type.text)
    writer.append(raw: ",\"username\":")
    writer.append(string: username)
    writer.append(raw: ",\"session\":")
    writer.append(string: self.id.text)
    writer.append(raw: ",\"date\":")
    writer.append(string: Timestamp.now().description)
    writer.append(raw: ",\"version\":\"5.4\"}")
    return Frame(writer.bytes)
  }

  /// Signs dictionaries that are made already: for relays that rewrite a header.
  /// - Parameter forBatch: the batch will have a signature.
  public func seal(
    identities: [Frame] = [], header: Frame, parentHeader: Frame, metadata: Frame, content: Frame, buffers: [Frame] = [],
    forBatch: Bool = false
  ) -> Envelope {
    Envelope(
      identities: identities, signature: forBatch ? .empty : signer.sign([header, parentHeader, metadata, content]), header: header,
      parentHeader: parentHeader,
      metadata: metadata, content: content, buffers: buffers)
  }

  /// What is wrong with a message; each is a reason to drop it and to say so once.
  public enum Rejection: String, Error, Hashable, Sendable, CaseIterable {
    case truncated = "fewer frames than a message has"
    case unsigned = "no signature"
    case forged = "a signature by another key"
    case replayed = "a signature seen before"
    public var description: String { rawValue }
  }

  /// Reads frames from outside: the framing, the signature, and that it was not seen before.
  public mutating func open(_ frames: [Frame]) throws(Rejection) -> Envelope {
    guard let envelope = Envelope(frames) else { throw .truncated }
    try check(envelope)
    return envelope
  }

  /// The messages of a batch from outside, which `MessageBatch.isBatch` has recognised. Its one signature is good for all of them.
  public mutating func openBatch(_ frames: [Frame]) throws(Rejection) -> MessageBatchReader {
    let end = frames.count
    guard end >= 3 else { throw .truncated }
    try check(signature: frames[end - 2], of: [frames[end - 3], frames[end - 1]])
    return MessageBatchReader(verified: frames)
  }

  public mutating func check(_ envelope: Envelope) throws(Rejection) {
    try check(signature: envelope.signature, of: envelope.signedParts)
  }

  private mutating func check(signature: Frame, of parts: ArraySlice<Frame>) throws(Rejection) {
    guard signer.isEnabled else { return }
    if signature.isEmpty { throw .unsigned }
    guard signer.verify(signature, parts) else { throw .forged }
    guard replays.record(signature) else { throw .replayed }
  }
}
