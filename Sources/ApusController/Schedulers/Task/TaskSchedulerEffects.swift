import ApusMessaging

/// What the task scheduler's state asks of the world. The struct that owns the sockets does it; in tests a recorder does.
protocol TaskSchedulerEffects: ~Copyable {
  /// The request, as it came, to an engine.
  mutating func send(_ request: Envelope, to engine: EngineUUID)
  /// An engine's reply, as it came, to the client that asked. `request` has the client's identities.
  mutating func relay(_ reply: Envelope, to request: Envelope)
  /// A failure that the scheduler decides, made into a reply for the client.
  /// - Returns: that reply.
  mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope
  mutating func report(_ event: TaskEvent)
}

/// How a task ends without an engine's answer.
enum TaskFailure: Sendable, Hashable {
  case error(RemoteError)
  case aborted
}
