public import ApusMessaging

/// How a task ended. What exactly went wrong is in the reply.
public enum TaskOutcome: UInt8, Sendable, Hashable, CaseIterable {
  case ok
  /// It ran and failed.
  case error
  /// It was aborted before it ran, or its engine says that it was.
  case aborted
  /// Its engine was lost with it, and it had no retries left.
  case lost
  /// It was in the queue for as long as it may.
  case timedOut
  /// Its dependencies cannot be met any more, or no engine may take it.
  case impossible
  /// It was given to no engine: it asks for nonsense, or names an engine that is not there.
  case refused

  public init(_ status: ReplyStatus) {
    switch status {
    case .ok: self = .ok
    case .error: self = .error
    case .aborted: self = .aborted
    }
  }

  /// Of an engine's reply to a request of any kind.
  init(of reply: Envelope) {
    self.init(reply.replyStatus)
    guard self == .error, let type = reply.messageType, type != .applyReply, type != .executeReply else { return }
    // Not all of them have a status, and that of an `is_complete_reply` is about the code.
    if Envelope.string("status", of: reply.contentFrame) != "error" { self = .ok }
  }
}
