import ApusMessaging

/// How a relay or scheduler tells what becomes of its tasks: at the time of its turn, for which the clock is read once.
struct TaskEventReporter {
  private let stream: TaskEventStream
  private let queue: TaskQueue?
  private var time: Timestamp?

  init(_ stream: TaskEventStream, _ queue: TaskQueue?) {
    self.stream = stream
    self.queue = queue
  }

  @discardableResult
  mutating func report(_ id: MessageID, _ kind: TaskEvent.Kind) -> TaskEvent {
    let event = event(id, kind)
    stream.report(event)
    return event
  }

  /// - Returns: false if it was left out: too much output waits for the task database.
  mutating func report(output id: MessageID, _ kind: OutputKind, _ message: Envelope) -> Bool {
    stream.report(output: event(id, .output(kind, message)))
  }

  /// In the place of `submitted` and `restored` of each of them.
  mutating func report(restored tasks: [RestoredTask]) {
    let now = time ?? .now()
    time = now
    stream.report(ClusterNotice(.tasksRestored(tasks, queue), at: now))
  }

  /// What is reported next happens later.
  mutating func turnEnds() { time = nil }

  private mutating func event(_ id: MessageID, _ kind: TaskEvent.Kind) -> TaskEvent {
    let now = time ?? .now()
    time = now
    return TaskEvent(id, queue, at: now, kind)
  }
}
