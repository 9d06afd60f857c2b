import ApusMessaging
import HeapModule

/// After a restart: tasks that depend on others which were lost with the controller before, and that their clients are about to send again. A message that
/// was on its way when the connection broke comes before those.
extension TaskSchedulerState {
  /// Who has not sent what another task names by then will not.
  private static var deferral: Duration { .seconds(5) }

  private func namesUnknown(_ request: TaskRequest) -> Bool {
    func isUnknown(_ id: MessageID) -> Bool { id != request.id && tasks[id] == nil && finished[id] == nil }
    return request.after.ids.contains(where: isUnknown) || request.follow.ids.contains(where: isUnknown)
  }

  /// - Returns: whether the task comes later, in `submitDeferred`.
  mutating func defers(_ request: TaskRequest, now: ContinuousClock.Instant) -> Bool {
    guard recovery != nil, tasks[request.id] == nil, !hasEnded(request.id), namesUnknown(request),
      recovery?.deferUntilKnown(request) ?? false
    else { return false }
    if recovery?.deferred.count == 1 { deadlines.insert(Deadline(instant: now + Self.deferral, kind: .deferred)) }
    return true
  }

  /// - Parameter all: also those whose others have not come: they are told so.
  mutating func submitDeferred(
    all: Bool = false, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard recovery?.deferred.isEmpty == false else { return }
    while let index = recovery?.deferred.firstIndex(where: { all || !namesUnknown($0) }),
      let next = recovery?.takeDeferred(at: index)
    {
      submit(next, refused: [], declined: [], now: now, effects: &effects)
    }
  }
}
