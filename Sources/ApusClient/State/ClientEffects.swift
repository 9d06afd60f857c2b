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
  /// What is submitted to these engines, which are not there, waits for them from here on; said before they depart. One that arrives is awaited no
  /// longer.
  /// - Parameter engines: by id; others may be awaited already.
  mutating func awaits(_ engines: [RegisteredEngine])
  /// These do not come back.
  mutating func givesUp(_ engines: [RegisteredEngine])
  /// An engine that was announced is of another kind than was known then.
  mutating func kindLearned(of engine: RegisteredEngine)
  /// Asks the hub which engines there are; the answer comes as `engines(_:asOf:)`.
  mutating func askForEngines(asOf serial: Int)
}
