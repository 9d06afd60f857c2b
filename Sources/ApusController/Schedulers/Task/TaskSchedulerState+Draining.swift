import ApusMessaging

/// Engines that get no more tasks: their job's time is nearly over, or the cluster shrinks.
extension TaskSchedulerState {
  /// What it has it finishes; what names it alone as its target waits, and is refused when it is gone. Tasks that were to be tried there before
  /// others may have to go back to these.
  mutating func drain(_ uuid: EngineUUID, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    // It may not have its place yet, after a restart.
    engines.drain(engines.know(uuid))
    refuseHopeless(now: now, effects: &effects)
  }

  /// Whether the engine is here, and is about to say what it has: that may be more than anybody knows of.
  func awaitsAccount(of uuid: EngineUUID) -> Bool {
    guard let recovery, let index = engines.index(of: uuid), recovery.owing[index] != nil else { return false }
    return recovery.latecomers[index] != nil || recovery.arrivals.contains(uuid)
  }

  /// Of the tasks that a lost engine had, those that it has not begun: it runs one after the other, and said which was the last. They are put back
  /// without counting as tried. Of an engine that could not say it nothing is known: what it had answered may have been lost with it.
  func notBegun(_ lost: [QueuedTask], cause: EngineLoss) -> Set<MessageID> {
    switch cause {
    case .overran(let culprit, _): return Set(lost.map(\.id)).subtracting([culprit])
    case .left(let last):
      // The order of service is another one: a task of a higher priority, or one that is tried again, may have come later.
      let limit = lost.first { $0.id == last }?.placement ?? 0
      return Set(lost.filter { $0.placement > limit }.map(\.id))
    case .unregistered, .disconnected, .silent, .absent: return []
    }
  }
}
