import ApusMessaging
import Testing
import Transport

@testable import ApusClient

@Suite("Client: requests that have not left") struct UnsentRequestsTests {
  /// It would be run for a client that has been told that it is lost.
  @Test(arguments: [false, true]) func whatHasNotLeftIsNotLostWithAConnection(isRestarted: Bool) {
    var bench = ClientBench()
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    let hub = SessionID(isRestarted ? "other" : "h")
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    for route in [.direct(e0), .direct(e0), .coalescing([e0]), .broadcast([e0, e1])] as [Request.Route] { bench.submit(route) }
    bench.submit(.direct(e0))
    bench.effects.forget()
    let waiting = [1, 3].compactMap { bench.effects.sent[$0] }
    bench.step { $0.connectionBroke(.direct, taking: waiting, effects: &$1) }
    bench.step { $0.connectionBroke(.broadcast, taking: waiting, effects: &$1) }
    bench.effects.expect("ask 3", "ask 4")
    // What comes now waits as well; balanced tasks have another way.
    let (late, unwanted) = (bench.submit(.direct(e0)), bench.submit(.direct(e1)))
    bench.submit(.balanced)
    let gone = bench.submit(.direct(e1))
    bench.abort(unwanted)
    bench.effects.expect("send 9")
    // An answer from before says nothing of who is there now.
    if !isRestarted {
      bench.step { $0.engines([e0, e1], asOf: 3, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
      bench.effects.expect("0: controllerLost", "0: silent", "2: controllerLost", "2: silent", "6: controllerLost", "6: silent")
      bench.lose(1)
      bench.effects.expect(
        "-1", "5: EngineError", "5: silent", "\(unwanted.raw): EngineError", "\(unwanted.raw): silent", "\(gone.raw): EngineError",
        "\(gone.raw): silent")
      bench.step { $0.engines([e0], asOf: 5, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1) }
      bench.effects.expect("send 1", "send 3", "send \(late.raw)")
    } else {
      bench.step { $0.engines([e0, e1], asOf: 4, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1) }
      bench.effects.expect(
        "0: controllerLost", "0: silent", "2: controllerLost", "2: silent", "6: controllerLost", "6: silent", "resume 9", "send 1",
        "send 3", "send \(late.raw)", "send \(unwanted.raw)", "send \(gone.raw)", "abort \(unwanted.raw) on 1")
      bench.reply(TaskNumber(raw: 3), share: 1)
      bench.effects.expect("5: ok", "5: silent")
      bench.reply(unwanted, status: "aborted")
      bench.reply(gone)
      bench.reply(TaskNumber(raw: 9))
      bench.effects.forget()
    }
    bench.reply(TaskNumber(raw: 1))
    bench.reply(TaskNumber(raw: 3), share: 0)
    bench.reply(late)
    bench.effects.expect("1: ok", "1: silent", "4: ok", "4: silent", "\(late.raw): ok", "\(late.raw): silent")
    // What waits by another way is not lost either.
    let (sent, spared) = (bench.submit(.direct(e0)), bench.submit(.direct(e0)))
    bench.effects.forget()
    let others = [spared.raw].compactMap { bench.effects.sent[$0] }
    bench.step { $0.connectionBroke(.direct, sparing: others, effects: &$1) }
    bench.effects.forget()
    bench.step { [asked = bench.state.serial] in
      $0.engines([e0], asOf: asked, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1)
    }
    if isRestarted { bench.lose(1) }
    #expect(bench.effects.ends[sent] == 1 && bench.effects.ends[spared] == nil)
    bench.submit(.direct(e0))
    #expect(bench.effects.lines.last?.hasPrefix("send") ?? false)
  }

  private enum Fate: CaseIterable { case comesBack, isListed, isGivenUp, staysAway }

  /// Engines need longer than clients to find a controller that was started again.
  @Test(arguments: Fate.allCases) private func whatHasNotLeftWaitsForItsEngine(_ fate: Fate) {
    var bench = ClientBench()
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let sent = bench.submit(.direct(e1))
    bench.step { $0.connectionBroke(.direct, effects: &$1) }
    bench.step { $0.connectionBroke(.broadcast, effects: &$1) }
    let (first, absent) = (bench.submit(.direct(e0)), bench.submit(.direct(e1)))
    let (both, one) = (bench.submit(.broadcast([e0, e1])), bench.submit(.broadcast([e0])))
    let unwanted = bench.submit(.direct(e1))
    bench.abort(unwanted)
    bench.effects.forget()
    let hub = SessionID("other")
    bench.step { [asked = bench.state.serial, now = bench.at(1)] in
      $0.engines([e0], asOf: asked, hub: hub, journal: "j", isOwn: true, now: now, effects: &$1)
    }
    // A broadcast behind another one to the same engine keeps its place.
    bench.effects.expect("\(sent.raw): controllerLost", "\(sent.raw): silent", "-1", "send \(first.raw)")
    let late = bench.submit(.broadcast([e0]))
    bench.effects.expect()
    let direct = bench.submit(.direct(e0))
    bench.effects.expect("send \(direct.raw)")
    bench.expire(at: 60)
    bench.effects.expect()
    let here = ["send \(absent.raw)", "send \(both.raw)", "send \(one.raw)", "send \(unwanted.raw)", "send \(late.raw)"]
    let share = both.raw + 2
    let gone = [absent.raw, share, unwanted.raw].flatMap { ["\($0): EngineError", "\($0): silent"] }
    switch fate {
    case .comesBack: bench.step { $0.engineRegistered(e1, effects: &$1) }
    case .isListed:
      bench.step { [asked = bench.state.serial] in
        $0.engines([e0, e1], asOf: asked, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1)
      }
    case .isGivenUp: bench.lose(1)
    case .staysAway: bench.expire(at: 61)
    }
    switch fate {
    case .comesBack, .isListed: #expect(bench.effects.lines == ["+1"] + here + ["abort \(unwanted.raw) on 1"])
    case .isGivenUp, .staysAway:
      #expect(bench.effects.lines == gone + ["send \(both.raw)", "send \(one.raw)", "send \(late.raw)"])
    }
    #expect(bench.state.nextDeadline == nil)
    #expect(bench.state.unsent.isEmpty && bench.state.absent.isEmpty)
  }

  @Test func requestsForEnginesThatReturnTogetherLeaveTogether() {
    var bench = ClientBench()
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let hub = SessionID("other")
    bench.step { [asked = bench.state.serial, now = bench.at(1)] in
      $0.engines([], asOf: asked, hub: hub, journal: "j", isOwn: true, now: now, effects: &$1)
    }
    let tasks = [e1, e0, e1, e0].map { bench.submit(.direct($0)) }
    bench.effects.forget()
    bench.step { [asked = bench.state.serial] in
      $0.engines([e0, e1], asOf: asked, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1)
    }
    #expect(bench.effects.lines == ["+0", "+1"] + tasks.map { "send \($0.raw)" })
    #expect(bench.state.unsent.isEmpty)
  }

  @Test func theyKeepTheirOrderWhoeverGoesAndIsGivenBack() {
    var bench = ClientBench()
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let routes: [Request.Route] = [.direct(e0), .broadcast([e0, e1]), .direct(e1)]
    let numbers = (0..<300).map { bench.submit(routes[$0 % 3]).raw }
    let requests = numbers.compactMap { bench.effects.sent[$0] }
    var unsent = UnsentRequests()
    for request in requests.suffix(200) + requests.prefix(100) + requests.prefix(3) { unsent.insert(request) }
    #expect(unsent.hasBroadcast(to: [e1.uuid]) && !unsent.hasBroadcast(to: ["other"]))
    for request in requests where request.number.raw % 5 == 0 { unsent.remove(request.number) }
    let left = requests.filter { $0.number.raw % 5 != 0 }
    #expect(Set(unsent.numbers) == Set(left.map(\.number)))
    for isFirst in [true, false] {
      let taken = unsent.take { !isFirst || $0.route == .direct(e0) }
      #expect(taken.map(\.number.raw) == left.filter { ($0.route == .direct(e0)) == isFirst }.map(\.number.raw))
    }
    #expect(unsent.isEmpty && !unsent.hasBroadcast(to: [e0.uuid, e1.uuid]))
  }

  /// Nobody has noticed that anything had broken: everything comes when the next controller has told that the engine is not there yet.
  @Test(arguments: Fate.allCases) private func whatIsSubmittedWhileItsEngineIsAwayWaits(_ fate: Fate) {
    var bench = ClientBench()
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.effects.forget()
    let hub = SessionID("other")
    bench.step { [asked = bench.state.serial, now = bench.at(1)] in
      $0.engines([e0], asOf: asked, hub: hub, journal: "j", isOwn: true, now: now, effects: &$1)
    }
    bench.effects.expect("-1")
    let routes: [Request.Route] = [.direct(e1), .coalescing([e0, e1]), .broadcast([e0, e1]), .direct(e1)]
    let tasks = routes.map { bench.submit($0) }
    bench.effects.expect()
    let share = TaskNumber(raw: tasks[2].raw + 2)
    bench.abort(tasks[3])
    // What is there need not wait, and what is asked of the engine's control channel cannot.
    let (direct, control) = (bench.submit(.direct(e0)), bench.submit(.control(e1)))
    bench.effects.expect("send \(direct.raw)", "\(control.raw): EngineError", "\(control.raw): silent")
    #expect(bench.effects.reasons[control]?.contains("was not sent") ?? false)
    bench.expire(at: 60)
    bench.effects.expect()
    switch fate {
    case .comesBack: bench.step { $0.engineRegistered(e1, effects: &$1) }
    case .isListed:
      bench.step { [asked = bench.state.serial] in
        $0.engines([e0, e1], asOf: asked, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1)
      }
    case .isGivenUp: bench.lose(1)
    case .staysAway: bench.expire(at: 61)
    }
    let (first, second, third, last) = (tasks[0], tasks[1], tasks[2], tasks[3])
    switch fate {
    case .comesBack, .isListed:
      bench.effects.expect(
        "+1", "send \(first.raw)", "send \(second.raw)", "send \(third.raw)", "send \(last.raw)", "abort \(last.raw) on 1")
      bench.reply(first, from: 1)
      bench.effects.expect("\(first.raw): ok", "\(first.raw): silent")
    case .isGivenUp, .staysAway:
      let ended = [first, second, share, last]
      #expect(
        bench.effects.lines == ended.flatMap { ["\($0.raw): EngineError", "\($0.raw): silent"] } + ["send \(third.raw)"])
      for task in ended {
        #expect(bench.effects.reasons[task]?.hasSuffix("has not come back since the controller was restarted") ?? false)
      }
      bench.effects.forget()
      // Nobody waits any more.
      let late = bench.submit(.direct(e1))
      bench.effects.expect("\(late.raw): EngineError", "\(late.raw): silent")
      #expect(bench.effects.reasons[late]?.hasSuffix("was not sent: its engine 'e1' is gone") ?? false)
    }
    #expect(bench.state.nextDeadline == nil)
    #expect(bench.state.unsent.isEmpty && bench.state.absent.isEmpty)
  }

  @Test func onlyWhatHadLeftMayHaveRun() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    bench.step { $0.engines([e0], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let sent = bench.submit(.direct(e0))
    let spared = [sent.raw].compactMap { bench.effects.sent[$0] }
    bench.step { $0.connectionBroke(.direct, sparing: spared, effects: &$1) }
    let unsent = bench.submit(.direct(e0))
    bench.lose(0)
    #expect(bench.effects.reasons[sent]?.contains("died while running") ?? false)
    #expect(bench.effects.reasons[unsent]?.contains("was not sent") ?? false)
  }

  @Test func eachEngineThatIsAwaitedIsNamedOnce() {
    var bench = ClientBench()
    let engines = (0..<40).map { bench.engine($0) }
    bench.step { $0.engines(engines, asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.step { [asked = bench.state.serial, now = bench.at(1)] in
      $0.engines([], asOf: asked, hub: SessionID("other"), journal: "j", isOwn: true, now: now, effects: &$1)
    }
    #expect(bench.effects.awaited == engines && bench.effects.awaitedTold == 40)
    // Who arrives need not be named again, and those that do not come are named once, too.
    for engine in engines[..<20] { bench.step { $0.engineRegistered(engine, effects: &$1) } }
    for number in 20..<30 { bench.lose(number) }
    bench.expire(at: 61)
    #expect(bench.effects.awaited.isEmpty && bench.effects.awaitedTold == 60)
    #expect(bench.state.nextDeadline == nil)
  }

  /// Another connection that is broken does not concern it.
  @Test func whatComesLaterDoesNotOvertakeWhatHasWaitedForItsEngine() {
    var bench = ClientBench()
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    let hub = SessionID("other")
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.step { [asked = bench.state.serial, now = bench.at(1)] in
      $0.engines([e0], asOf: asked, hub: hub, journal: "j", isOwn: true, now: now, effects: &$1)
    }
    let first = bench.submit(.direct(e1))
    bench.step { $0.connectionBroke(.broadcast, effects: &$1) }
    let wide = bench.submit(.broadcast([e0, e1]))
    bench.effects.forget()
    bench.step { $0.engineRegistered(e1, effects: &$1) }
    bench.effects.expect("+1", "send \(first.raw)")
    let second = bench.submit(.direct(e1))
    bench.effects.expect("send \(second.raw)")
    bench.step { [asked = bench.state.serial] in
      $0.engines([e0, e1], asOf: asked, hub: hub, journal: "j", isOwn: true, now: .now, effects: &$1)
    }
    bench.effects.expect("send \(wide.raw)")
  }

  @Test func whatHasEndedKeepsNothingBehindIt() {
    var bench = ClientBench()
    let engines = (0..<3).map { bench.engine($0) }
    bench.step { $0.engines(engines, asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.step { [asked = bench.state.serial, now = bench.at(1)] in
      $0.engines(
        [engines[0], engines[2]], asOf: asked, hub: SessionID("other"), journal: "j", isOwn: true, now: now, effects: &$1)
    }
    let first = bench.submit(.coalescing([engines[0], engines[1]]))
    let second = bench.submit(.broadcast([engines[0], engines[2]]))
    bench.effects.forget()
    bench.lose(0)
    let share = second.raw + 1
    bench.effects.expect(
      "-0", "\(first.raw): EngineError", "\(first.raw): silent", "\(share): EngineError", "\(share): silent", "send \(second.raw)")
    #expect(bench.state.absent.count == 1 && bench.state.unsent.isEmpty)
  }

  private enum Answer: CaseIterable { case ofAnother, ofAnotherWithout, ofTheSame, ofTheSameBefore }

  /// What the hub announces goes by another connection than what it answers.
  @Test(arguments: Answer.allCases) private func anArrivalThatOvertakesTheAnswerEndsNothing(_ answer: Answer) {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    func come(_ arrival: Int) -> RegisteredEngine { RegisteredEngine(id: e0.id, uuid: e0.uuid, arrival: arrival) }
    bench.step { $0.engines([come(3)], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    let task = bench.submit(.direct(e0))
    bench.effects.forget()
    let late = bench.state.serial
    bench.step { state, _ in state.hubDisconnected(now: .now) }
    bench.step { $0.engineRegistered(come(4), effects: &$1) }
    bench.step { $0.hubConnected(effects: &$1) }
    // One that was under way says nothing.
    bench.step { $0.engines([come(3)], asOf: late, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    #expect(bench.effects.ends.isEmpty)
    bench.effects.forget()
    let isOther = answer == .ofAnother || answer == .ofAnotherWithout
    let list = answer == .ofAnotherWithout ? [] : [come(answer == .ofTheSameBefore ? 3 : 4)]
    bench.step { [asked = bench.state.serial, now = bench.at(1)] in
      $0.engines(list, asOf: asked, hub: SessionID(isOther ? "other" : "h"), journal: "j", isOwn: true, now: now, effects: &$1)
    }
    let lost = ["\(task.raw): controllerLost", "\(task.raw): silent"]
    switch answer {
    case .ofAnother: #expect(bench.effects.lines == lost)
    case .ofAnotherWithout: #expect(bench.effects.lines == lost + ["-0", "+0"])
    case .ofTheSame, .ofTheSameBefore:
      #expect(bench.effects.lines == ["-0", "\(task.raw): EngineError", "\(task.raw): silent", "+0"])
    }
    // Nothing is in doubt any more.
    bench.effects.forget()
    bench.step { $0.engineRegistered(come(5), effects: &$1) }
    bench.effects.expect("-0", "+0")
  }

  /// Found by the simulation, seed 1000000996: two controllers died while one client had not heard who is there.
  @Test func whatADeadControllerAnnouncedIsNoNewsOfTheNext() {
    var bench = ClientBench()
    func answer(_ hub: String, _ numbers: Int...) {
      bench.step { [asked = bench.state.serial, now = bench.at(1), list = numbers.map(bench.engine)] in
        $0.engines(list, asOf: asked, hub: SessionID(hub), journal: "j", isOwn: true, now: now, effects: &$1)
      }
    }
    func announce(_ hub: String, _ number: Int, arrival: Int, isThere: Bool = true) {
      let engine = bench.engine(number)
      let come = RegisteredEngine(id: engine.id, uuid: engine.uuid, arrival: arrival)
      bench.step {
        if isThere {
          $0.engineRegistered(come, by: SessionID(hub), effects: &$1)
        } else {
          $0.engineLeft(come, by: SessionID(hub), effects: &$1)
        }
      }
    }
    answer("first", 0)
    bench.step { state, _ in state.hubDisconnected(now: .now) }
    announce("second", 0, arrival: 5)
    announce("second", 2, arrival: 6)
    bench.step { state, _ in state.hubDisconnected(now: .now) }
    announce("third", 1, arrival: 1)
    bench.step { $0.hubConnected(effects: &$1) }
    bench.effects.forget()
    // By nobody of now: neither is there.
    answer("third")
    bench.effects.expect("-0", "+1")
    // Words of before come late; whoever speaks is asked, in case it is the next.
    announce("second", 1, arrival: 6, isThere: false)
    announce("second", 3, arrival: 7)
    bench.effects.expect("ask \(bench.state.serial)")
    answer("third", 1)
    bench.effects.expect()
    announce("fourth", 1, arrival: 1, isThere: false)
    bench.effects.expect("ask \(bench.state.serial)")
    answer("fourth", 1)
    bench.effects.expect("-1")
    #expect(bench.state.engines.isEmpty)
  }

  /// The same in the other order: words of the former hub come behind the question, and before the answer of the next.
  @Test func whatTheFormerHubSaysLastIsNoNewerThanTheNextOnesList() {
    var bench = ClientBench()
    let (e0, e1, e2) = (bench.engine(0), bench.engine(1), bench.engine(2))
    func answer(_ list: RegisteredEngine..., hub: String, asOf asked: Int) {
      bench.step { [now = bench.at(1)] in
        $0.engines(list, asOf: asked, hub: SessionID(hub), journal: "j", isOwn: true, now: now, effects: &$1)
      }
    }
    answer(e0, e2, hub: "h", asOf: 0)
    bench.step { state, _ in state.hubDisconnected(now: .now) }
    bench.step { $0.hubConnected(effects: &$1) }
    let asked = bench.state.serial
    bench.step { $0.engineRegistered(e1, by: SessionID("h"), effects: &$1) }
    bench.step { $0.engineLeft(e2, by: SessionID("h"), effects: &$1) }
    bench.effects.forget()
    answer(e0, e2, hub: "other", asOf: asked)
    bench.effects.expect("-1", "+2")
    #expect(Set(bench.state.engines.keys) == [e0.uuid, e2.uuid])
  }

  /// Which of its stays has ended, the hub tells.
  @Test func aDepartureThatComesLateIsOfAnEarlierStay() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    func come(_ arrival: Int) -> RegisteredEngine { RegisteredEngine(id: e0.id, uuid: e0.uuid, arrival: arrival) }
    bench.step { $0.engines([come(7)], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, now: .now, effects: &$1) }
    bench.submit(.direct(e0))
    bench.effects.forget()
    bench.step { $0.engineLeft(come(6), by: SessionID("h"), effects: &$1) }
    bench.effects.expect()
    // Kept, and behind a list that has the later one.
    bench.step { $0.engineLeft(come(3), by: SessionID("other"), effects: &$1) }
    bench.step { [asked = bench.state.serial] in
      $0.engines([come(4)], asOf: asked, hub: SessionID("other"), journal: nil, isOwn: true, now: .now, effects: &$1)
    }
    #expect(bench.state.engines[e0.uuid] != nil)
    bench.effects.forget()
    bench.step { $0.engineLeft(come(4), by: SessionID("other"), effects: &$1) }
    bench.effects.expect("-0")
  }

  /// Another controller may have come while the first was asked.
  @Test func whatComesBeforeTheFirstAnswerIsOfTheHubThatAnswers() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    func come(_ arrival: Int) -> RegisteredEngine { RegisteredEngine(id: e0.id, uuid: e0.uuid, arrival: arrival) }
    bench.step { state, _ in state.hubDisconnected(now: .now) }
    bench.step { $0.engineRegistered(come(9), by: SessionID("first"), effects: &$1) }
    bench.step { $0.engineRegistered(come(2), by: SessionID("second"), effects: &$1) }
    bench.effects.forget()
    bench.step { [asked = bench.state.serial] in
      $0.engines([], asOf: asked, hub: SessionID("second"), journal: "j", isOwn: true, now: .now, effects: &$1)
    }
    bench.effects.expect("+0")
    #expect(bench.state.engines[e0.uuid]?.engine.arrival == 2)
  }

  /// It was kept until the hub had answered, to a question of before; what it says then is newer.
  @Test func newerWordsOfAHubTakeThePlaceOfThoseThatWereKept() {
    var bench = ClientBench()
    let e0 = bench.engine(0)
    let come = RegisteredEngine(id: e0.id, uuid: e0.uuid, arrival: 3)
    func answer(asOf asked: Int, hub: String) {
      bench.step { [now = bench.at(1)] in
        $0.engines([], asOf: asked, hub: SessionID(hub), journal: "j", isOwn: true, now: now, effects: &$1)
      }
    }
    answer(asOf: 0, hub: "h")
    bench.step { state, _ in state.hubDisconnected(now: .now) }
    let asked = bench.state.serial
    bench.step { $0.engineRegistered(come, by: SessionID("other"), effects: &$1) }
    bench.step { state, _ in state.hubDisconnected(now: .now) }
    answer(asOf: asked, hub: "other")
    bench.step { $0.engineLeft(come, by: SessionID("other"), effects: &$1) }
    answer(asOf: bench.state.serial, hub: "other")
    #expect(bench.state.engines.isEmpty)
  }
}
