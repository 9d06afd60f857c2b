public import ApusMessaging

/// A change of a task. The task database, the queue counters and everything else that watches tasks read this stream and nothing else.
///
/// Made by the relays and schedulers, in the order in which each of them saw it. Two of them may report one task out of order: output can
/// come before the submission.
public enum TaskEvent: Sendable {
  /// A client asked. `engine` is known at once for direct requests.
  case submitted(MessageID, request: Envelope, queue: TaskQueue, engine: EngineUUID?)
  /// The task scheduler chose an engine.
  case placed(MessageID, engine: EngineUUID)
  /// An engine published something about a task.
  case output(MessageID, OutputKind, Envelope)
  /// The task goes back to the queue: it failed with retries left, its engine did not meet a dependency, or its engine was lost.
  case retried(MessageID, from: EngineUUID, reason: RetryReason)
  /// The reply was sent to the client, or the failure that the scheduler made in its place. `engine` is nil for the latter.
  case finished(MessageID, reply: Envelope, engine: EngineUUID?)
}

public enum TaskQueue: String, Sendable, Hashable {
  /// Direct requests through the multiplexing relay.
  case mux
  /// Load-balanced ones.
  case task
}

public enum RetryReason: Sendable, Hashable {
  case failed, unmetDependency, engineLost
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
