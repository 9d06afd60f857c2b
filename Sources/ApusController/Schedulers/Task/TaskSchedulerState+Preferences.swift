import ApusMessaging
import HeapModule

/// What tasks prefer: resources, and when they are tried again.
extension TaskSchedulerState {
  /// Whether the engine has what the task asks for. Engines run one task at a time: all they have is there for it.
  func offers(_ constraints: QueuedTask.Constraints, _ engine: Int) -> Bool {
    guard let needed = constraints.preferences?.resources, !needed.isEmpty else { return true }
    let there = engines[engine].resources
    return needed.allSatisfy { there[$0.key, default: 0] >= $0.value }
  }

  /// There are few sets of resources, though many tasks may ask for each.
  mutating func firstDemanding(for engine: Int) -> QueuedTask? {
    guard !demanding.isEmpty else { return nil }
    var found: QueuedTask?
    for resources in Array(demanding.keys) {
      guard var queue = demanding.removeValue(forKey: resources) else { continue }
      if let first = queue.first(where: { $0.constraints.isDemandingOnly }), offers(first.constraints, engine),
        first.sequence < found?.sequence ?? .max
      {
        found = first
      }
      if !queue.isEmpty { demanding[resources] = queue }
    }
    return found
  }

  /// Whether a failed task wants another try after this failure.
  func triesAgain(_ task: QueuedTask, after result: TaskReply) -> Bool {
    guard task.constraints.retries > 0 else { return false }
    guard let names = task.constraints.preferences?.retryOn, !names.isEmpty else { return true }
    guard let name = (try? result.message.content())?["ename"]?.stringValue else { return false }
    return names.contains(name)
  }

  /// The same after the loss of its engine.
  func triesAgainAfterLoss(_ task: QueuedTask) -> Bool {
    guard task.constraints.retries > 0 else { return false }
    guard let names = task.constraints.preferences?.retryOn, !names.isEmpty else { return true }
    return names.contains("EngineError")
  }

  /// It is tried again, now or after the pause that it asks for.
  mutating func tryAgain(
    _ task: QueuedTask, pausing: Bool, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard pausing, let pause = task.constraints.preferences?.pause(attempt: task.attempt) else {
      return enqueue(task, now: now, effects: &effects)
    }
    rest(task, for: pause, now: now)
  }

  mutating func rest(_ task: QueuedTask, for pause: Duration, now: ContinuousClock.Instant) {
    task.phase = .waiting
    // Its stay in the queue is over; the next one begins after the pause. What it follows has ended.
    task.change { ($0.after, $0.restsUntil, $0.deadline) = (.none, now + pause, nil) }
    deadlines.insert(Deadline(instant: now + pause, kind: .rest(task.id)))
  }

  /// A pause is over.
  mutating func rested(
    _ id: MessageID, at instant: ContinuousClock.Instant, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard let task = tasks[id], task.constraints.restsUntil == instant, case .waiting = task.phase else { return }
    task.change { $0.restsUntil = nil }
    // Others that might have had it may have gone meanwhile.
    forgive(task)
    enqueue(task, now: now, effects: &effects)
  }
}
