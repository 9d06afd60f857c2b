#if canImport(Glibc)
  import Glibc
#endif
public import Transport

/// What one party says: makes messages in its name, signs them, and checks those of others.
public struct Session: Sendable {
  public let id: SessionID
  public let username: String
  public let signer: Signer
  private let replays: SharedReplays
  private var counter = 0
  private let prefix: String

  /// - Parameters:
  ///   - key: the `key` of the connection file, as its UTF-8 bytes. Empty: nothing is signed or checked.
  ///   - replays: what all sockets of one party have seen, so that what came by one is not taken from another.
  ///   - processID: goes into message ids, so that forked sessions do not collide; by default this process's.
  public init(
    id: SessionID = .random(), key: String, username: String = "apus", processID: Int32? = nil,
    replays: SharedReplays = SharedReplays()
  ) {
    self.id = id
    self.username = username
    signer = Signer(key: Array(key.utf8))
    self.replays = replays
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
    buffers: [Frame] = [], sealedFor scope: MessageScope? = nil
  ) -> Envelope {
    signed(
      identities: identities, header: header(type, id: nextID()), parentHeader: parentHeader, metadata: Frame(metadata),
      content: Frame(content), buffers: buffers, sealedFor: scope)
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
  /// - Parameters:
  ///   - forBatch: the batch will have a signature.
  ///   - scope: seals the message, for one of our own parties; `nil` signs it as everybody does.
  ///   - former: a seal of another message with the same buffers, which are not read again then.
  public func signed(
    identities: [Frame] = [], header: Frame, parentHeader: Frame, metadata: Frame, content: Frame, buffers: [Frame] = [],
    forBatch: Bool = false, sealedFor scope: MessageScope? = nil, buffersOf former: Frame? = nil
  ) -> Envelope {
    let signature: Frame
    if forBatch {
      signature = .empty
    } else if let scope {
      signature = signer.seal([header, parentHeader, metadata, content], buffers[...], scope, buffersOf: former)
    } else {
      signature = signer.sign([header, parentHeader, metadata, content])
    }
    return Envelope(
      identities: identities, signature: signature, header: header, parentHeader: parentHeader, metadata: metadata,
      content: content,
      buffers: buffers)
  }

  /// What is wrong with a message; each is a reason to drop it and to say so once.
  public enum Rejection: String, Error, Hashable, Sendable, CaseIterable {
    case truncated = "fewer frames than a message has"
    case unsigned = "no signature"
    case forged = "a signature by another key"
    case replayed = "a signature seen before"
    case nameless = "a header without msg_id, msg_type or session"
    public var description: String { rawValue }
  }

  /// Reads frames from outside: the framing, the signature, that it was not seen before, and that its header says what every header says.
  /// - Parameters:
  ///   - scope: where this is, for messages of our own parties; `nil` takes none of them.
  ///   - readsBuffers: whether the buffers are used here, and not only passed on.
  public func open(_ frames: [Frame], sealedFor scope: MessageScope? = nil, readsBuffers: Bool = false) throws(Rejection)
    -> Envelope
  {
    guard let envelope = Envelope(frames) else { throw .truncated }
    if envelope.isSealed, signer.isEnabled {
      guard let scope, envelope.hasSeal(by: signer, scope, readsBuffers: readsBuffers) else { throw .forged }
      guard replays.record(envelope.signature) else { throw .replayed }
    } else {
      try check(signature: envelope.signature, of: envelope.signedParts)
    }
    guard envelope.isNamed else { throw .nameless }
    return envelope
  }

  /// The messages of a batch from outside, which `MessageBatch.isBatch` has recognised. Its one signature is good for all of them.
  public func openBatch(_ frames: [Frame], _ scope: MessageScope) throws(Rejection) -> MessageBatchReader {
    let end = frames.count
    guard end >= 3 else { throw .truncated }
    try check(signature: frames[end - 2], of: [scope.frame, frames[end - 3], frames[end - 1]])
    return MessageBatchReader(verified: frames)
  }

  private func check(signature: Frame, of parts: ArraySlice<Frame>) throws(Rejection) {
    guard signer.isEnabled else { return }
    if signature.isEmpty { throw .unsigned }
    guard signer.verify(signature, parts) else { throw .forged }
    guard replays.record(signature) else { throw .replayed }
  }
}
