public import ApusMessaging
import Transport

/// A verified message that asks this engine for something.
public struct ShellRequest: Sendable {
  public enum Origin: Sendable {
    /// Direct, load-balanced and broadcast work: answered on the shell socket.
    case shell
    /// Answered on the control socket.
    case control
  }

  public let envelope: Envelope
  public let id: MessageID
  public let type: MessageType
  public let origin: Origin
  /// It came with others, and so may its answer go.
  let isBatched: Bool

  init(_ envelope: Envelope, origin: Origin, isInBatch: Bool = false) throws(MessageError) {
    if let id = envelope.messageID, let type = envelope.messageType {
      self.id = id
      self.type = type
    } else {
      let header = try envelope.header()
      id = header.id
      type = header.type
    }
    self.envelope = envelope
    self.origin = origin
    isBatched = isInBatch
  }

  /// It came from the scheduler, which chose this engine for it.
  var isBalanced: Bool { channel == .task }

  /// The channel by which it came, if it was sealed: so is the answer.
  var replyScope: MessageScope? { envelope.isSealed ? channel.map { .reply($0) } : nil }

  private var channel: MessageScope.Channel? {
    switch origin {
    case .control: .control
    case .shell: envelope.frames.first.flatMap { Shell.channel(of: $0) }
    }
  }

  /// When the sender made it, by the sender's clock.
  var date: Timestamp? { (try? envelope.header())?.timestamp }

  /// Where the answer goes: the identities in the order in which they came.
  var identities: [Frame] { Array(envelope.identities) }
}
