import ApusMessaging
import DequeModule
import HeapModule

/// The task scheduler's mind: which task runs where and when (protocol section 10). No sockets, no clock, no randomness of its own.
///
/// After every event no queued task could be placed: whatever frees an engine or a task looks for its counterpart at once. Tasks are
/// served in the order of submission, by queues that find the next one without a search:
/// `ready` for tasks that any engine may take, one queue an engine for tasks with targets, one a set of resources, and `limited` for the rest.
struct TaskSchedulerState {
  var engines: EngineLoads
  /// Every task that is not answered.
  private(set) var tasks: [MessageID: QueuedTask] = [:]
  /// Tasks that clients asked about, and that nobody here knows: they are about to be sent again.
  var unknown: Set<MessageID> = []
  /// While tasks of the controller before are taken over: they are told as such, and not as queued once more.
  var isRestoring = false
  /// Aborts of tasks that have not come.
  var earlyAborts = EarlyAborts()
  var finished: FinishedTasks
  /// Bytes of the messages of tasks that wait, or are placed, or come later (`DeferredTasks`); and, beyond these, of parts of a journal that are
  /// kept for the few requests which are left of them.
  var (messageBytes, leftOverBytes) = (0, 0)
  /// No more is read from clients for now, because of other tasks than those that wait for what clients are to send.
  var clientsWait = false

  private var ready = ReadyQueue()
  private var targeted: [Int: ReadyQueue] = [:]
  /// Of tasks that ask for these resources and nothing else.
  var demanding: [[String: Double]: ReadyQueue] = [:]
  private var limited: [QueuedTask] = []
  private var dependents: [MessageID: [QueuedTask]] = [:]
  var deadlines = Heap<Deadline>()
  /// Engines that are gone and whose tasks may still be answered by replies on their way.
  var losses: [Int: Loss] = [:]
  /// After a restart with a journal.
  var recovery: Recovery?
  private(set) var lastSequence = 0
  private var lastPlacement: UInt32 = 0
  /// Tasks up to this place in the order are of the controller before: engines may have had them.
  var lastRestored = 0
  /// Tasks that have ended and whose dependents are not told yet: a list, because a chain of them may be longer than a stack is deep.
  private var ended = Deque<(id: MessageID, succeeded: Bool, dependents: [QueuedTask])>()
  private var isSettling = false
  private let isPure: Bool
  private var lookAhead: LookAhead

  struct Deadline: Comparable {
    enum Kind { case task(MessageID), rest(MessageID), loss(engine: Int), hold, latecomer(engine: Int), deferred, results }
    let instant: ContinuousClock.Instant
    let kind: Kind
    static func < (a: Deadline, b: Deadline) -> Bool { a.instant < b.instant }
    static func == (a: Deadline, b: Deadline) -> Bool { a.instant == b.instant }
  }

  /// - Parameters:
  ///   - highWaterMark: tasks that an engine may have at once; 0 is no limit.
  ///   - lookAhead: tasks beyond that mark that a quick engine may be sent while many wait; 0 is none.
  ///   - finishedCapacity: finished tasks that dependencies may name.
  init(
    policy: SchedulingPolicy = .leastLoad, highWaterMark: Int = 1, lookAhead: Int = 0, finishedCapacity: Int = 1 << 18,
    seed: UInt64 = 0
  ) {
    engines = EngineLoads(policy: policy, highWaterMark: highWaterMark, seed: seed)
    finished = FinishedTasks(capacity: finishedCapacity, seed: seed)
    isPure = policy == .pure
    self.lookAhead = LookAhead(limit: highWaterMark == 0 || policy == .pure ? 0 : lookAhead)
  }

  /// When `expire` is to be called next.
  var nextDeadline: ContinuousClock.Instant? { deadlines.min?.instant }
  /// Deadlines that are kept, with those of tasks that have ended meanwhile.
  var deadlineCount: Int { deadlines.count }
  /// Tasks whose messages are kept.
  var keptCount: Int { tasks.count + (recovery?.deferred.count ?? 0) }
  /// What these take, in bytes.
  var heldBytes: Int { Self.heldBytes(of: keptCount, messageBytes) }
  /// What the scheduler itself keeps of a queued task, beside its frames' bytes.
  static let bytesPerTask = 1024
  static func heldBytes(of count: Int, _ bytes: Int) -> Int { bytes + count * bytesPerTask }
  var queuedCount: Int { tasks.values.lazy.filter(\.isQueued).count }

  /// For so many tasks at once.
  mutating func makeRoom(for count: Int) {
    tasks.reserveCapacity(tasks.count + count)
    ready.makeRoom(for: count)
  }

  // MARK: events: clients

  mutating func submit(_ request: TaskRequest, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    if defers(request, now: now) { return }
    submit(request, refused: [], declined: [], now: now, effects: &effects)
    submitDeferred(now: now, effects: &effects)
  }

  /// - Parameters:
  ///   - refused: engines that it has met before, as of `QueuedTask.Constraints`; of a task that is restored.
  ///   - attempt: how many times it has come back from an engine.
  ///   - spentRetries: how many of those that its message allows are no more: the request has what is left.
  ///   - rest: how long a task rests that is restored.
  ///   - place: where a task is that is restored.
  mutating func submit(
    _ request: TaskRequest, refused: Set<Int>, declined: Set<Int>, attempt: Int = 0, spentRetries: Int = 0,
    resting rest: Duration? = nil, placedOn place: Int? = nil, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    var request = request
    // The same id again is a message that came twice: the first one is answered.
    if hasEnded(request.id) { return }
    if isPure { request = TaskRequest(id: request.id, request.kept) }
    let task = QueuedTask(request, submission: lastSequence + 1)
    guard take(task) else { return }
    if isRestoring {
      effects.reportRestored(task.id, request.kept)
    } else {
      effects.report(task.id, .submitted(request: request.message, engine: nil))
    }
    if !refused.isEmpty { task.change { ($0.refused, $0.declined) = (refused, declined) } }
    // Also where nothing is left of them: whoever asks what is left of a task without constraints is told of all that its message says.
    if attempt > 0 || spentRetries > 0 { task.change { $0.attempt = attempt } }
    if !unknown.isEmpty, unknown.remove(task.id) != nil { task.change { $0.isSentAgain = true } }
    if let place { return placeUnsent(task, on: place, effects: &effects) }
    if recovery != nil, takesClaim(task, now: now, effects: &effects) { return }
    if earlyAborts.takes(task.id) { return fail(task, .aborted, now: now, effects: &effects) }
    guard task.hasConstraints else { return enqueue(task, isNews: !isRestoring, now: now, effects: &effects) }
    let named = request.after.ids.union(request.follow.ids)
    if let unknown = named.first(where: { $0 == task.id || tasks[$0] == nil && finished[$0] == nil }) {
      let reason =
        unknown == task.id
        ? "a task cannot depend on itself"
        : "unknown task \(unknown): it was not sent through this scheduler, or ended before the last \(finished.capacity)"
      return fail(task, .invalidDependency(reason), now: now, effects: &effects)
    }
    let after = request.after
    if after.isUnreachable(succeeded: didSucceed, failed: didFail)
      || request.follow.isUnreachable(succeeded: didSucceed, failed: didFail)
    {
      return fail(task, .impossible(cause(ofUnreachable: request)), now: now, effects: &effects)
    }
    for id in named.sorted(by: { $0.text < $1.text }) {
      // Of the others the last snapshot tells.
      if let outcome = finished[id], !outcome.isHearsay { effects.note(JournalOutcome(outcome, in: engines), of: id) }
    }
    for id in named where finished[id] == nil { dependents[id, default: []].append(task) }
    if after.isMet(succeeded: didSucceed, failed: didFail) {
      if let rest { return self.rest(task, for: rest, now: now) }
      return enqueue(task, isNews: !isRestoring, now: now, effects: &effects)
    }
    // What has ended already and counts is settled; the rest is awaited.
    let awaited = after.ids.filter { finished[$0] == nil }
    task.change { $0.after.ids = awaited }
    effects.report(task.id, .waiting(for: awaited.count))
    armTimeout(task, now: now)
  }

  /// - Returns: false for one that is here already.
  mutating func take(_ task: QueuedTask) -> Bool {
    // One look-up whether it is there or not.
    func insert(into place: inout QueuedTask?) -> Bool {
      if place != nil { return false }
      place = task
      return true
    }
    guard insert(into: &tasks[task.id]) else { return false }
    lastSequence += 1
    messageBytes += task.request.byteCount
    task.request.stored?.keep(by: .scheduler)
    recovery?.known(task.id)
    return true
  }

  // MARK: events: engines

  mutating func engineRegistered(
    _ uuid: EngineUUID, running: [MessageID: Int] = [:], accounts: Bool = true, resources: [String: Double] = [:],
    wasCutOff: Bool = false, isOfBefore: Bool = false, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    engines.offer(resources, of: engines.know(uuid))
    let isAll = returned(
      uuid, running: running, accounts: accounts, wasCutOff: wasCutOff, isOfBefore: isOfBefore, now: now, effects: &effects)
    if isAll { return }
    joined(uuid, wasCutOff: wasCutOff, now: now, effects: &effects)
  }

  /// It has its place among the others.
  /// - Parameter wasCutOff: a connection of it broke since it was here last.
  mutating func joined(
    _ uuid: EngineUUID, wasCutOff: Bool = false, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    let index = engines.register(uuid)
    settleLoss(of: index, wasCutOff: wasCutOff)
    // One that comes back may be the only one there is for tasks that failed on it.
    for task in limited where task.isQueued { forgive(task) }
    serve(index, now: now, effects: &effects)
  }

  /// - Parameters:
  ///   - grace: how long replies that are on their way may still arrive.
  mutating func engineLost(
    _ uuid: EngineUUID, cause: EngineLoss, grace: Duration, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    if recovery != nil { lostAgain(uuid, cause: cause, deadline: now + grace, now: now, effects: &effects) }
    guard let index = engines.index(of: uuid), engines[index].isRegistered else { return }
    engines.unregister(index)
    recovery?.unconfirmed[index] = nil
    if engines[index].load > 0 { lose(index, cause: cause, deadline: now + grace) }
    refuseHopeless(now: now, effects: &effects)
  }

  mutating func completed(
    _ result: TaskReply, by uuid: EngineUUID, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    // Unknown: answered already, by another engine or as lost. Placed elsewhere: the engine that was given up came back with the answer.
    guard let task = tasks[result.id], case .placed(let index) = task.phase, engines[index].uuid == uuid else {
      return completedUnplaced(result, by: uuid, now: now, effects: &effects)
    }
    if isOutdated(result, of: task) { return }
    catchUp(result, on: index, effects: &effects)
    // It was there: what follows is not for the account to say, which may come later.
    recovery?.unconfirmed[index]?.remove(task.id)
    lookAhead.answered(index, now: now)
    // An engine that becomes free by this belongs to the oldest task that waits, not to the first that depends on this one.
    let wasFull = !engines.isFree(index)
    if !wasFull { engines.relieved(index) }
    let isHopeless = result.isRefusal && everyEngineRefused(task, and: index)
    if !result.dependenciesMet, !isPure, !isHopeless {
      retry(task, from: index, reason: .unmetDependency, now: now, effects: &effects)
    } else if result.status != .ok, !isHopeless, triesAgain(task, after: result) {
      task.change { $0.retries -= 1 }
      effects.report(task.id, .failed(reply: result.message))
      retry(task, from: index, reason: .failed, now: now, effects: &effects)
    } else {
      // First the report: a client that has its answer may ask the hub about it.
      let outcome = TaskOutcome(result.status)
      if outcome == .aborted { effects.report(task.id, .aborted) }
      noteStockClient(of: task.request, task.id, effects: &effects)
      effects.report(task.id, .finished(reply: result.message, engine: uuid, outcome: outcome))
      effects.relay(result.message, to: open(task))
      recovery?.ended(task, with: result.message, outcome, on: uuid, now: now)
      finish(task, succeeded: result.status == .ok, engine: index, now: now, effects: &effects)
    }
    if wasFull { engines.relieved(index) }
    serve(index, now: now, effects: &effects)
    serveAhead(index, effects: &effects)
    lookAhead.goesOn(index, isBusy: engines[index].load > 0, now: now)
  }

  // MARK: events: time

  /// Timeouts and the end of grace periods that are due.
  mutating func expire(now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    while let next = deadlines.min, next.instant <= now {
      deadlines.removeMin()
      switch next.kind {
      case .task(let id):
        guard let task = tasks[id], task.constraints.deadline == next.instant else { continue }
        switch task.phase {
        case .waiting, .queued:
          fail(task, .timedOut, now: now, effects: &effects)
        case .placed, .finished: continue
        }
      case .rest(let id): rested(id, at: next.instant, now: now, effects: &effects)
      case .loss(let engine):
        guard let loss = losses[engine], loss.deadline == next.instant else { continue }
        losses[engine] = nil
        giveUp(engine, loss, now: now, effects: &effects)
        gaveUpWaiting(for: engine, now: now, effects: &effects)
      case .hold: endHold(now: now, effects: &effects)
      case .latecomer(let engine): endLatecomer(engine, at: next.instant, now: now, effects: &effects)
      case .deferred: deferralIsOver(now: now, effects: &effects)
      case .results: recovery?.forgetResults()
      }
    }
  }

  // MARK: placing

  /// The task may run as far as `after` is concerned.
  /// - Parameter isNews: false for one of a million restored tasks that nothing held back: they are known to be queued.
  mutating func enqueue(
    _ task: QueuedTask, isNews: Bool = true, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    task.phase = .queued
    if let engine = choose(for: task) { return place(task, on: engine, effects: &effects) }
    if let reason = hopelessness(of: task) {
      return fail(task, .impossible(reason), now: now, effects: &effects)
    }
    let needs = task.hasConstraints ? task.constraints.preferences?.resources ?? [:] : [:]
    if isNews || !needs.isEmpty { effects.report(task.id, .queued(needing: needs)) }
    armTimeout(task, now: now)
    let constraints = task.limitsPlacement ? task.constraints : nil
    switch constraints {
    case nil: ready.append(task, alive: tasks.count)
    case let constraints? where constraints.isTargetedOnly:
      // Targets that are not registered yet, or not any more, may come.
      for uuid in constraints.targets {
        if let index = engines.index(of: uuid) {
          targeted[index, default: ReadyQueue()].append(task, alive: tasks.count)
        } else {
          addLimited(task)
        }
      }
    case let constraints? where constraints.isDemandingOnly:
      demanding[constraints.preferences?.resources ?? [:], default: ReadyQueue()].append(task, alive: tasks.count)
    default: addLimited(task)
    }
  }

  private mutating func addLimited(_ task: QueuedTask) {
    if limited.count > 2 * tasks.count + 64 { limited.removeAll { !$0.isQueued } }
    limited.append(task)
  }

  /// The engine for a task that may run; `nil` if none is free that may take it.
  mutating func choose(for task: QueuedTask) -> Int? {
    guard engines.hasFree else { return nil }
    guard task.limitsPlacement else { return engines.choose() }
    let constraints = task.constraints
    let pool = constraints.targets.isEmpty ? engines.free : constraints.targets.compactMap { engines.index(of: $0) }
    return engines.choose(among: pool.filter { engines.isFree($0) && mayTake(constraints, $0) })
  }

  private mutating func place(_ task: QueuedTask, on engine: Int, effects: inout some TaskSchedulerEffects & ~Copyable) {
    task.phase = .placed(engine: engine)
    lastPlacement &+= 1
    task.placement = lastPlacement
    engines.placed(on: engine)
    let uuid = engines[engine].uuid
    effects.report(task.id, .placed(engine: uuid))
    // An engine that has had it takes no message twice.
    let isRepeated = task.submission <= lastRestored || task.hasConstraints && (task.attempt > 0 || task.constraints.isSentAgain)
    effects.send(open(task), to: uuid, attempt: isRepeated ? task.attempt : nil)
  }

  /// Gives an engine what it may take, oldest first, until it is full or nothing is left for it.
  mutating func serve(_ engine: Int, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    while engines.isFree(engine) {
      var next = ready.first { !$0.limitsPlacement }
      if let first = firstTargeted(at: engine), first.sequence < next?.sequence ?? .max { next = first }
      if let first = firstDemanding(for: engine), first.sequence < next?.sequence ?? .max { next = first }
      if let first = firstLimited(for: engine, before: next?.sequence ?? .max) { next = first }
      guard let task = next else { return }
      // The policy may prefer another free engine; then this one is still free and the loop goes on.
      place(task, on: choose(for: task) ?? engine, effects: &effects)
    }
  }

  /// Sends a quick engine some of the tasks that any engine may take, before it asks for them.
  private mutating func serveAhead(_ engine: Int, effects: inout some TaskSchedulerEffects & ~Copyable) {
    // Others have a right to their turn.
    guard lookAhead.limit > 0, limited.isEmpty, demanding.isEmpty, targeted[engine] == nil, engines[engine].isRegistered,
      !engines[engine].isDraining
    else { return }
    let depth = lookAhead.depth(of: engine, waiting: tasks.count - engines.totalLoad, engines: engines.registeredCount)
    // Many at once, when half of them are done: they travel in one message.
    guard engines[engine].load <= engines.highWaterMark + depth / 2 else { return }
    while engines[engine].load < engines.highWaterMark + depth, let task = ready.first(where: { !$0.limitsPlacement }) {
      place(task, on: engine, effects: &effects)
    }
  }

  /// Tasks that were placed elsewhere meanwhile, or that the engine has refused, are dropped from its queue.
  private mutating func firstTargeted(at engine: Int) -> QueuedTask? {
    guard !targeted.isEmpty, var queue = targeted.removeValue(forKey: engine) else { return nil }
    let first = queue.first { mayTake($0.constraints, engine) }
    if !queue.isEmpty { targeted[engine] = queue }
    return first
  }

  private mutating func firstLimited(for engine: Int, before sequence: Int) -> QueuedTask? {
    guard !limited.isEmpty else { return nil }
    if limited.contains(where: { !$0.isQueued }) { limited.removeAll { !$0.isQueued } }
    let uuid = engines[engine].uuid
    return limited.filter { task in
      let constraints = task.constraints
      return task.sequence < sequence && mayTake(constraints, engine)
        && (constraints.targets.isEmpty || constraints.targets.contains(uuid))
    }.min { $0.sequence < $1.sequence }
  }

  // MARK: failing and trying again

  mutating func retry(
    _ task: QueuedTask, from engine: Int, reason: RetryReason, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    // What an engine never had is no try, neither here nor in the journal.
    if reason != .undelivered {
      task.change {
        $0.attempt += 1
        $0.refused.insert(engine)
        if reason == .unmetDependency { $0.declined.insert(engine) }
      }
    }
    effects.report(task.id, .retried(from: engines[engine].uuid, reason: reason))
    forgive(task)
    tryAgain(task, pausing: reason == .failed || reason == .engineLost, now: now, effects: &effects)
  }

  /// After an engine has gone: queued tasks that only it could have taken, or that have failed on all others.
  mutating func refuseHopeless(now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable) {
    let candidates = (limited + targeted.values.flatMap(\.waiting)).sorted { $0.sequence < $1.sequence }
    for task in candidates where task.isQueued {
      forgive(task)
      if let engine = choose(for: task) { place(task, on: engine, effects: &effects) }
    }
    // Then: what waits for the end of such a task does not go before what waits for an engine.
    for task in candidates where task.isQueued {
      if let reason = hopelessness(of: task) { fail(task, .impossible(reason), now: now, effects: &effects) }
    }
  }

  mutating func fail(
    _ task: QueuedTask, _ failure: TaskFailure, now: ContinuousClock.Instant, effects: inout some TaskSchedulerEffects & ~Copyable,
    engine: Int? = nil
  ) {
    let reply = effects.fail(open(task), with: failure)
    let outcome = failure.outcome
    if outcome == .aborted { effects.report(task.id, .aborted) }
    noteStockClient(of: task.request, task.id, effects: &effects)
    effects.report(task.id, .finished(reply: reply, engine: engine.map { engines[$0].uuid }, outcome: outcome))
    recovery?.ended(task, with: reply, outcome, on: engine.map { engines[$0].uuid }, now: now)
    finish(task, succeeded: false, engine: engine, now: now, effects: &effects)
  }

  private mutating func finish(
    _ task: QueuedTask, succeeded: Bool, engine: Int?, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    task.phase = .finished
    tasks[task.id] = nil
    messageBytes -= task.request.byteCount
    release(task)
    finished.record(task.id, succeeded: succeeded, engine: engine)
    if deadlines.count > 2 * tasks.count + 64 { sweepDeadlines() }
    guard !dependents.isEmpty, let waiting = dependents.removeValue(forKey: task.id) else { return }
    ended.append((task.id, succeeded, waiting))
    if isSettling { return }
    isSettling = true
    while let next = ended.popFirst() {
      for dependent in next.dependents { settle(dependent, next.id, succeeded: next.succeeded, now: now, effects: &effects) }
    }
    isSettling = false
  }

  /// One of the tasks that `dependent` names has ended.
  private mutating func settle(
    _ dependent: QueuedTask, _ id: MessageID, succeeded: Bool, now: ContinuousClock.Instant,
    effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    if dependent.isFinished { return }
    var mayRun = false
    if case .waiting = dependent.phase {
      // In place: one task may wait for thousands, and is told of each.
      let isLost = dependent.change { constraints -> Bool in
        guard constraints.after.ids.remove(id) != nil else { return false }
        let counts = succeeded ? constraints.after.success : constraints.after.failure
        mayRun = constraints.after.isEmpty || counts && !constraints.after.all
        return !counts && (constraints.after.all || constraints.after.isEmpty)
      }
      if isLost {
        return fail(
          dependent, .impossible("task \(id) ended"), now: now, effects: &effects)
      }
    }
    if dependent.constraints.follow.isUnreachable(succeeded: didSucceed, failed: didFail) {
      switch dependent.phase {
      case .waiting, .queued:
        return fail(
          dependent, .impossible("task \(id) ended"), now: now, effects: &effects)
      case .placed, .finished: return
      }
    }
    switch dependent.phase {
    case .waiting:
      guard mayRun else { return }
      dependent.change { $0.after = .none }
      enqueue(dependent, now: now, effects: &effects)
    case .queued:
      if let reason = hopelessness(of: dependent) {
        fail(dependent, .impossible(reason), now: now, effects: &effects)
      } else if let engine = choose(for: dependent) {
        place(dependent, on: engine, effects: &effects)
      }
    case .placed, .finished: break
    }
  }

  // MARK: small things

  /// Its end is known here, and its client has been answered.
  func hasEnded(_ id: MessageID) -> Bool { finished[id].map { !$0.isHearsay } ?? false }
  private func didSucceed(_ id: MessageID) -> Bool { finished[id]?.succeeded ?? false }
  private func didFail(_ id: MessageID) -> Bool { finished[id].map { !$0.succeeded } ?? false }
}
