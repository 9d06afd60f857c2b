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

  /// Of the tasks that a lost engine had, those that it cannot have begun: it runs one after the other, and all but the first were in its queue.
  /// Of one that was known to go, they are put back without counting as tried.
  func notBegun(_ lost: [QueuedTask], on engine: Int) -> Set<MessageID> {
    guard engines[engine].isDraining else { return [] }
    // The order of service is another one: a task of a higher priority, or one that is tried again, may have come later.
    let inOrder = lost.sorted { $0.placement < $1.placement }
    return Set(inOrder.dropFirst().filter { $0.placement > 0 }.map(\.id))
  }
}
