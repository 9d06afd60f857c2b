import ApusMessaging
import HeapModule

/// What the scheduler has to look at again, and when.
extension TaskSchedulerState {
  mutating func armTimeout(_ task: QueuedTask, now: ContinuousClock.Instant) {
    guard task.hasConstraints, let timeout = task.constraints.timeout else { return }
    task.change { $0.deadline = now + timeout }
    deadlines.insert(Deadline(instant: now + timeout, kind: .task(task.id)))
  }

  mutating func sweepDeadlines() {
    deadlines = Heap(
      deadlines.unordered.filter { deadline in
        switch deadline.kind {
        case .task(let id): tasks[id]?.constraints.deadline == deadline.instant
        case .rest(let id): tasks[id]?.constraints.restsUntil == deadline.instant
        case .loss(let engine): losses[engine]?.deadline == deadline.instant
        case .hold: recovery?.isHolding ?? false
        case .latecomer(let engine): recovery?.latecomers[engine] == deadline.instant
        case .deferred, .results: true
        }
      })
  }
}
