import ApusMessaging

/// What the client's state asks of the world. Implemented by the struct that owns the sockets, and by a recorder in tests.
protocol ClientEffects: ~Copyable {
  mutating func send(_ request: Request)
  /// Tells engines to leave out tasks that they have not begun. The task scheduler listens too.
  mutating func abort(_ tasks: [MessageID], on engines: [RegisteredEngine], _ cancellation: Cancellation)
  /// Asks the scheduler of a restarted controller for these balanced tasks.
  /// - Returns: the number of that question.
  mutating func resume(_ tasks: [TaskNumber]) -> TaskNumber
  mutating func finish(_ handle: TaskHandle, _ ending: TaskEnding)
  mutating func finishOutput(of handle: TaskHandle)
  /// Nothing is accepted from callers any more; said before the first of them learns why.
  mutating func refuse(with error: ClientError)
  mutating func announce(_ event: EngineEvent)
  /// What is submitted to these engines, which are not there, waits for them; said before they depart, and after they have arrived.
  /// - Parameter engines: all of them, by id.
  mutating func awaits(_ engines: [RegisteredEngine])
  /// An engine that was announced is of another kind than was known then.
  mutating func kindLearned(of engine: RegisteredEngine)
  /// Asks the hub which engines there are; the answer comes as `engines(_:asOf:)`.
  mutating func askForEngines(asOf serial: Int)
}
