public import ApusMessaging

/// A change of a task. The task database, the queue counters and everything else that watches tasks read this stream and nothing else.
///
/// Made by the relays and schedulers, in the order in which each of them saw it. A task's first event is `submitted` and its last
/// `finished`; there is exactly one of each while the controller lives. What engines publish passes another relay than requests and
/// replies do: `started` and `output` may come before the one and after the other, and so may what clients ask for (`abortRequested`,
/// `resubmitted`).
public struct TaskEvent: Sendable {
  public let id: MessageID
  /// When it was seen, by the controller's clock: the time of the turn in which it happened.
  public let time: Timestamp
  public let kind: Kind
  /// Where the task is. `nil` for what engines publish: a message of theirs does not say it. The last: it lies in a gap, and many thousands
  /// of these are made a second.
  public let queue: TaskQueue?

  public enum Kind: Sendable {
    /// A client asked. `engine` is known at once for direct requests and for the shares of a broadcast.
    case submitted(request: Envelope, engine: EngineUUID?)
    /// Its `after` is not met: it names so many tasks that have not ended.
    case waiting(for: Int)
    /// It may run, and no engine was free for it. Left out for a task that is placed at once. With the resources that it asks for.
    case queued(needing: [String: Double] = [:])
    /// The task scheduler chose an engine.
    case placed(engine: EngineUUID)
    /// Its engine said that it runs. Only where engines say so: of calls while somebody subscribes to their status, of code always, and
    /// then perhaps twice.
    case started
    /// Its engine published something about it.
    case output(OutputKind, Envelope)
    /// It failed where it was, with this reply, and has retries left: `retried` follows.
    case failed(reply: Envelope)
    /// The task goes back to the queue: it failed with retries left, its engine did not meet a dependency, or its engine was lost.
    case retried(from: EngineUUID, reason: RetryReason)
    /// Its engine was lost with it: `retried` or `finished` follows.
    case lost(engine: EngineUUID, cause: EngineLoss)
    /// A restarted controller has it from its journal; comes after `submitted`.
    case restored
    /// A client asks for its end. The task may be anybody's, have ended, or never have been.
    case abortRequested(by: SessionID)
    /// It ends by an abort, of the scheduler's or its engine's: `finished` follows.
    case aborted
    /// It has ended, and was submitted again under another id.
    case resubmitted(as: MessageID)
    /// The reply that the client was sent, or would have been: nobody is sent that of a direct request whose engine was lost, or of a
    /// lost engine's share of a broadcast. `engine` is `nil` for a task that ran on none, and for a broadcast as a whole.
    case finished(reply: Envelope, engine: EngineUUID?, outcome: TaskOutcome)
  }

  public init(_ id: MessageID, _ queue: TaskQueue?, at time: Timestamp, _ kind: Kind) {
    self.id = id
    self.time = time
    self.queue = queue
    self.kind = kind
  }

  /// What events cost that carry a message, and those that carry none.
  static let messageOverhead = 1024
  static let eventOverhead = 128

  /// Bytes that it keeps in memory, roughly.
  var footprint: Int {
    switch kind {
    case .submitted(let message, _), .output(_, let message), .failed(let message), .finished(let message, _, _):
      message.byteCount + Self.messageOverhead
    case .waiting, .queued, .placed, .started, .retried, .lost, .restored, .abortRequested, .aborted, .resubmitted:
      Self.eventOverhead
    }
  }
}

public enum TaskQueue: String, Sendable, Hashable {
  /// Direct requests through the multiplexing relay.
  case mux
  /// Load-balanced ones.
  case task
  /// Broadcasts. Each engine's share is a task of its own, `<id>_<uuid>`; a broadcast whose answers are coalesced is one beside them.
  case broadcast
}

public enum RetryReason: Sendable, Hashable {
  case failed, unmetDependency, engineLost
  /// The request never reached the engine, which a restarted controller has learned from it: no try was spent.
  case undelivered
  /// It failed, as far as anybody can tell: its engine has had a later try. Its reply may be still to come, and is the engine's to keep: it may be
  /// that of the later one.
  case overtaken
}

/// The kinds of output that a task database keeps.
public enum OutputKind: Sendable, Hashable {
  case stream, executeInput, executeResult, error, displayData

  /// - Returns: `nil` for everything else an engine publishes: it is relayed and not kept.
  public init?(_ type: MessageType) {
    switch type {
    case .stream: self = .stream
    case .executeInput: self = .executeInput
    case .executeResult: self = .executeResult
    case .error: self = .error
    case .displayData: self = .displayData
    default: return nil
    }
  }
}
