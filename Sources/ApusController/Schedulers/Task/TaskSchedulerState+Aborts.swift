import ApusMessaging

/// Tasks that nobody wants any more.
extension TaskSchedulerState {
  /// Answers tasks that no engine has yet as aborted, also those that are still to come: an abort may overtake its task by another connection.
  /// Those on engines are the engines' business; they are not tried again.
  mutating func abort(_ ids: [MessageID], now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    for id in ids {
      guard let task = tasks[id] else {
        if !hasEnded(id) { earlyAborts.note(id) }
        continue
      }
      switch task.phase {
      case .waiting, .queued: fail(task, .aborted, now: now, effects: &effects)
      case .placed:
        guard task.constraints.retries > 0 else { continue }
        task.change { $0.retries = 0 }
        effects.noteUnwanted(id)
      case .finished: continue
      }
    }
  }
}
