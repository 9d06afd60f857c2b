import ApusMessaging
import DequeModule

/// The client's mind: what is outstanding, which engines there are, and what follows when either changes.
///
/// No sockets and no clock: its methods are events, and what they cause goes to the sink.
struct ClientState {
  enum Phase {
    /// Sent, not answered. Goes on to `lingering`, or is done.
    case outstanding(isIdle: Bool)
    /// Answered; its output may not be complete. Ends when so many messages of it have come, where the reply said how many there are, else
    /// with the engine's idle; or at its deadline.
    case lingering(expected: Int?)
  }

  struct Entry {
    let route: Request.Route
    let handle: TaskHandle
    let awaitsOutput: Bool
    /// The broadcast that this is a share of.
    var share: (original: TaskNumber, engine: EngineUUID)?
    var phase = Phase.outstanding(isIdle: false)
    /// To be sent again if a restarted controller does not know it; kept where the controller has a journal.
    var request: KeptRequest?
    /// Messages of its output that have come.
    var received = 0
    var isOutstanding: Bool { if case .outstanding = phase { true } else { false } }
  }

  /// In a box: entries are copied and moved, and most of a request is of no interest then.
  final class KeptRequest: Sendable {
    let request: Request
    init(_ request: Request) { self.request = request }
  }

  struct KnownEngine {
    var engine: RegisteredEngine
    /// When it was learned of, counted in changes.
    let serial: Int
  }

  private(set) var entries: [TaskNumber: Entry] = [:]
  /// The shares of each broadcast that is answered engine by engine.
  private(set) var shares: [TaskNumber: [EngineUUID: TaskNumber]] = [:]
  /// Of queries, which are few.
  private(set) var deadlines: [TaskNumber: ContinuousClock.Instant] = [:]
  /// In order: all linger equally long.
  private(set) var lingering = Deque<(deadline: ContinuousClock.Instant, task: TaskNumber)>()
  private(set) var engines: [EngineUUID: KnownEngine] = [:]
  /// When engines left, counted in changes: an older answer of the hub must not bring them back.
  private var departures: [EngineUUID: Int] = [:]
  private(set) var serial = 0
  private(set) var hub: SessionID?
  /// The journal of the controller: one that is restarted with it knows our tasks.
  private(set) var journal: String?
  /// The last question for the tasks of before, until it is answered.
  var resumption: TaskNumber?
  /// Balanced tasks that it asks for.
  var asked: Set<TaskNumber> = []
  /// What was under way over a connection that has broken since, until the hub has said that its controller is the same.
  var cutOff: Set<TaskNumber> = []
  /// Balanced tasks that name others of which the scheduler may know nothing: they are sent when those have been sent again.
  var held: [TaskNumber: Request] = [:]
  /// Connections for direct requests and broadcasts that have broken, until the hub has said who is at the other end now; and as of when that counts.
  var broken: (channels: Set<Channel>, since: Int) = ([], 0)
  /// Requests that came after that, or had not left before it: they are lost with nobody.
  var unsent = UnsentRequests()
  /// Engines that a restarted controller has not named yet, and until when what is for them waits, unsent.
  var absent: [EngineUUID: RegisteredEngine] = [:]
  var absenceDeadline: ContinuousClock.Instant?
  /// Some of them are here, and what waits for them has not left yet.
  var haveEnginesReturned = false
  /// Since when it is not known which controller the hub's is, and what has been announced since then.
  var doubt: (since: Int, news: EngineNews)?
  /// Tasks that were aborted, and have not ended: balanced ones, of which the scheduler may not have heard it, and others that are unsent.
  var unwanted: [TaskNumber: Cancellation] = [:]
  private(set) var isHubReachable = false
  private var hubLostDeadline: ContinuousClock.Instant?
  private(set) var failure: ClientError?

  let outputGrace: Duration
  let controllerGrace: Duration
  let restartGrace: Duration

  /// As of `ClientConfiguration`.
  init(outputGrace: Duration, controllerGrace: Duration, restartGrace: Duration = .seconds(60)) {
    self.outputGrace = outputGrace
    self.controllerGrace = controllerGrace
    self.restartGrace = restartGrace
  }

  var outstandingCount: Int { entries.values.reduce(0) { $0 + ($1.isOutstanding ? 1 : 0) } }
  var sortedEngines: [RegisteredEngine] { engines.values.map(\.engine).sorted() }

  // MARK: tasks

  mutating func submit(_ request: Request, effects: inout some ClientEffects & ~Copyable) {
    if let failure { return refuse(request, with: failure, effects: &effects) }
    switch request.route {
    case .hub, .balanced: break
    case .control(let engine), .direct(let engine):
      guard mayTake(engine, request.route) else { return refuse(request, for: engine, effects: &effects) }
    case .coalescing(let targets):
      if let gone = targets.first(where: { !mayTake($0, request.route) }) { return refuse(request, for: gone, effects: &effects) }
    case .broadcast(let targets):
      return submitShares(of: request, to: targets, effects: &effects)
    }
    for handle in request.handles {
      var entry = Entry(route: request.route, handle: handle, awaitsOutput: request.awaitsOutput)
      if journal != nil, request.maySendAgain { entry.request = KeptRequest(request) }
      entries[request.number] = entry
    }
    if let deadline = request.deadline { deadlines[request.number] = deadline }
    if namesDoubtful(request) { held[request.number] = request } else { sendOrKeep(request, effects: &effects) }
  }

  private mutating func submitShares(
    of request: Request, to targets: [RegisteredEngine], effects: inout some ClientEffects & ~Copyable
  ) {
    var numbers: [EngineUUID: TaskNumber] = [:]
    for (engine, handle) in zip(targets, request.handles) {
      guard mayTake(engine, request.route) else {
        end(handle, notSent(to: engine, task: handle.id), effects: &effects)
        continue
      }
      numbers[engine.uuid] = handle.number
      entries[handle.number] = Entry(
        route: request.route, handle: handle, awaitsOutput: request.awaitsOutput, share: (request.number, engine.uuid))
    }
    if !numbers.isEmpty { shares[request.number] = numbers }
    // Sent although an engine is gone: the others are to have it, and the scheduler leaves out who is not there.
    if !numbers.isEmpty { sendOrKeep(request, effects: &effects) }
  }

  private func refuse(_ request: Request, with error: any Error, effects: inout some ClientEffects & ~Copyable) {
    for handle in request.handles { end(handle, error, effects: &effects) }
  }

  private func refuse(_ request: Request, for engine: RegisteredEngine, effects: inout some ClientEffects & ~Copyable) {
    for handle in request.handles { end(handle, notSent(to: engine, task: handle.id), effects: &effects) }
  }

  /// A reply to one of our requests. Late ones, of tasks that were given up, are nobody's.
  mutating func replied(
    to match: RequestIDs.Match, _ reply: TaskReply, now: ContinuousClock.Instant, effects: inout some ClientEffects & ~Copyable
  ) {
    if let shares = shares[match.number] {
      if let engine = match.engine {
        if let share = shares[engine] { finish(share, with: reply, answered: true, now: now, effects: &effects) }
      } else {
        // The scheduler could not serve the broadcast at all.
        for share in shares.values.sorted(by: { $0.raw < $1.raw }) {
          finish(share, with: reply, answered: false, now: now, effects: &effects)
        }
      }
      return
    }
    if match.number == resumption { return resumed(reply, effects: &effects) }
    guard let awaitsOutput = entries[match.number]?.awaitsOutput else { return }
    // An engine that answered says when it is idle; schedulers do not.
    finish(match.number, with: reply, answered: !awaitsOutput || reply.engine != nil, now: now, effects: &effects)
  }

  private mutating func finish(
    _ number: TaskNumber, with reply: TaskReply, answered: Bool, now: ContinuousClock.Instant,
    effects: inout some ClientEffects & ~Copyable
  ) {
    guard let entry = entries[number], case .outstanding(let isIdle) = entry.phase else { return }
    if !deadlines.isEmpty { deadlines[number] = nil }
    effects.finish(entry.handle, .reply(reply))
    let expected = entry.awaitsOutput ? nil : reply.outputCount
    let isIncomplete = entry.awaitsOutput ? answered && !isIdle : entry.received < reply.outputCount
    if isIncomplete {
      entries[number]?.request = nil
      entries[number]?.phase = .lingering(expected: expected)
      lingering.append((now + outputGrace, number))
    } else {
      remove(number)
      effects.finishOutput(of: entry.handle)
    }
  }

  private mutating func remove(_ number: TaskNumber) {
    if !unwanted.isEmpty { unwanted[number] = nil }
    if !held.isEmpty { held[number] = nil }
    if !unsent.isEmpty { unsent.remove(number) }
    guard let entry = entries.removeValue(forKey: number), let share = entry.share else { return }
    shares[share.original]?[share.engine] = nil
    if shares[share.original]?.isEmpty == true {
      shares[share.original] = nil
      unsent.remove(share.original)
    }
  }

  private func end(_ handle: TaskHandle, _ error: any Error, effects: inout some ClientEffects & ~Copyable) {
    effects.finish(handle, .failure(error))
    effects.finishOutput(of: handle)
  }

  /// Somebody no longer wants these tasks. They end with what their engines, or the scheduler, say to that.
  mutating func abort(
    _ numbers: [TaskNumber], _ cancellation: Cancellation = .interrupting, effects: inout some ClientEffects & ~Copyable
  ) {
    var byEngine: [RegisteredEngine: [MessageID]] = [:]
    var anywhere: [MessageID] = []
    for number in numbers {
      guard let entry = entries[number], entry.isOutstanding else { continue }
      if isUnsent(number, entry) {
        unwanted[number] = cancellation
        continue
      }
      switch entry.route {
      case .hub, .control: finishUnanswered(number, with: ClientError(.closed, "the query was given up"), effects: &effects)
      case .direct(let engine): byEngine[engine, default: []].append(entry.handle.id)
      case .balanced:
        unwanted[number] = cancellation
        // One that is held is sent first: others may name it.
        if held[number] == nil { anywhere.append(entry.handle.id) }
      case .coalescing(let targets):
        for engine in targets { byEngine[engine, default: []].append(MessageID("\(entry.handle.id)_\(engine.uuid)")) }
      case .broadcast:
        if let uuid = entry.share?.engine, let engine = engines[uuid]?.engine {
          byEngine[engine, default: []].append(entry.handle.id)
        }
      }
    }
    for (engine, ids) in byEngine.sorted(by: { $0.key < $1.key }) {
      effects.abort(ids, on: [engine], cancellation)
    }
    if !anywhere.isEmpty { effects.abort(anywhere, on: sortedEngines, cancellation) }
  }

  // MARK: output

  /// Whose output this is; `nil` where nobody wants it.
  func handle(for match: RequestIDs.Match) -> TaskHandle? { number(of: match).flatMap { entries[$0]?.handle } }

  private func number(of match: RequestIDs.Match) -> TaskNumber? {
    guard let engine = match.engine else { return match.number }
    return shares[match.number]?[engine] ?? (entries[match.number] == nil ? nil : match.number)
  }

  /// A message of a task's output was delivered.
  mutating func printed(_ match: RequestIDs.Match, effects: inout some ClientEffects & ~Copyable) {
    guard let number = number(of: match), let index = entries.index(forKey: number) else { return }
    entries.values[index].received += 1
    let entry = entries.values[index]
    guard case .lingering(let expected?) = entry.phase, entry.received >= expected else { return }
    endLingering(number, entry, effects: &effects)
  }

  private mutating func endLingering(_ number: TaskNumber, _ entry: Entry, effects: inout some ClientEffects & ~Copyable) {
    remove(number)
    while let first = lingering.first, entries[first.task] == nil { lingering.removeFirst() }
    effects.finishOutput(of: entry.handle)
  }

  /// The engine has said all that it will say of this task.
  mutating func isIdle(_ match: RequestIDs.Match, effects: inout some ClientEffects & ~Copyable) {
    guard let number = number(of: match), let entry = entries[number] else { return }
    switch entry.phase {
    case .outstanding:
      // Of several engines' output the end is not known by one of them.
      if case .coalescing = entry.route { return }
      entries[number]?.phase = .outstanding(isIdle: true)
    case .lingering: endLingering(number, entry, effects: &effects)
    }
  }

  // MARK: engines

  /// - Parameter session: of the hub that says so.
  mutating func engineRegistered(
    _ engine: RegisteredEngine, by session: SessionID? = nil, effects: inout some ClientEffects & ~Copyable
  ) {
    arrive(engine, by: session, effects: &effects)
    sendUnsentToReturned(effects: &effects)
  }

  /// As `engineRegistered`, of one of many.
  private mutating func arrive(
    _ engine: RegisteredEngine, by session: SessionID? = nil, effects: inout some ClientEffects & ~Copyable
  ) {
    if isForeign(session) { return keep(EngineNews.Item(session: session, engine: engine, isThere: true), effects: &effects) }
    // It was foreign until just now.
    if let session { doubt?.news.forget(engine.uuid, of: session) }
    if let known = engines[engine.uuid] {
      let (before, now) = (known.engine.arrival ?? engine.arrival, engine.arrival ?? known.engine.arrival)
      if known.engine == engine, before == now {
        if engine.arrival != nil || known.engine.arrival == nil { engines[engine.uuid]?.engine = engine }
        guard known.engine.kind != engine.kind || known.engine.isOwn != engine.isOwn else { return }
        return effects.kindLearned(of: engine)
      }
      // It may have come to another controller, and have lost nothing.
      if session == nil, doubt != nil {
        return keep(EngineNews.Item(session: nil, engine: engine, isThere: true), effects: &effects)
      }
      // What was said of it before it went and came back.
      if let before, let now, now < before { return }
      engineLost(engine.uuid, effects: &effects)
    }
    serial += 1
    engines[engine.uuid] = KnownEngine(engine: engine, serial: serial)
    departures[engine.uuid] = nil
    effects.announce(.arrived(engine))
    engineIsBack(engine.uuid)
  }

  /// Another hub counts anew.
  private mutating func forgetArrivals() {
    for (uuid, known) in engines {
      let engine = known.engine
      engines[uuid]?.engine = RegisteredEngine(id: engine.id, uuid: uuid, kind: engine.kind, isOwn: engine.isOwn)
    }
  }

  /// What it owes will not come. Balanced tasks are the scheduler's business: it may try them elsewhere.
  /// - Parameter mayComeBack: what has not been sent to it waits for it, as `beginAbsence` has said.
  mutating func engineLost(_ uuid: EngineUUID, mayComeBack: Bool = false, effects: inout some ClientEffects & ~Copyable) {
    doubt?.news.forget(uuid, of: nil)
    guard let engine = engines.removeValue(forKey: uuid)?.engine else { return endAbsence(of: uuid, effects: &effects) }
    serial += 1
    departures[uuid] = serial
    effects.announce(.departed(engine))
    let owed = entries.filter { $0.value.owed(by: uuid) }.sorted { $0.key.raw < $1.key.raw }
    var hasEndedUnsent = false
    for (number, entry) in owed {
      let isUnsent = isUnsent(number, entry)
      if mayComeBack, isUnsent { continue }
      hasEndedUnsent = hasEndedUnsent || isUnsent
      if entry.isOutstanding {
        let error: RemoteError = isUnsent ? .engineGone(engine, task: entry.handle.id) : .engineLost(engine, task: entry.handle.id)
        finishUnanswered(number, with: error, effects: &effects)
      } else {
        remove(number)
        effects.finishOutput(of: entry.handle)
      }
    }
    // Others may have waited behind that.
    if hasEndedUnsent { sendUnsentToPresent(effects: &effects) }
  }

  /// What the hub has been asked before says nothing of what comes now.
  mutating func beginAnew() { serial += 1 }

  /// Before the hub is asked for its engines: what it answers is about now, or later.
  mutating func askForEngines(effects: inout some ClientEffects & ~Copyable) { effects.askForEngines(asOf: serial) }

  /// The hub's list. Changes that were announced meanwhile are newer than it.
  /// - Parameters:
  ///   - journal: of the controller; `nil` without one.
  ///   - isOwn: the controller is one of Apus's.
  mutating func engines(
    _ list: [RegisteredEngine], asOf asked: Int, hub session: SessionID?, journal: String? = nil, isOwn: Bool = false,
    now: ContinuousClock.Instant, effects: inout some ClientEffects & ~Copyable
  ) {
    let isRestarted = hub != nil && session != nil && hub != session
    let announced = endDoubt(asOf: asked, by: session)
    if isRestarted {
      forgetArrivals()
      controllerWasRestarted(journal: journal, effects: &effects)
    } else if isOwn {
      settleCutOff(effects: &effects)
    }
    endCutOff(effects: &effects)
    hub = session ?? hub
    self.journal = journal
    let listed = Set(list.map(\.uuid))
    // What another hub has said is no newer, whenever it was heard.
    if isRestarted { departures = [:] }
    let lost = engines.values.filter { (isRestarted || $0.serial <= asked) && !listed.contains($0.engine.uuid) }
      .map(\.engine).sorted()
    if isRestarted { beginAbsence(of: lost, effects: &effects) }
    for engine in lost { engineLost(engine.uuid, mayComeBack: isRestarted, effects: &effects) }
    if isRestarted, !absent.isEmpty { absenceDeadline = now + grace }
    for engine in list where departures[engine.uuid].map({ $0 <= asked }) ?? true { arrive(engine, effects: &effects) }
    for news in announced {
      if news.isThere { arrive(news.engine, effects: &effects) } else { leave(news.engine, effects: &effects) }
    }
    sendUnsentToReturned(effects: &effects)
    // Answers from before now are older than whatever comes next.
    departures = departures.filter { $0.value > asked }
    if asked >= broken.since { sendUnsent(effects: &effects) }
  }

  // MARK: the controller

  mutating func hubConnected(effects: inout some ClientEffects & ~Copyable) {
    let wasLost = hubLostDeadline != nil
    isHubReachable = true
    hubLostDeadline = nil
    if wasLost { askForEngines(effects: &effects) }
  }

  private var grace: Duration { journal == nil ? controllerGrace : restartGrace }

  mutating func hubDisconnected(now: ContinuousClock.Instant) {
    isHubReachable = false
    beginDoubt()
    if failure == nil { hubLostDeadline = hubLostDeadline ?? now + grace }
  }

  /// Nothing will be answered any more, for this reason.
  mutating func close(_ error: ClientError, effects: inout some ClientEffects & ~Copyable) {
    guard failure == nil else { return }
    failure = error
    hubLostDeadline = nil
    if !absent.isEmpty { effects.givesUp(absent.values.sorted()) }
    (absent, absenceDeadline, doubt) = ([:], nil, nil)
    effects.refuse(with: error)
    failOutstanding(error, effects: &effects, includingQueries: true)
    for known in engines.values.map(\.engine).sorted() {
      engines[known.uuid] = nil
      effects.announce(.departed(known))
    }
  }

  mutating func failOutstanding(
    _ error: ClientError, effects: inout some ClientEffects & ~Copyable, includingQueries: Bool = false,
    sparingBalanced: Bool = false
  ) {
    for (number, entry) in entries.sorted(by: { $0.key.raw < $1.key.raw }) {
      if case .hub = entry.route, !includingQueries { continue }
      if !includingQueries, isUnsent(number, entry) { continue }
      if case .balanced = entry.route, sparingBalanced { continue }
      if entry.isOutstanding {
        finishUnanswered(number, with: error, effects: &effects)
      } else {
        remove(number)
        effects.finishOutput(of: entry.handle)
      }
    }
    if includingQueries { lingering = [] }
  }

  mutating func finishUnanswered(_ number: TaskNumber, with error: any Error, effects: inout some ClientEffects & ~Copyable) {
    guard let entry = entries[number] else { return }
    deadlines[number] = nil
    remove(number)
    end(entry.handle, error, effects: &effects)
  }

  // MARK: time

  /// When `expire` has something to do, at the earliest.
  var nextDeadline: ContinuousClock.Instant? {
    var next = lingering.first?.deadline
    func consider(_ instant: ContinuousClock.Instant?) { if let instant { next = next.map { min($0, instant) } ?? instant } }
    consider(hubLostDeadline)
    consider(absenceDeadline)
    if !deadlines.isEmpty { consider(deadlines.values.min()) }
    return next
  }

  mutating func expire(now: ContinuousClock.Instant, effects: inout some ClientEffects & ~Copyable) {
    if let deadline = hubLostDeadline, deadline <= now {
      let error = ClientError(
        .controllerLost, "the connection to the controller was lost and did not come back in \(grace)",
        advice: "See whether the controller still runs (apus list), then connect again.")
      return close(error, effects: &effects)
    }
    if let deadline = absenceDeadline, deadline <= now { endAbsence(effects: &effects) }
    for (number, deadline) in deadlines where deadline <= now {
      finishUnanswered(number, with: ClientError(.timeout, "no answer came in time"), effects: &effects)
    }
    while let first = lingering.first, first.deadline <= now {
      lingering.removeFirst()
      guard let entry = entries[first.task], !entry.isOutstanding else { continue }
      remove(first.task)
      effects.finishOutput(of: entry.handle)
    }
  }
}

extension ClientState.Entry {
  /// Whether its answer, or its output, can only come from this engine.
  func owed(by uuid: EngineUUID) -> Bool {
    switch route {
    case .hub, .balanced: false
    case .control(let engine), .direct(let engine): engine.uuid == uuid
    case .coalescing(let targets): targets.contains { $0.uuid == uuid }
    case .broadcast: share?.engine == uuid
    }
  }
}
