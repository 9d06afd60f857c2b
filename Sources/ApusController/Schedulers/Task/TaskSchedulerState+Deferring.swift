import ApusMessaging
import HeapModule
import Transport

/// After a restart: tasks that depend on others which were lost with the controller before, and that their clients are about to send again. A message that
/// was on its way when the connection broke comes before those.
extension TaskSchedulerState {
  /// Who has not sent what another task names by then will not.
  private static var deferral: Duration { .seconds(5) }

  /// - Parameters:
  ///   - isPaused: no more is read from clients for now.
  ///   - byteLimit: of what is held, which has been reached then.
  mutating func noteClients(wait isPaused: Bool, byteLimit: Int) {
    // Not where those that wait for them are most of what there is: then they would wait for ever.
    clientsWait = isPaused && recovery.map { Self.heldBytes(of: $0.deferred.count, $0.deferred.byteCount) < byteLimit / 2 } ?? false
  }

  private func unknownTasks(of request: TaskRequest) -> Set<MessageID> {
    request.after.ids.union(request.follow.ids).filter { $0 != request.id && tasks[$0] == nil && finished[$0] == nil }
  }

  /// - Returns: whether the task comes later, in `submitDeferred`.
  mutating func defers(_ request: TaskRequest, now: ContinuousClock.Instant) -> Bool {
    guard recovery?.mayDefer ?? false, !request.after.isEmpty || !request.follow.isEmpty, tasks[request.id] == nil,
      !hasEnded(request.id)
    else { return false }
    let unknown = unknownTasks(of: request)
    guard !unknown.isEmpty else { return false }
    _ = countDeferred { $0.add(request, unknown: unknown, until: now + Self.deferral) }
    armDeferral()
    return true
  }

  /// Its client has come back, and is told what becomes of it.
  /// - Returns: whether it waits here.
  mutating func rerouteDeferred(_ id: MessageID, to client: Frame) -> Bool {
    guard recovery?.deferred.isEmpty == false else { return false }
    return countDeferred { $0.reroute(id, to: client) } ?? false
  }

  private mutating func countDeferred<R>(_ body: (inout DeferredTasks) -> R) -> R? {
    guard let before = recovery?.deferred.byteCount else { return nil }
    defer { messageBytes += (recovery?.deferred.byteCount ?? 0) - before }
    return recovery?.changeDeferred(body)
  }

  /// For the first whose time will be over.
  private mutating func armDeferral() {
    guard recovery?.isDeferralDue == false, let end = recovery?.deferred.firstEnd else { return }
    deadlines.insert(Deadline(instant: end, kind: .deferred))
    recovery?.isDeferralDue = true
  }

  mutating func deferralIsOver(now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    recovery?.isDeferralDue = false
    if clientsWait { _ = countDeferred { $0.postpone(until: now + Self.deferral) } }
    submitDeferred(now: now, effects: &effects)
    armDeferral()
  }

  /// Those of which all that they name has come; and those for which that has not, in time: they are told so.
  mutating func submitDeferred(now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    while recovery?.deferred.isEmpty == false, let next = countDeferred({ $0.next(now: now) }) ?? nil {
      submit(next, refused: [], declined: [], now: now, effects: &effects)
    }
  }
}
