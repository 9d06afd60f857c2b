import ApusMessaging
import Testing
import Transport

@testable import ApusClient

struct ClientStateTests {
  @Test func aReplyEndsItsTaskOnce() {
    var bench = ClientBench()
    bench.arrive(0)
    let direct = bench.submit(.direct(bench.engine(0)))
    let balanced = bench.submit(.balanced)
    bench.effects.expect("send 0", "send 1")
    bench.reply(balanced, status: "error")
    bench.reply(direct)
    bench.effects.expect("1: ValueError", "1: silent", "0: ok", "0: silent")
    bench.reply(direct)
    bench.reply(TaskNumber(raw: 99))
    bench.effects.expect()
    #expect(bench.state.entries.isEmpty)
  }

  @Test func outputIsCompleteWithIdle() {
    var bench = ClientBench()
    bench.arrive(0)
    let task = bench.submit(.direct(bench.engine(0)), awaitsOutput: true)
    bench.reply(task)
    bench.effects.expect("send 0", "0: ok")
    bench.idle(task)
    bench.effects.expect("0: silent")
    #expect(bench.state.entries.isEmpty && bench.state.lingering.isEmpty)

    let early = bench.submit(.direct(bench.engine(0)), awaitsOutput: true)
    bench.idle(early)
    bench.effects.expect("send 1")
    bench.reply(early)
    bench.effects.expect("1: ok", "1: silent")
  }

  @Test func outputIsCompleteWithAsManyMessagesAsTheReplySays() {
    var bench = ClientBench()
    bench.arrive(0, 1)
    let task = bench.submit(.direct(bench.engine(0)))
    bench.print(task)
    bench.reply(task, outputs: 3)
    bench.effects.expect("send 0", "0: ok")
    bench.print(task)
    bench.effects.expect()
    bench.print(task)
    bench.effects.expect("0: silent")
    #expect(bench.state.entries.isEmpty && bench.state.lingering.isEmpty)

    // All of it came before.
    let early = bench.submit(.balanced)
    bench.print(early)
    bench.reply(early, outputs: 1)
    bench.effects.expect("send 1", "1: ok", "1: silent")

    // Shares of a broadcast, each by itself.
    let whole = bench.submit(.broadcast([bench.engine(0), bench.engine(1)]))
    bench.reply(whole, share: 1, outputs: 1)
    bench.reply(whole, share: 0)
    bench.effects.expect("send 2", "4: ok", "3: ok", "3: silent")
    bench.print(whole, share: 1)
    bench.effects.expect("4: silent")

    // What was lost on the way is not waited for.
    let lossy = bench.submit(.balanced)
    bench.reply(lossy, outputs: 2, at: 1)
    bench.print(lossy)
    bench.expire(at: 3)
    bench.effects.expect("send 5", "5: ok", "5: silent")
    #expect(bench.state.entries.isEmpty)
  }

  @Test func tasksAreTakenBackWithoutAnInterrupt() {
    var bench = ClientBench()
    bench.arrive(0)
    let task = bench.submit(.direct(bench.engine(0)))
    bench.step { $0.abort([task], .unbegun, effects: &$1) }
    bench.effects.expect("send 0", "take back 0 on 0")
  }

  @Test func outputIsGivenUpAfterTheGrace() {
    var bench = ClientBench()
    bench.arrive(0)
    let task = bench.submit(.direct(bench.engine(0)), awaitsOutput: true)
    bench.reply(task, at: 1)
    bench.effects.expect("send 0", "0: ok")
    #expect(bench.state.nextDeadline == bench.at(3))
    bench.expire(at: 2.9)
    bench.effects.expect()
    bench.expire(at: 3)
    bench.effects.expect("0: silent")
    #expect(bench.state.nextDeadline == nil)
  }

  @Test func schedulersErrorsHaveNoOutput() {
    var bench = ClientBench()
    let task = bench.submit(.balanced, awaitsOutput: true)
    bench.reply(task, from: nil, status: "error")
    bench.effects.expect("send 0", "0: ValueError", "0: silent")
  }

  @Test func engineLossEndsWhatItOwes() {
    var bench = ClientBench()
    bench.arrive(0, 1)
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    bench.submit(.direct(e0))
    bench.submit(.direct(e1))
    bench.submit(.balanced)
    bench.submit(.control(e0))
    bench.submit(.coalescing([e0, e1]))
    bench.submit(.broadcast([e0, e1]))
    let lingering = bench.submit(.direct(e0), awaitsOutput: true)
    bench.reply(lingering)
    bench.effects.forget()
    bench.lose(0)
    bench.effects.expect(
      "-0", "0: EngineError", "0: silent", "3: EngineError", "3: silent", "4: EngineError", "4: silent", "6: EngineError",
      "6: silent",
      "8: silent")
    bench.lose(0)
    bench.effects.expect()
    bench.submit(.direct(e0))
    bench.effects.expect("9: EngineError", "9: silent")
    bench.submit(.broadcast([e0, e1]))
    bench.effects.expect("11: EngineError", "11: silent", "send 10")
  }

  @Test func sharesOfABroadcastAreTasks() {
    var bench = ClientBench()
    bench.arrive(0, 1)
    let broadcast = bench.submit(.broadcast([bench.engine(0), bench.engine(1)]), awaitsOutput: true)
    bench.reply(broadcast, from: 1, share: 1)
    bench.idle(broadcast, share: 0)
    bench.effects.expect("send 0", "2: ok")
    bench.reply(broadcast, from: 0, share: 0, status: "aborted")
    bench.idle(broadcast, share: 1)
    bench.effects.expect("1: TaskAborted", "1: silent", "2: silent")
    #expect(bench.state.shares.isEmpty)

    let refused = bench.submit(.broadcast([bench.engine(0), bench.engine(1)]))
    bench.reply(refused, from: nil, status: "error")
    bench.effects.expect("send 3", "4: ValueError", "4: silent", "5: ValueError", "5: silent")
  }

  @Test func abortsGoWhereTheTasksAre() {
    var bench = ClientBench()
    bench.arrive(0, 1)
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    let direct = bench.submit(.direct(e1))
    let balanced = bench.submit(.balanced)
    let query = bench.submit(.hub)
    let coalesced = bench.submit(.coalescing([e0]))
    bench.effects.forget()
    bench.abort(direct, balanced, query, coalesced, TaskNumber(raw: 77))
    bench.effects.expect("2: closed", "2: silent", "abort 3_e0 on 0", "abort 0 on 1", "abort 1 on 0,1")
    bench.reply(direct)
    bench.effects.expect("0: ok", "0: silent")
    bench.abort(direct)
    bench.effects.expect()
  }

  @Test func queriesAreGivenUp() {
    var bench = ClientBench()
    bench.submit(.hub, deadline: 3)
    let answered = bench.submit(.hub, deadline: 1)
    bench.reply(answered)
    bench.effects.forget()
    #expect(bench.state.nextDeadline == bench.at(3))
    bench.expire(at: 3)
    bench.effects.expect("0: timeout", "0: silent")
  }

  @Test func theHubsListDoesNotBringBackTheDead() {
    var bench = ClientBench()
    let (e0, e1, e2) = (bench.engine(0), bench.engine(1), bench.engine(2))
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), now: .now, effects: &$1) }
    bench.effects.expect("+0", "+1")
    bench.step { $0.askForEngines(effects: &$1) }
    bench.effects.expect("ask 2")
    bench.lose(1)
    bench.step { $0.engineRegistered(e2, effects: &$1) }
    bench.effects.expect("-1", "+2")
    // Asked before both: it lists who has gone, and lacks who has come.
    bench.step { $0.engines([e0, e1], asOf: 2, hub: SessionID("h"), now: .now, effects: &$1) }
    bench.effects.expect()
    bench.step { $0.engines([e2], asOf: 4, hub: SessionID("h"), now: .now, effects: &$1) }
    bench.effects.expect("-0")
  }

  /// The connection by which the hub tells it may have been broken meanwhile.
  @Test func anEngineThatWentAndCameBackUnheardHasLostWhatItHad() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    func stay(_ arrival: Int?) -> RegisteredEngine { RegisteredEngine(id: e0.id, uuid: e0.uuid, arrival: arrival) }
    bench.step { $0.engines([stay(3)], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    for route in [.direct(e0), .broadcast([e0]), .balanced] as [Request.Route] { bench.submit(route) }
    bench.effects.forget()
    // The same, unknown, and older.
    for arrival in [3, nil, 2] { bench.step { $0.engineRegistered(stay(arrival), effects: &$1) } }
    bench.effects.expect()
    bench.step { $0.engines([stay(4)], asOf: 9, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("-0", "0: EngineError", "0: silent", "2: EngineError", "2: silent", "+0")
    // Another hub counts anew.
    bench.step { $0.engines([stay(1)], asOf: 9, hub: SessionID("other"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("resume 3")
    bench.step { $0.engineRegistered(stay(2), effects: &$1) }
    bench.effects.expect("-0", "+0")
  }

  @Test func aKindThatIsLearnedLaterChangesNothingElse() {
    var bench = ClientBench()
    let plain = bench.engine(0)
    let swift = RegisteredEngine(id: plain.id, uuid: plain.uuid, kind: .swift)
    bench.arrive(0)
    let task = bench.submit(.direct(plain))
    bench.effects.forget()
    bench.step { $0.engineRegistered(swift, effects: &$1) }
    bench.effects.expect("0 is swift")
    #expect(bench.state.sortedEngines.map(\.kind) == [.swift])
    bench.step { $0.engineRegistered(swift, effects: &$1) }
    bench.step { $0.engines([swift], asOf: 9, hub: SessionID("h"), now: .now, effects: &$1) }
    bench.effects.expect()
    bench.abort(task)
    bench.effects.expect("abort 0 on 0")
    bench.reply(task)
    bench.effects.expect("0: ok", "0: silent")
    bench.lose(0)
    bench.effects.expect("-0")
    // The same name under another number is another engine.
    bench.step { $0.engineRegistered(swift, effects: &$1) }
    bench.step { [uuid = plain.uuid] in $0.engineRegistered(RegisteredEngine(id: EngineID(1), uuid: uuid), effects: &$1) }
    bench.effects.expect("+0", "-0", "+1")
  }

  @Test func aRestartedControllerKnowsNothing() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    bench.step { $0.engines([e0], asOf: 0, hub: SessionID("h"), now: .now, effects: &$1) }
    bench.submit(.balanced)
    bench.effects.forget()
    bench.step { [now = bench.at(1)] state, _ in state.hubDisconnected(now: now) }
    #expect(bench.state.nextDeadline == bench.at(6))
    bench.step { $0.hubConnected(effects: &$1) }
    bench.effects.expect("ask 2")
    #expect(bench.state.nextDeadline == nil)
    bench.step { $0.engines([e0], asOf: 2, hub: SessionID("other"), now: .now, effects: &$1) }
    bench.effects.expect("0: controllerLost", "0: silent")
  }

  @Test func aRestartedControllerWithAJournalIsAskedForBalancedTasks() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    bench.step { $0.engines([e0], asOf: 0, hub: SessionID("h"), journal: "j", now: .now, effects: &$1) }
    bench.submit(.balanced)
    bench.submit(.direct(e0))
    bench.submit(.hub, deadline: 100)
    bench.submit(.balanced)
    bench.effects.forget()
    bench.step { [now = bench.at(1)] state, _ in state.hubDisconnected(now: now) }
    // It is going to be restarted, which may take a while.
    #expect(bench.state.nextDeadline == bench.at(61))
    bench.step { $0.hubConnected(effects: &$1) }
    bench.step { $0.engines([], asOf: 2, hub: SessionID("other"), journal: "j", now: .now, effects: &$1) }
    bench.effects.expect("ask 2", "1: controllerLost", "1: silent", "resume 0,3", "-0")
    bench.resumed(unknown: 3, 9)
    bench.effects.expect("send 3")
    bench.reply(TaskNumber(raw: 0))
    bench.reply(TaskNumber(raw: 3))
    bench.reply(TaskNumber(raw: 3))
    bench.effects.expect("0: ok", "0: silent", "3: ok", "3: silent")
    #expect(bench.effects.ends == [TaskNumber(raw: 0): 1, TaskNumber(raw: 1): 1, TaskNumber(raw: 3): 1])
  }

  /// However it comes: `replied` takes every reply, one that came alone and one of a batch. Of others' ids nothing is sent.
  @Test func theAnswerToTheQuestionForTasksIsOneOfManyReplies() {
    var bench = ClientBench()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), journal: "j", now: .now, effects: &$1) }
    for _ in 0..<4 { bench.submit(.balanced) }
    bench.step { $0.engines([], asOf: 0, hub: SessionID("other"), journal: "j", now: .now, effects: &$1) }
    bench.effects.forget()
    bench.reply(TaskNumber(raw: 2))
    bench.resumed(unknown: 0, 2, 3)
    bench.reply(TaskNumber(raw: 1))
    bench.effects.expect("2: ok", "2: silent", "send 0", "send 3", "1: ok", "1: silent")
    let foreign = Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject,
      content: Frame(["unknown": ["other_1_0", "0", "", "\(bench.queue.ids.id(of: TaskNumber(raw: 0)))1"]]))
    let match = RequestIDs.Match(number: ClientRecorder.resumption, engine: nil)
    bench.step { [now = bench.start] in $0.replied(to: match, TaskReply(foreign), now: now, effects: &$1) }
    bench.effects.expect()
  }

  /// Found by the simulation: a client that comes by TCP has another name then, and was never answered.
  @Test func whatABrokenConnectionMayHaveLostIsAskedFor() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    bench.step { $0.engines([e0], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    for route in [.balanced, .direct(e0), .balanced, .coalescing([e0])] as [Request.Route] { bench.submit(route) }
    bench.reply(TaskNumber(raw: 0))
    bench.effects.forget()
    bench.step { $0.connectionBroke(.balanced, effects: &$1) }
    bench.effects.expect("ask 1")
    // By another one, or later: not in doubt.
    bench.submit(.balanced)
    bench.effects.forget()
    bench.step { $0.engines([e0], asOf: 1, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("resume 2")
    bench.resumed(unknown: 2)
    bench.effects.expect("send 2")
    // Nobody keeps the results of the others.
    bench.step { $0.connectionBroke(.direct, effects: &$1) }
    bench.step { $0.connectionBroke(.broadcast, effects: &$1) }
    bench.effects.expect("ask 2", "ask 3")
    bench.step { $0.engines([e0], asOf: 3, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("1: controllerLost", "1: silent", "3: controllerLost", "3: silent")
  }

  /// The scheduler would say that it does not know what they name.
  @Test(arguments: [false, true]) func whatDependsOnALostTaskIsSentBehindIt(isRestarted: Bool) {
    var bench = ClientBench()
    let hub = SessionID(isRestarted ? "other" : "h")
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let (ended, lost) = (bench.submit(.balanced), bench.submit(.balanced))
    bench.reply(ended)
    bench.effects.forget()
    bench.step { $0.connectionBroke(.balanced, effects: &$1) }
    let follower = bench.submit(.balanced, follow: [lost])
    bench.submit(.balanced, after: [ended])
    bench.submit(.balanced, after: [follower])
    bench.effects.expect("ask 0", "send 3")
    bench.step { $0.engines([], asOf: 0, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.submit(.balanced, after: [lost, ended])
    if isRestarted { bench.effects.expect("resume 1,3") } else { bench.effects.expect("resume 1") }
    bench.resumed(unknown: 1)
    bench.effects.expect("send 1", "send 2", "send 4", "send 5")
    bench.submit(.balanced, after: [lost])
    bench.effects.expect("send 6")
    for number in 1...6 { bench.reply(TaskNumber(raw: number)) }
    #expect(bench.state.entries.isEmpty && bench.state.held.isEmpty)
  }

  @Test func whatIsHeldIsSentOnceThoughTheConnectionBreaksAgain() {
    var bench = ClientBench()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let lost = bench.submit(.balanced)
    bench.effects.forget()
    bench.step { $0.connectionBroke(.balanced, effects: &$1) }
    let follower = bench.submit(.balanced, after: [lost])
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("ask 0", "resume 0")
    // Before the answer.
    bench.step { $0.connectionBroke(.balanced, effects: &$1) }
    bench.step { $0.engines([], asOf: 0, hub: SessionID("other"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("ask 0", "resume 0")
    // The task has ended meanwhile, and nobody names it as unknown.
    bench.reply(lost)
    bench.resumed()
    bench.effects.expect("0: ok", "0: silent", "send 1")
    bench.step { $0.connectionBroke(.balanced, effects: &$1) }
    let third = bench.submit(.balanced, after: [follower])
    // What it waited for is gone with another cluster.
    bench.step { $0.engines([], asOf: 0, hub: SessionID("third"), journal: "k", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("ask 0", "1: controllerLost", "1: silent", "\(third.raw): controllerLost", "\(third.raw): silent")
    #expect(bench.state.held.isEmpty)
  }

  /// The scheduler that heard of it may be gone.
  @Test func whatIsSentAgainIsAbortedAgain() {
    var bench = ClientBench()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let (lost, known) = (bench.submit(.balanced), bench.submit(.balanced))
    bench.abort(lost)
    bench.effects.forget()
    bench.step { $0.connectionBroke(.balanced, effects: &$1) }
    let (held, dependent) = (bench.submit(.balanced, after: [lost]), bench.submit(.balanced, after: [known]))
    bench.abort(known, held)
    bench.effects.expect("ask 0", "abort 1 on ")
    bench.step { $0.engines([], asOf: 0, hub: SessionID("other"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.expect("resume 0,1")
    bench.resumed(unknown: 0)
    bench.effects.expect("send 0", "abort 0,1 on ", "send 2", "send \(dependent.raw)", "abort 2 on ")
    for number in [lost, known, held] { bench.reply(number, status: "aborted") }
    bench.effects.expect("0: TaskAborted", "0: silent", "1: TaskAborted", "1: silent", "2: TaskAborted", "2: silent")
    #expect(bench.state.unwanted.isEmpty && bench.state.held.isEmpty)
  }

  /// It would take the question for a task.
  @Test func aControllerOfOthersIsNotAskedForTasks() {
    var bench = ClientBench()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), now: .now, effects: &$1) }
    bench.submit(.balanced)
    bench.step { $0.connectionBroke(.balanced, effects: &$1) }
    bench.effects.forget()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), now: .now, effects: &$1) }
    bench.effects.expect()
  }

  @Test func aTaskWhoseMemoryIsWantedBackIsNotSentAgain() {
    var bench = ClientBench()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), journal: "j", now: .now, effects: &$1) }
    bench.submit(.balanced, maySendAgain: false)
    bench.effects.forget()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("other"), journal: "j", now: .now, effects: &$1) }
    bench.resumed(unknown: 0)
    bench.effects.expect("resume 0", "0: controllerLost", "0: silent")
  }

  @Test func anotherJournalIsAnotherCluster() {
    var bench = ClientBench()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("h"), journal: "j", now: .now, effects: &$1) }
    bench.submit(.balanced)
    bench.effects.forget()
    bench.step { $0.engines([], asOf: 0, hub: SessionID("other"), journal: "k", now: .now, effects: &$1) }
    bench.effects.expect("0: controllerLost", "0: silent")
  }

  @Test func aLostControllerEndsEverything() {
    var bench = ClientBench()
    bench.arrive(0)
    bench.submit(.balanced)
    bench.submit(.hub, deadline: 100)
    bench.effects.forget()
    bench.step { [now = bench.at(1)] state, _ in state.hubDisconnected(now: now) }
    bench.expire(at: 6)
    bench.effects.expect("refuse: controllerLost", "0: controllerLost", "0: silent", "1: controllerLost", "1: silent", "-0")
    bench.submit(.balanced)
    bench.effects.expect("2: controllerLost", "2: silent")
  }

  /// Whatever comes in whatever order: every task ends once, and nothing stays behind.
  @Test(arguments: 0..<20)
  func everyTaskEndsOnce(seed: Int) {
    var random = SplitMix(state: UInt64(seed))
    var bench = ClientBench()
    bench.arrive(0, 1, 2)
    var open: [(TaskNumber, [Int])] = []
    for step in 0..<400 {
      let there = bench.state.sortedEngines
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<4:
        guard let engine = there.randomElement(using: &random) else { continue }
        let route: [Request.Route] = [.direct(engine), .balanced, .coalescing(there), .broadcast(there)]
        open.append((bench.submit(route[step % 4], awaitsOutput: step % 3 == 0), step % 4 == 3 ? there.map(\.id.number) : []))
      case 4..<7:
        guard let (number, shares) = open.randomElement(using: &random) else { continue }
        let engine = shares.randomElement(using: &random)
        bench.reply(number, from: engine ?? 0, share: engine, status: ["ok", "error", "aborted"][step % 3], at: Double(step))
        if step % 2 == 0 { bench.idle(number, share: engine) }
      case 7: if let (number, _) = open.randomElement(using: &random) { bench.abort(number) }
      case 8: if let engine = there.randomElement(using: &random), there.count > 1 { bench.lose(engine.id.number) }
      default:
        bench.step { [engine = bench.engine(Int.random(in: 0..<6, using: &random))] in $0.engineRegistered(engine, effects: &$1) }
      }
      if step % 50 == 49 { bench.expire(at: Double(step)) }
    }
    bench.step { $0.close(ClientError(.closed, "over"), effects: &$1) }
    #expect(bench.state.entries.isEmpty && bench.state.shares.isEmpty && bench.state.deadlines.isEmpty)
    #expect(bench.effects.ends.values.allSatisfy { $0 == 1 })
  }
}

private struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
