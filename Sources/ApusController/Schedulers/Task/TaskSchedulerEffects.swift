import ApusMessaging
import Transport

/// What the task scheduler's state asks of the world. The struct that owns the sockets does it; in tests a recorder does.
protocol TaskSchedulerEffects: ~Copyable {
  /// The request to an engine: as it came the first time, and told from what an engine may have had before when it is tried again.
  /// - Parameter attempt: how many times it has come back from an engine; `nil` for the first time of all.
  mutating func send(_ request: Envelope, to engine: EngineUUID, attempt: Int?)
  /// An engine's reply, as it came, to the client that asked. `request` has the client's identities.
  mutating func relay(_ reply: Envelope, to request: Envelope)
  /// A failure that the scheduler decides, made into a reply for the client.
  /// - Returns: that reply.
  mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope
  mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind)
  /// A task of the controller before is here again: it is submitted and restored, as events say it. There may be a million of them.
  mutating func reportRestored(_ task: MessageID, _ request: KeptRequest)
  /// Before the report that a task has ended, whose client does not ask for its result when it comes back: who restores it has to know the client.
  mutating func noteStockClient(_ client: Frame, of task: MessageID)
  /// How tasks have ended that a new one names: who restores it has to know.
  mutating func note(_ outcome: JournalOutcome, of task: MessageID)
  /// A client does not want a task any more that an engine has: it is not tried again, whoever restores it.
  mutating func noteUnwanted(_ task: MessageID)
}

extension TaskSchedulerEffects where Self: ~Copyable {
  mutating func reportRestored(_ task: MessageID, _ request: KeptRequest) {
    report(task, .submitted(request: request.message, engine: nil))
    report(task, .restored)
  }
}

/// How a task ends without an engine's answer.
enum TaskFailure: Sendable, Hashable {
  case aborted
  case timedOut
  /// Why its dependencies cannot be met any more, or no engine may take it.
  case impossible(String)
  /// What is wrong with what it depends on.
  case invalidDependency(String)
  /// It asks for nonsense.
  case refused(RemoteError)
  /// `RemoteError.engineDied`.
  case lost(RemoteError)

  var outcome: TaskOutcome {
    switch self {
    case .aborted: .aborted
    case .timedOut: .timedOut
    case .impossible: .impossible
    case .invalidDependency, .refused: .refused
    case .lost: .lost
    }
  }

  /// What the client is told; `nil` for an abort.
  var error: RemoteError? {
    switch self {
    case .aborted: nil
    case .timedOut: RemoteError(name: "TaskTimeout", value: "")
    case .impossible(let reason): RemoteError(name: "ImpossibleDependency", value: reason)
    case .invalidDependency(let reason): RemoteError(name: "InvalidDependency", value: reason)
    case .refused(let error), .lost(let error): error
    }
  }
}
