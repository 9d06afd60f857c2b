import ApusMessaging
import Testing
import Transport

@testable import ApusController

private struct Recorder: HubEffects {
  var done: [String] = []
  mutating func engineJoined(_ uuid: EngineUUID, id: EngineID, traits: EngineTraits) { done.append("\(uuid) joined as \(id)") }
  mutating func engineLeft(_ uuid: EngineUUID, id: EngineID, arrival: Int, cause: EngineLoss, grace: Duration) {
    done.append("\(uuid) left")
  }
  mutating func engineDrains(_ uuid: EngineUUID) { done.append("\(uuid) drains") }
  mutating func retire(_ uuid: EngineUUID) { done.append("\(uuid) retires") }
  mutating func expect(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(done == expected, sourceLocation: location)
    done = []
  }
}

@Suite struct HubDrainingTests {
  var state = HubState(registrationTimeout: .seconds(30))
  fileprivate var recorder = Recorder()
  let a = EngineUUID("a"), b = EngineUUID("b")

  @discardableResult
  mutating func join(_ uuid: EngineUUID, origin: String? = nil, keepsID: Bool = false, isDraining: Bool = false) throws -> EngineID
  {
    var traits = EngineTraits()
    (traits.origin, traits.keepsID, traits.isDraining) = (origin, keepsID, isDraining)
    let wanted = state.succession(uuid, traits, effects: &recorder)
    let id = try state.registrationRequested(
      uuid, wanted: wanted, connection: nil, resumes: false, traits: traits, now: .now, effects: &recorder)
    state.heartStarted(uuid, effects: &recorder)
    #expect(state.checkInvariants() == [])
    return id
  }

  mutating func place(_ id: String, on uuid: EngineUUID) {
    state.observe(TaskEvent(MessageID(id), .task, at: .now(), .placed(engine: uuid)))
  }

  mutating func finish(_ id: String, on uuid: EngineUUID) {
    let reply = Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject, content: .emptyObject)
    state.observe(TaskEvent(MessageID(id), .task, at: .now(), .finished(reply: reply, engine: uuid, outcome: .ok)))
    state.retireIdle(effects: &recorder)
    #expect(state.checkInvariants() == [])
  }

  @Test mutating func anIdleEngineEndsWhenTheSchedulerKnows() throws {
    let id = try join(a)
    recorder.done = []
    #expect(state.drain([id, EngineID(99)], thenStop: true, effects: &recorder) == [id])
    recorder.expect("a drains")
    state.retireIdle(effects: &recorder)
    recorder.expect()
    state.drained(a, effects: &recorder)
    recorder.expect("a retires")
    // Once is enough.
    state.drain([id], thenStop: true, effects: &recorder)
    state.retireIdle(effects: &recorder)
    recorder.expect()
  }

  @Test mutating func anEngineThatWorksFinishesFirst() throws {
    let id = try join(a)
    place("t1", on: a)
    recorder.done = []
    state.drain([id], thenStop: true, effects: &recorder)
    // Placed before the scheduler heard of it.
    place("t2", on: a)
    state.drained(a, effects: &recorder)
    finish("t1", on: a)
    recorder.expect("a drains")
    finish("t2", on: a)
    recorder.expect("a retires")
  }

  @Test mutating func whatAnEngineHadBeforeItCameCounts() throws {
    // A task scheduler that was restarted knows of it before the engine is here.
    for id in ["t1", "t2", "t3"] { place(id, on: a) }
    state.observe(TaskEvent("t2", .task, at: .now(), .retried(from: a, reason: .undelivered)))
    finish("t3", on: a)
    let id = try join(a)
    recorder.done = []
    state.drain([id], thenStop: true, effects: &recorder)
    state.drained(a, effects: &recorder)
    recorder.expect("a drains")
    finish("t1", on: a)
    recorder.expect("a retires")
    #expect(state.placedElsewhere.isEmpty)
  }

  @Test mutating func whatAnEngineHadBeforeItWasSilentCounts() throws {
    try join(a)
    place("t1", on: a)
    place("t2", on: a)
    state.heartStopped(a, effects: &recorder)
    // It was heard of again before that was given up.
    state.heartStarted(a, effects: &recorder)
    recorder.done = []
    let id = try #require(state.ids[a])
    #expect(state.engines[id]?.tasks == ["t1", "t2"])
    state.drain([id], thenStop: true, effects: &recorder)
    state.drained(a, effects: &recorder)
    finish("t1", on: a)
    recorder.expect("a drains")
    state.heartStopped(a, effects: &recorder)
    finish("t2", on: a)
    #expect(state.placedElsewhere.isEmpty)
  }

  @Test mutating func anEngineThatOnlyDrainsStays() throws {
    let id = try join(a)
    recorder.done = []
    state.drain([id], thenStop: false, effects: &recorder)
    state.drained(a, effects: &recorder)
    state.retireIdle(effects: &recorder)
    recorder.expect("a drains")
    // Until somebody wants it to end.
    state.drain([id], thenStop: true, effects: &recorder)
    recorder.expect("a retires")
  }

  @Test mutating func whoComesBackDrainingDrains() throws {
    try join(a, isDraining: true)
    recorder.expect("a joined as 0", "a drains")
  }

  // MARK: connections that break

  /// Registers again after its connection broke.
  mutating func comeBack(_ uuid: EngineUUID) throws {
    _ = try state.registrationRequested(
      uuid, wanted: nil, connection: 8, resumes: true, wasCutOff: true, traits: EngineTraits(), now: .now, effects: &recorder)
    state.heartStarted(uuid, effects: &recorder)
    #expect(state.checkInvariants() == [])
  }

  @Test(arguments: [true, false]) mutating func whoWasToEndAndLostItsConnectionEndsAllTheSame(wasNoticed: Bool) throws {
    let id = try join(a)
    place("t1", on: a)
    state.drain([id], thenStop: true, effects: &recorder)
    state.drained(a, effects: &recorder)
    recorder.done = []
    if wasNoticed { state.leave(id, cause: .disconnected, effects: &recorder) }
    try comeBack(a)
    recorder.expect("a left", "a joined as 0", "a drains")
    place("t1", on: a)
    state.drained(a, effects: &recorder)
    recorder.expect()
    finish("t1", on: a)
    recorder.expect("a retires")
  }

  @Test(arguments: [true, false]) mutating func whoIsToEndWhileItIsAwayEndsWhenItIsBack(isAboutToJoin: Bool) throws {
    let id = try join(a)
    state.leave(id, cause: .disconnected, effects: &recorder)
    func register() throws {
      _ = try state.registrationRequested(
        a, wanted: nil, connection: 8, resumes: true, traits: EngineTraits(), now: .now, effects: &recorder)
    }
    if isAboutToJoin { try register() }
    recorder.done = []
    #expect(state.drain([id], thenStop: true, effects: &recorder) == [])
    if !isAboutToJoin { try register() }
    state.heartStarted(a, effects: &recorder)
    recorder.expect("a joined as 0", "a drains")
    state.drained(a, effects: &recorder)
    recorder.expect("a retires")
    #expect(state.checkInvariants() == [])
  }

  @Test mutating func whoWasToEndAndCouldNotJoinInTimeEndsLater() throws {
    let id = try join(a)
    state.drain([id], thenStop: true, effects: &recorder)
    state.leave(id, cause: .disconnected, effects: &recorder)
    let now = ContinuousClock.now
    _ = try state.registrationRequested(
      a, wanted: nil, connection: 8, resumes: true, traits: EngineTraits(), now: now, effects: &recorder)
    #expect(state.expire(now: now + .seconds(60)) == [a])
    // Its heart alone is not enough, as before.
    state.heartStarted(a, effects: &recorder)
    recorder.done = []
    try comeBack(a)
    recorder.expect("a joined as 0", "a drains")
  }

  @Test mutating func whoWasToldToEndAndLostItsConnectionIsToldAgain() throws {
    let id = try join(a)
    state.drain([id], thenStop: true, effects: &recorder)
    state.drained(a, effects: &recorder)
    recorder.done = []
    // Its connection was not missed: the same engine registers once more.
    _ = try state.registrationRequested(
      a, wanted: nil, connection: 8, resumes: true, traits: EngineTraits(), now: .now, effects: &recorder)
    recorder.expect("a retires")
    try comeBack(a)
    recorder.expect("a left", "a joined as 0", "a drains")
    state.drained(a, effects: &recorder)
    recorder.expect("a retires")
  }

  @Test mutating func whoWasToEndAtOnceDoesNotGoOnWithItsWork() throws {
    let id = try join(a)
    place("t1", on: a)
    state.drain([id], thenStop: true, atOnce: true, effects: &recorder)
    recorder.done = []
    try comeBack(a)
    recorder.expect("a left", "a joined as 0", "a drains", "a retires")
  }

  // MARK: ids that are kept

  @Test mutating func whoComesInAnothersPlaceGetsItsID() throws {
    try join(a, origin: "set#0")
    try join(EngineUUID("c"), origin: "set#1")
    state.disconnected(0, effects: &recorder)
    state.shutDown(a, effects: &recorder)
    #expect(try join(b, origin: "set#0", keepsID: true) == EngineID(0))
    #expect(state.sortedEngines.map(\.uuid) == [b, EngineUUID("c")])
  }

  @Test mutating func aFormerOneThatNobodyMissedYetIsGone() throws {
    try join(a, origin: "set#0")
    recorder.done = []
    #expect(try join(b, origin: "set#0", keepsID: true) == EngineID(0))
    recorder.expect("a left", "b joined as 0")
  }

  @Test mutating func withoutThatWishIdsAreNew() throws {
    try join(a, origin: "set#0")
    state.shutDown(a, effects: &recorder)
    #expect(try join(b, origin: "set#0") == EngineID(1))
  }

  @Test mutating func anIDThatAnotherPlaceHasByNowIsNotTaken() throws {
    try join(a, origin: "set#0")
    state.shutDown(a, effects: &recorder)
    state.origins["set#1"] = EngineID(0)
    try join(b, origin: "set#2")
    state.origins["set#0"] = EngineID(1)
    #expect(try join(EngineUUID("c"), origin: "set#0", keepsID: true) == EngineID(2))
    #expect(state.ids[b] == EngineID(1))
  }
}

@Suite struct DemandStateTests {
  var demand = DemandState()
  let a = EngineUUID("a")

  mutating func event(_ id: String, at milliseconds: Int, _ kind: TaskEvent.Kind, queue: TaskQueue = .task) {
    demand.observe(TaskEvent(MessageID(id), queue, at: Timestamp(microseconds: milliseconds * 1000), kind))
  }

  func reply() -> Envelope {
    Envelope(signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject, content: .emptyObject)
  }

  @Test mutating func whatWaitsForOthersAsksForNoEngine() {
    let request = Messages.request("b")
    event("a", at: 0, .submitted(request: request, engine: nil))
    event("b", at: 0, .submitted(request: request, engine: nil))
    event("b", at: 0, .waiting(for: 1))
    #expect(demand.waiting(of: 2) == 1)
    event("b", at: 1, .queued())
    #expect(demand.waiting(of: 2) == 2)
    event("c", at: 1, .waiting(for: 1))
    event("c", at: 2, .finished(reply: request, engine: nil, outcome: .aborted))
    #expect(demand.waiting(of: 2) == 2)
  }

  @Test mutating func whatRestsAsksForNoEngine() {
    demand.joined(a, now: Timestamp(microseconds: 0))
    event("1", at: 0, .placed(engine: a))
    event("1", at: 1, .retried(from: a, reason: .failed))
    #expect(demand.waiting(of: 1) == 0)
    event("1", at: 2, .queued())
    #expect(demand.waiting(of: 1) == 1)
    event("1", at: 3, .placed(engine: a))
    event("1", at: 4, .retried(from: a, reason: .failed))
    // Tried again at once, and somebody takes it back.
    event("1", at: 4, .placed(engine: a))
    event("2", at: 4, .retried(from: a, reason: .failed))
    event("2", at: 4, .finished(reply: reply(), engine: nil, outcome: .aborted))
    #expect(demand.waiting(of: 1) == 1)
  }

  @Test mutating func whatEnginesOfLaunchersDoNotHaveAsksForNoneOfThem() {
    event("g", at: 0, .queued(needing: ["gpu": 2]))
    event("h", at: 0, .queued(needing: ["gpu": 2]))
    // Nobody knows yet what they have.
    #expect(demand.waiting(of: 3) == 3)
    demand.joined(EngineUUID("of a user's own"), now: Timestamp(microseconds: 0))
    #expect(demand.waiting(of: 3) == 3)
    demand.joined(a, offer: ["gpu": 1], now: Timestamp(microseconds: 0))
    #expect(demand.waiting(of: 3) == 1)
    event("h", at: 1, .finished(reply: reply(), engine: nil, outcome: .aborted))
    #expect(demand.waiting(of: 2) == 1)
    demand.joined(EngineUUID("b"), offer: ["gpu": 4], now: Timestamp(microseconds: 0))
    #expect(demand.waiting(of: 2) == 2)
  }

  @Test mutating func tasksThatWaitedOnTheEngineCountFromTheEndOfTheOneBefore() {
    demand.joined(a, now: Timestamp(microseconds: 0))
    event("1", at: 1000, .placed(engine: a))
    event("2", at: 1000, .placed(engine: a))
    event("1", at: 1500, .finished(reply: reply(), engine: a, outcome: .ok))
    event("2", at: 2000, .finished(reply: reply(), engine: a, outcome: .error))
    #expect(demand.meanSeconds == 0.5)
    #expect(demand.idleSeconds(a, now: Timestamp(microseconds: 5_000_000)) == 3)
  }

  @Test mutating func whatDidNotRunIsNotMeasured() {
    demand.joined(a, now: Timestamp(microseconds: 0))
    event("1", at: 0, .placed(engine: a))
    event("1", at: 9000, .lost(engine: a, cause: .disconnected))
    event("1", at: 9000, .finished(reply: reply(), engine: a, outcome: .lost))
    #expect(demand.meanSeconds == nil)
  }

  @Test mutating func anEngineThatWasAddressedMayHoldNames() {
    demand.joined(a, now: Timestamp(microseconds: 0))
    event("1", at: 0, .submitted(request: reply(), engine: nil))
    #expect(!demand.isAddressed(a))
    event("2", at: 0, .submitted(request: reply(), engine: a), queue: .mux)
    #expect(demand.isAddressed(a))
    demand.left(a)
    #expect(!demand.isAddressed(a))
  }

  @Test mutating func oldTasksCountLess() throws {
    demand.joined(a, now: Timestamp(microseconds: 0))
    var time = 0
    for (seconds, count) in [(1000, 300), (10, 1000)] {
      for number in 0..<count {
        event("\(seconds)-\(number)", at: time, .placed(engine: a))
        time += seconds
        event("\(seconds)-\(number)", at: time, .finished(reply: reply(), engine: a, outcome: .ok))
      }
    }
    #expect(try #require(demand.meanSeconds) < 0.02)
  }
}
