import ApusMessaging
import HeapModule
import Transport

/// What happens after a restart with a journal.
extension TaskSchedulerState {
  /// As `restore(taking:)`, of what others keep.
  mutating func restore(
    _ restored: Restorer.Restored, engines known: [EngineUUID], _ configuration: JournalConfiguration,
    now: ContinuousClock.Instant, wall: Timestamp, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    var copy = restored
    restore(taking: &copy, engines: known, configuration, now: now, wall: wall, effects: &effects)
  }

  /// Before anything else happens to this scheduler.
  /// - Parameters:
  ///   - restored: is left without tasks.
  ///   - engines: those of the controller before, as far as they are known.
  ///   - configuration: how long they are waited for.
  ///   - wall: the time of day at `now`, which the journal's times are compared with.
  mutating func restore(
    taking restored: inout Restorer.Restored, engines known: [EngineUUID], _ configuration: JournalConfiguration,
    now: ContinuousClock.Instant, wall: Timestamp, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    for part in restored.ended { restore(part) }
    for (id, outcome) in restored.outcomes {
      finished.record(id, succeeded: outcome.succeeded, engine: outcome.engine.map { engines.know($0) })
    }
    var awaited = Set(known.map { engines.know($0) })
    for index in restored.tasks.indices { if let engine = restored.tasks[index].engine { awaited.insert(engines.know(engine)) } }
    recovery = Recovery(awaited: awaited, results: restored.results, configuration, now: now, wall: wall)
    for engine in awaited.sorted() { lose(engine, cause: .absent, deadline: now + configuration.engineTimeout) }
    // Whatever they are sent to may have had them from the controller before, and takes no message twice.
    lastRestored = lastSequence + restored.tasks.count
    // Some end at once, before their clients are back.
    recovery?.lastRestored = lastRestored
    var reader = TaskRequestReader()
    makeRoom(for: restored.tasks.count)
    isRestoring = true
    var tasks: [RestatedTask] = []
    swap(&tasks, &restored.tasks)
    // From the end, so that each is moved and not copied.
    tasks.reverse()
    while var task = tasks.popLast() {
      do throws(RemoteError) {
        if task.isUntouched, reader.isPlain(&task.request) {
          restorePlain(task.id, task.request, now: now, effects: &effects)
        } else {
          let request = try reader.read(&task.request, id: task.id)
          restore(task, request, now: now, wall: wall, effects: &effects)
        }
      } catch { refuse(task.message, id: task.id, error, effects: &effects) }
    }
    isRestoring = false
    deadlines.insert(Deadline(instant: now + configuration.holdTime, kind: .hold))
    deadlines.insert(Deadline(instant: now + configuration.resultTime, kind: .results))
    endHoldIfComplete(now: now, effects: &effects)
  }

  /// What most tasks are: one that waits for an engine, of which nothing else is asked. The same as of others, without the questions.
  private mutating func restorePlain(
    _ id: MessageID, _ request: KeptRequest, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    if hasEnded(id) { return }
    let task = QueuedTask(plain: request, id: id, submission: lastSequence + 1)
    guard take(task) else { return }
    effects.reportRestored(id, request)
    enqueue(task, isNews: false, now: now, effects: &effects)
  }

  private mutating func restore(
    _ task: RestatedTask, _ request: TaskRequest, now: ContinuousClock.Instant, wall: Timestamp,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    var request = request
    request.retries = max(0, request.retries - task.spentRetries)
    let refused = Set(task.refused.map { engines.know($0) })
    let declined = Set(task.declined.map { engines.know($0) })
    guard let engine = task.engine else {
      return submit(
        request, refused: refused, declined: declined, attempt: task.attempt, spentRetries: task.spentRetries,
        resting: rest(left: task, request, wall: wall), now: now, effects: &effects)
    }
    let index = engines.know(engine)
    submit(
      request, refused: refused, declined: declined, attempt: task.attempt, spentRetries: task.spentRetries, placedOn: index,
      now: now, effects: &effects)
    recovery?.unconfirmed[index, default: []].insert(task.id)
  }

  /// What is left of a task's rest; `nil` where that is over.
  private func rest(left task: RestatedTask, _ request: TaskRequest, wall: Timestamp) -> Duration? {
    guard let since = task.restsSince, let pause = request.preferences?.pause(attempt: task.attempt) else { return nil }
    // A clock that was set back makes no rest longer.
    let left = min(pause, pause - (wall - since))
    return left > .zero ? left : nil
  }

  /// How tasks of the controllers before have ended, as far as the last snapshot says so.
  private mutating func restore(_ part: EndedTasks) {
    guard finished.adopt(seed: part.seed) else { return }
    let indexes = part.engines.map { engines.know($0) }
    for end in part.ends {
      finished.record(code: end.code, succeeded: end.succeeded, engine: end.engine.map { indexes[$0] }, isHearsay: true)
    }
  }

  // MARK: engines that come back

  /// An engine is here, and has a place again when nothing is held any more.
  /// - Parameters:
  ///   - running: what it ran when it asked for its place, as far as it says so, and which try of it: by now that may have come to an end.
  ///   - accounts: it will say what it has, and send what it has answered: one of Apus's own.
  ///   - isOfBefore: it was another controller's. It may have come to that one after all that is in the journal.
  /// - Returns: whether that is all for now.
  mutating func returned(
    _ uuid: EngineUUID, running: [MessageID: Int], accounts: Bool, wasCutOff: Bool, isOfBefore: Bool,
    now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) -> Bool {
    guard recovery != nil else { return false }
    let index = engines.know(uuid)
    let wasAwaited = recovery?.awaited.remove(index) != nil
    guard wasAwaited || isOfBefore else { return hold(uuid, now: now, effects: &effects) }
    // The journal may know nothing of one that came in the last moments, and of what it has.
    if accounts { recovery?.owes(index, now: now) }
    if !wasAwaited, recovery?.isHolding == true, recovery?.owing[index] != nil { recovery?.silent.insert(index) }
    // What an engine of others has not answered by then is lost, though it is here: it does not say what it has.
    if !wasAwaited {
      settleLoss(of: index, wasCutOff: wasCutOff)
      for id in running.keys { losses[index]?.doubtful?[id] = nil }
    } else if accounts || recovery?.unconfirmed[index] == nil {
      losses[index] = nil
    }
    var relieved: [Int: Int] = [:]
    for (id, attempt) in running.sorted(by: { $0.key.text < $1.key.text }) where tasks[id].map({ $0.attempt <= attempt }) ?? true {
      claim(id, attempt, by: index, relieving: &relieved, effects: &effects)
    }
    // One that is busy says the rest later: the others need not wait for that.
    if !accounts || !running.isEmpty { recovery?.heard(index) }
    serve(relieved, now: now, effects: &effects)
    return hold(uuid, now: now, effects: &effects) || holdLatecomer(index, now: now)
  }

  private mutating func hold(
    _ uuid: EngineUUID, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) -> Bool {
    guard recovery?.isHolding ?? false else { return false }
    if recovery?.arrivals.contains(uuid) == false { recovery?.arrivals.append(uuid) }
    endHoldIfComplete(now: now, effects: &effects)
    return true
  }

  /// Tasks are placed again, and what this engine has may be among them: it would be given what it has had.
  /// - Returns: whether it is to say first what it has.
  private mutating func holdLatecomer(_ index: Int, now: ContinuousClock.Instant) -> Bool {
    guard let deadline = recovery?.awaitAccount(of: index, now: now) else { return false }
    deadlines.insert(Deadline(instant: deadline, kind: .latecomer(engine: index)))
    return true
  }

  /// It has said what it has, or takes too long for that.
  mutating func endLatecomer(
    _ index: Int, at instant: ContinuousClock.Instant? = nil, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard let deadline = recovery?.latecomers[index], instant ?? deadline == deadline else { return }
    recovery?.latecomers[index] = nil
    joined(engines[index].uuid, now: now, effects: &effects)
  }

  /// An engine that came back says all that it has: tasks that wait there, and replies that it has kept and sends now.
  /// - Parameters:
  ///   - waiting: those among them that it has not run yet, and how many times each had come back before that try.
  ///   - failed: those among them that it only has a failure of, likewise. Of the rest it has results.
  /// - Returns: those that have ended already, or whose failure has been counted: it need not keep their replies.
  mutating func accounted(
    _ ids: [MessageID], waiting: [MessageID: Int] = [:], failed: [MessageID: Int] = [:], by uuid: EngineUUID,
    now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) -> [MessageID] {
    guard recovery != nil else { return ids.filter { tasks[$0] == nil } }
    let index = engines.know(uuid)
    var ended: [MessageID] = []
    var counted: Set<MessageID> = []
    var relieved: [Int: Int] = [:]
    for id in ids {
      if let task = tasks[id] {
        if let attempt = failed[id], isCounted(task, attempt, on: index) {
          counted.insert(id)
          ended.append(id)
        } else if let attempt = waiting[id], attempt < task.attempt {
          // What it is about to run has been given up.
          counted.insert(id)
        } else {
          claim(id, failed[id] ?? waiting[id], by: index, relieving: &relieved, effects: &effects)
        }
      } else if hasEnded(id) || recovery?.isOver == true {
        ended.append(id)
      } else {
        recovery?.claim(id, failed[id] ?? waiting[id], by: index)
      }
    }
    let missing = (recovery?.unconfirmed.removeValue(forKey: index) ?? []).subtracting(Set(ids).subtracting(counted))
    for id in missing.sorted(by: { tasks[$0]?.sequence ?? 0 < tasks[$1]?.sequence ?? 0 }) {
      guard let task = tasks[id], case .placed(index) = task.phase else { continue }
      relieved[index, default: 0] += 1
      effects.report(id, .retried(from: uuid, reason: .undelivered))
      // It may have failed here, and be here again for want of others.
      forgive(task)
      enqueue(task, now: now, effects: &effects)
    }
    serve(relieved, now: now, effects: &effects)
    // It is here, and all that it has is known.
    if losses[index]?.cause == .absent, !isAwaited(index) { losses[index] = nil }
    recovery?.accounts(index)
    loseAbsent(index, now: now)
    endHoldIfComplete(now: now, effects: &effects)
    endLatecomer(index, now: now, effects: &effects)
    return ended
  }

  /// A failure of an earlier try, which has been counted: it comes late, or was kept for the controller before.
  func isOutdated(_ result: TaskReply, of task: QueuedTask) -> Bool {
    guard task.attempt > 0, !result.isResult, let attempt = result.attempt else { return false }
    return attempt < task.attempt
  }

  /// The engine's failure is of a later try than the journal knows of, and comes before its account, which says the same.
  mutating func catchUp(_ result: TaskReply, on index: Int, effects: inout some TaskSchedulerEffects & ~Copyable) {
    guard recovery != nil, !result.isResult, let attempt = result.attempt else { return }
    catchUp(result.id, to: attempt, on: index, effects: &effects)
  }

  /// The engine has had a later try of its task than the journal knows of: those before it have failed, as far as anybody can tell.
  private mutating func catchUp(
    _ id: MessageID, to attempt: Int, on index: Int, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard let task = tasks[id], case .placed(index) = task.phase else { return }
    for _ in task.attempt..<max(task.attempt, min(attempt, task.attempt + Self.mostForgotten)) {
      engines.relieved(index)
      noteForgottenFailure(of: task, on: index, effects: &effects)
      placeUnsent(task, on: index, effects: &effects)
    }
  }

  /// A try has failed, and its engine's reply is not looked at any more: a later try is known.
  private func noteForgottenFailure(
    of task: QueuedTask, on index: Int, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    task.change {
      $0.attempt += 1
      $0.retries = max(0, $0.retries - 1)
      $0.refused.insert(index)
    }
    effects.report(task.id, .retried(from: engines[index].uuid, reason: .overtaken))
  }

  /// Tries of a task that a journal may have missed.
  private static let mostForgotten = 64

  /// Whether the engine's failure is of a try that is known to have failed. One of a task that is elsewhere is of an earlier one too, unless it is a
  /// later one than that of the task there; or that place is only what the journal says, which may be where it was before and never came to.
  private func isCounted(_ task: QueuedTask, _ attempt: Int, on engine: Int) -> Bool {
    switch task.phase {
    case .waiting, .queued, .placed(engine): attempt < task.attempt
    case .placed(let other):
      attempt < task.attempt || attempt == task.attempt && recovery?.unconfirmed[other]?.contains(task.id) != true
    case .finished: true
    }
  }

  /// The engine has the task, or its result: it is there, whatever the journal says, and need not be sent.
  /// - Parameters:
  ///   - attempt: how many times it had come back before the try that the engine has; `nil` for a result.
  ///   - relieved: gets the engine that it was believed to be on. That one is to be served when all claims are known: what waits may be
  ///     claimed, too.
  private mutating func claim(
    _ id: MessageID, _ attempt: Int?, by index: Int, relieving relieved: inout [Int: Int],
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard let task = tasks[id] else {
      if !hasEnded(id) { recovery?.claim(id, attempt, by: index) }
      return
    }
    switch task.phase {
    case .waiting, .queued: placeUnsent(task, on: index, effects: &effects)
    case .placed(index): recovery?.unconfirmed[index]?.remove(id)
    case .placed(let other):
      let isConfirmed = recovery?.unconfirmed[other]?.remove(id) == nil
      // Two have it. What the other has said of it is a failure, or was lost on the way: a later try follows from that, and so does a result.
      if isConfirmed, let attempt, attempt <= task.attempt { return }
      // Long after a restart the other one is no remnant of before: the task was placed there, runs there, and ends with its reply.
      if isConfirmed, attempt == nil, recovery?.isOver == true, losses[other] == nil { return }
      relieved[other, default: 0] += 1
      if isConfirmed, attempt != nil {
        noteForgottenFailure(of: task, on: other, effects: &effects)
      } else {
        effects.report(id, .retried(from: engines[other].uuid, reason: .undelivered))
      }
      placeUnsent(task, on: index, effects: &effects)
    case .finished: return
    }
    if let attempt { catchUp(id, to: attempt, on: index, effects: &effects) }
  }

  /// Engines turn out to have less than was believed, by so many tasks. They are full until now: what waits goes before what comes back.
  private mutating func serve(
    _ relieved: [Int: Int], now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    for (index, count) in relieved { for _ in 0..<count { engines.relieved(index) } }
    for index in relieved.keys.sorted() { serve(index, now: now, effects: &effects) }
  }

  /// The reply of a task that nobody has submitted, or that is not on this engine, as far as is known. The engine's account, which says that it is
  /// there, may come later, for a reply goes by any of its connections, and is no better than the reply itself.
  mutating func completedUnplaced(
    _ reply: TaskReply, by uuid: EngineUUID, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard recovery != nil else { return }
    let index = engines.know(uuid)
    guard let task = tasks[reply.id] else {
      if !hasEnded(reply.id) { recovery?.keep(reply, of: index) }
      return
    }
    let attempt = reply.isResult ? nil : reply.attempt ?? 0
    if let attempt, isCounted(task, attempt, on: index) { return }
    var relieved: [Int: Int] = [:]
    claim(reply.id, attempt, by: index, relieving: &relieved, effects: &effects)
    if case .placed(index) = task.phase { completed(reply, by: uuid, now: now, effects: &effects) }
    serve(relieved, now: now, effects: &effects)
  }

  /// - Returns: whether the task is on an engine that has it already.
  mutating func takesClaim(
    _ task: QueuedTask, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) -> Bool {
    guard let claim = recovery?.takeClaim(task.id) else { return false }
    placeUnsent(task, on: claim.engine, effects: &effects)
    if let attempt = claim.attempt { catchUp(task.id, to: attempt, on: claim.engine, effects: &effects) }
    if let reply = claim.reply { completed(reply, by: engines[claim.engine].uuid, now: now, effects: &effects) }
    loseAbsent(claim.engine, now: now)
    return true
  }

  /// An engine is lost that had come back.
  mutating func lostAgain(
    _ uuid: EngineUUID, cause: EngineLoss, deadline: ContinuousClock.Instant, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard let index = engines.index(of: uuid), recovery != nil else { return }
    recovery?.forgetClaims(of: index)
    recovery?.heard(index)
    engines.stayedAway(index)
    let wasLatecomer = recovery?.latecomers.removeValue(forKey: index) != nil
    let place = recovery?.arrivals.firstIndex(of: uuid)
    if let place { recovery?.arrivals.remove(at: place) }
    let wasComing = wasLatecomer || place != nil
    if wasComing, engines[index].load > 0 { lose(index, cause: cause, deadline: deadline) }
    endHoldIfComplete(now: now, effects: &effects)
    // It had no place yet, and tasks may have waited for it alone.
    if wasComing { refuseHopeless(now: now, effects: &effects) }
  }

  struct Loss {
    let cause: EngineLoss
    let deadline: ContinuousClock.Instant
    /// Of an engine that came back before that over another connection: what it had before, and which try of it; all that it has otherwise.
    var doubtful: [MessageID: Int]?
  }

  /// It has tasks, as it has said, and is not here: it has no place yet, or has none any more. Somebody has to give them up.
  private mutating func loseAbsent(_ index: Int, now: ContinuousClock.Instant) {
    guard let recovery, engines[index].load > 0, losses[index] == nil, !engines[index].isRegistered, !mayCome(index) else { return }
    lose(index, cause: .absent, deadline: now + recovery.engineTimeout)
  }

  /// It is there, and has the task already.
  mutating func placeUnsent(_ task: QueuedTask, on engine: Int, effects: inout some TaskSchedulerEffects & ~Copyable) {
    task.phase = .placed(engine: engine)
    task.placement = 0
    engines.placed(on: engine)
    if task.hasConstraints { task.change { ($0.after, $0.deadline, $0.restsUntil) = (.none, nil, nil) } }
    effects.report(task.id, .placed(engine: engines[engine].uuid))
  }

  /// The engine is gone; what it has not answered by then is lost.
  mutating func lose(_ engine: Int, cause: EngineLoss, deadline: ContinuousClock.Instant) {
    losses[engine] = Loss(cause: cause, deadline: deadline)
    deadlines.insert(Deadline(instant: deadline, kind: .loss(engine: engine)))
  }

  /// An engine is here again before it was given up.
  mutating func settleLoss(of index: Int, wasCutOff: Bool) {
    // It was here before it had its place, and it has been settled what is in doubt.
    if losses[index]?.doubtful != nil, engines[index].load > 0 { return }
    switch losses[index]?.cause {
    case nil: return
    // Its connection broke, before or after it was silent: what was on its way is lost, and only the replies that have arrived are still to be read.
    case .disconnected where engines[index].load > 0, .silent where wasCutOff && engines[index].load > 0:
      let there = tasks.values.filter { if case .placed(index) = $0.phase { true } else { false } }
      losses[index]?.doubtful = Dictionary(uniqueKeysWithValues: there.map { ($0.id, $0.attempt) })
    // Of one that came back after a restart, and does not say what it has, tasks are still to be given up.
    case .absent where recovery?.unconfirmed[index] != nil: return
    default: losses[index] = nil
    }
  }

  /// What an engine is given up with that is gone, or has come back without what was on its way.
  mutating func giveUp(
    _ engine: Int, _ loss: Loss, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    // Of one that came back, and says nothing of what it had, only that.
    let isHere = engines[engine].isRegistered || mayCome(engine) && !isAwaited(engine)
    let doubtful = isHere ? recovery?.unconfirmed[engine] : nil
    recovery?.unconfirmed[engine] = nil
    let lost = tasks.values.filter { task in
      guard case .placed(engine) = task.phase else { return false }
      return (loss.doubtful.map { $0[task.id] == task.attempt } ?? true) && (doubtful?.contains(task.id) ?? true)
    }.sorted { $0.sequence < $1.sequence }
    let notBegun = notBegun(lost, cause: loss.cause)
    var relieved: [Int: Int] = [:]
    for task in lost {
      // A failure in the chain may have ended it meanwhile.
      guard case .placed = task.phase else { continue }
      relieved[engine, default: 0] += 1
      let uuid = engines[engine].uuid
      effects.report(task.id, .lost(engine: uuid, cause: loss.cause))
      if notBegun.contains(task.id) {
        // No try was spent.
        retry(task, from: engine, reason: .undelivered, now: now, effects: &effects)
      } else if triesAgainAfterLoss(task) {
        task.change { $0.retries -= 1 }
        retry(task, from: engine, reason: .engineLost, now: now, effects: &effects)
      } else {
        fail(
          task, .lost(.engineDied(uuid, running: task.id, cause: loss.cause.sentence)), now: now, effects: &effects, engine: engine)
      }
    }
    serve(relieved, now: now, effects: &effects)
  }

  // MARK: time

  private mutating func endHoldIfComplete(now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    if recovery?.silent.isEmpty ?? false { endHold(now: now, effects: &effects) }
  }

  /// From now on tasks are placed.
  mutating func endHold(now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    guard recovery?.isHolding ?? false else { return }
    recovery?.isHolding = false
    let arrivals = recovery?.arrivals ?? []
    recovery?.arrivals = []
    for uuid in arrivals where !holdLatecomer(engines.know(uuid), now: now) { joined(uuid, now: now, effects: &effects) }
  }

  /// The time is over in which an engine of the controller before may come back, or of an engine of others answer.
  mutating func gaveUpWaiting(
    for engine: Int, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    guard recovery?.awaited.remove(engine) != nil else { return }
    recovery?.heard(engine)
    refuseHopeless(now: now, effects: &effects)
    endHoldIfComplete(now: now, effects: &effects)
  }

  /// Whether the engine may still come back.
  func isAwaited(_ engine: Int) -> Bool { recovery?.awaited.contains(engine) ?? false }

  /// Whether it may, or is back and has its place in a moment.
  func mayCome(_ engine: Int) -> Bool {
    guard let recovery else { return false }
    return recovery.awaited.contains(engine) || recovery.latecomers[engine] != nil
      || recovery.arrivals.contains(engines[engine].uuid)
  }
}
