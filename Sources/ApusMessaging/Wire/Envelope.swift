public import Transport

/// A message as it travels: identities, the delimiter, a signature, four dictionaries, buffers. The dictionaries stay bytes until asked for.
public struct Envelope: Sendable {
  /// All frames, in order.
  public private(set) var frames: [Frame]
  /// Where the delimiter stands: the number of identities.
  public private(set) var delimiter: Int
  /// Bytes of all frames. Counted once: whoever keeps messages within bounds asks for it again and again.
  public private(set) var byteCount: Int

  /// How many frames follow the delimiter at least: signature, header, parent header, metadata, content.
  public static let fixedParts = 5

  /// - Returns: `nil` without a delimiter, or with fewer than five frames after it.
  public init?(_ frames: [Frame]) {
    guard let delimiter = frames.firstIndex(where: { $0.isIdentical(to: .delimiter) || $0 == .delimiter }),
      frames.count - delimiter > Self.fixedParts
    else { return nil }
    self.frames = frames
    self.delimiter = delimiter
    byteCount = Self.byteCount(frames)
  }

  public init(
    identities: [Frame] = [], signature: Frame, header: Frame, parentHeader: Frame, metadata: Frame, content: Frame,
    buffers: [Frame] = []
  ) {
    frames = identities
    frames.reserveCapacity(identities.count + 6 + buffers.count)
    frames.append(contentsOf: [.delimiter, signature, header, parentHeader, metadata, content])
    frames.append(contentsOf: buffers)
    delimiter = identities.count
    byteCount = Self.byteCount(frames)
  }

  /// Of a batch: the delimiter and an empty signature are in their places.
  init(unsigned frames: [Frame], identities: Int) {
    self.frames = frames
    delimiter = identities
    byteCount = Self.byteCount(frames)
  }

  /// For whoever has looked at each frame already.
  /// - Returns: `nil` where so few frames follow the delimiter that it is no message.
  package init?(_ frames: [Frame], delimiter: Int, byteCount: Int) {
    guard frames.count - delimiter > Self.fixedParts else { return nil }
    self.frames = frames
    self.delimiter = delimiter
    self.byteCount = byteCount
  }

  private static func byteCount(_ frames: [Frame]) -> Int {
    var sum = 0
    for frame in frames { sum += frame.count }
    return sum
  }

  public var identities: ArraySlice<Frame> { frames[..<delimiter] }
  public var signature: Frame { frames[delimiter + 1] }
  public var headerFrame: Frame { frames[delimiter + 2] }
  public var parentHeaderFrame: Frame { frames[delimiter + 3] }
  public var metadataFrame: Frame { frames[delimiter + 4] }
  public var contentFrame: Frame { frames[delimiter + 5] }
  public var buffers: ArraySlice<Frame> { frames[(delimiter + 6)...] }
  /// The four dictionaries: what the signature covers.
  public var signedParts: ArraySlice<Frame> { frames[delimiter + 2...delimiter + 5] }
  /// From the delimiter on: what is the same at every hop.
  public var payload: ArraySlice<Frame> { frames[delimiter...] }

  /// Whether it is signed as a message between Apus's own parties (`Seal`), which nobody else could read.
  public var isSealed: Bool { Self.isSealed(signature) }

  /// The same of a message of which only the signature is at hand.
  package static func isSealed(_ signature: Frame) -> Bool { Seal.isSeal(signature) }

  /// - Parameter readsBuffers: whether the buffers are used here, and not only passed on.
  public func hasSeal(by signer: Signer, _ scope: MessageScope, readsBuffers: Bool) -> Bool {
    signer.verifySeal(signature, signedParts, buffers, scope, readsBuffers: readsBuffers)
  }

  /// Whether the header names the message, its kind and its sender, as every header does.
  var isNamed: Bool {
    // Without making the texts, for this is asked of every message.
    let isPlain = headerFrame.withUnsafeBytes { bytes in
      let header = HeaderScanner(bytes)
      return header.hasPlainText("msg_id") && header.hasPlainText("msg_type") && header.hasPlainText("session")
    }
    return isPlain || messageID != nil && messageType != nil && sessionID != nil
  }

  /// As `payload`, sealed where it is not.
  public func payload(sealedBy signer: Signer, for scope: MessageScope) -> ArraySlice<Frame> {
    guard signer.isEnabled, !isSealed else { return payload }
    var sealed = Array(payload)
    sealed[1] = signer.seal(signedParts, buffers, scope)
    return sealed[...]
  }

  /// As `payload`, with a signature that everybody can check: a message that came in a batch has none of its own, and seals are for our own.
  public func payload(signedBy signer: Signer) -> ArraySlice<Frame> {
    guard signer.isEnabled, signature.isEmpty || isSealed else { return payload }
    var signed = Array(payload)
    signed[1] = signer.sign(signedParts)
    return signed[...]
  }

  /// The same message for other hops.
  public func routed(to identities: [Frame]) -> Envelope {
    var copy = self
    copy.frames.replaceSubrange(..<delimiter, with: identities)
    copy.delimiter = identities.count
    copy.byteCount = Self.byteCount(copy.frames)
    return copy
  }

  /// Lets go of a frame's own storage in favour of another one with the same bytes, so that a million messages share it.
  public mutating func share(_ frame: Frame, at index: Int) {
    // Without a copy of all frames, where others have this message too.
    if frames[index].isIdentical(to: frame) { return }
    assert(frames[index] == frame, "sharing must not change the message")
    frames[index] = frame
  }

  // MARK: decoding

  public func header() throws(MessageError) -> Header {
    guard let header = Header(headerFrame) else { throw MessageError(reason: "the header is not a header") }
    return header
  }

  public func parentHeader() -> Header? { parentHeaderFrame.isIdentical(to: .emptyObject) ? nil : Header(parentHeaderFrame) }

  public func metadata() throws(MessageError) -> JSONObject { try object(metadataFrame, "metadata") }
  public func content() throws(MessageError) -> JSONObject { try object(contentFrame, "content") }

  private func object(_ frame: Frame, _ name: String) throws(MessageError) -> JSONObject {
    do {
      if let object = try frame.json().objectValue { return object }
    } catch { throw MessageError(reason: "the \(name) is \(error)") }
    throw MessageError(reason: "the \(name) is not an object")
  }

  /// `msg_id` of the header: by the scanner, in full where that finds nothing.
  public var messageID: MessageID? { Self.string("msg_id", of: headerFrame).map { MessageID($0) } }
  public var messageType: MessageType? { Self.string("msg_type", of: headerFrame).map { MessageType($0) } }
  public var sessionID: SessionID? { Self.string("session", of: headerFrame).map { SessionID($0) } }
  /// `msg_id` of the parent header: the request that this answers.
  public var parentID: MessageID? { Self.string("msg_id", of: parentHeaderFrame).map { MessageID($0) } }
  public var parentSessionID: SessionID? { Self.string("session", of: parentHeaderFrame).map { SessionID($0) } }

  /// The text of a member of one of the dictionaries, which is decoded in full only where it is unusual.
  package static func string(_ key: StaticString, of frame: Frame) -> String? {
    if frame.isIdentical(to: .emptyObject) { return nil }
    if let found = frame.withUnsafeBytes({ HeaderScanner($0).string(key) }) { return found }
    return (try? frame.json())?["\(key)"]?.stringValue
  }
}

/// Why a message is not one.
public struct MessageError: Error, Hashable, Sendable, CustomStringConvertible {
  public let reason: String
  public init(reason: String) { self.reason = reason }
  public var description: String { reason }
}
