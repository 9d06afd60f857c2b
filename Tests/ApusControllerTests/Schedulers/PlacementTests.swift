import ApusMessaging
import Testing

@testable import ApusController

@Suite("Task scheduler: placing")
struct PlacementTests {
  @Test("a task goes to an engine, its answer to the client, and the story is told in order")
  func simplest() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.recorder.expect("a → e0")
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0")
    bench.recorder.expectEvents("submitted a", "placed a e0", "finished a e0 ok")
    bench.recorder.expectNothingElse()
    #expect(bench.state.tasks.isEmpty)
    #expect(bench.state.messageBytes == 0)
  }

  @Test("without engines tasks wait, and go out in order when one comes")
  func waiting() {
    var bench = SchedulerBench()
    for id in ["a", "b", "c"] { bench.submit(id) }
    bench.recorder.expectNothingElse()
    #expect(bench.state.queuedCount == 3)
    bench.recorder.expectEvents("submitted a", "queued a", "submitted b", "queued b", "submitted c", "queued c")
    bench.register(0)
    bench.recorder.expect("a → e0")
    bench.recorder.expectEvents("placed a e0")
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0", "b → e0")
    bench.register(1)
    bench.recorder.expect("c → e1")
    bench.recorder.expectNothingElse()
  }

  @Test("the high-water mark: so many at once, none more; 0 is no limit", arguments: [0, 1, 2, 5])
  func highWaterMark(hwm: Int) {
    var bench = SchedulerBench(hwm: hwm, engines: 1)
    for number in 0..<8 { bench.submit("t\(number)") }
    let expected = hwm == 0 ? 8 : hwm
    #expect(bench.recorder.messages == (0..<expected).map { "t\($0) → e0" })
    for number in 0..<8 { bench.complete("t\(number)", on: 0) }
    #expect(bench.recorder.answers.count == 8)
    #expect(bench.state.engines[0].load == 0)
  }

  @Test("many waiting tasks are served oldest first", arguments: SchedulingPolicy.allCases)
  func fifo(policy: SchedulingPolicy) {
    var bench = SchedulerBench(policy: policy)
    for number in 0..<50 { bench.submit("t\(number)") }
    bench.register(0)
    for number in 0..<50 { bench.complete("t\(number)", on: 0) }
    let sent = bench.recorder.messages.filter { $0.contains("→") }
    #expect(sent == (0..<50).map { "t\($0) → e0" })
  }

  @Test("older tasks go first, be they free, targeted or just set free by a dependency")
  func fifoAcrossKinds() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("first")
    bench.submit("free")
    bench.submit("targeted", targets: [0])
    bench.submit("dependent", after: .all("first"))
    bench.submit("following", follow: .all("first"))
    bench.submit("last")
    bench.recorder.expect("first → e0")
    for id in ["first", "free", "targeted"] { bench.complete(id, on: 0) }
    bench.recorder.expect(
      "first: answer of e0", "free → e0", "free: answer of e0", "targeted → e0", "targeted: answer of e0", "dependent → e0")
    bench.complete("dependent", on: 0)
    bench.complete("following", on: 0)
    bench.recorder.expect("dependent: answer of e0", "following → e0", "following: answer of e0", "last → e0")
  }

  @Test("the same id twice is a message that came twice")
  func duplicates() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.submit("b")
    bench.submit("a")
    bench.submit("b")
    bench.recorder.expect("a → e0")
    bench.complete("a", on: 0)
    bench.submit("a")
    bench.complete("b", on: 0)
    bench.recorder.expect("a: answer of e0", "b → e0", "b: answer of e0")
    bench.recorder.expectNothingElse()
  }

  @Test("answers that nobody waits for: unknown, from another engine, twice")
  func strangeAnswers() {
    var bench = SchedulerBench(hwm: 2, engines: 2)
    bench.submit("a")
    bench.recorder.expect("a → e0")
    bench.complete("unknown", on: 0)
    bench.complete("a", on: 1)
    bench.complete("a", on: 7)
    bench.recorder.expectNothingElse()
    bench.complete("a", on: 0)
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0")
    #expect(bench.state.engines[1].load == 0)
  }

  @Test("an answer for a task that still waits changes nothing")
  func answerBeforePlacement() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.submit("b")
    bench.submit("c", after: .all("b"))
    bench.recorder.expect("a → e0")
    bench.complete("b", on: 0)
    bench.complete("c", on: 0)
    bench.recorder.expectNothingElse()
  }

  // MARK: policies

  @Test("least load: the smallest load, the longest unused of equals")
  func leastLoad() {
    var bench = SchedulerBench(policy: .leastLoad, hwm: 0, engines: 3)
    for id in ["a", "b", "c", "d"] { bench.submit(id) }
    bench.recorder.expect("a → e0", "b → e1", "c → e2", "d → e0")
    bench.complete("b", on: 1)
    bench.submit("e")
    bench.submit("f")
    // Loads are now 2, 1, 1: e2 was used before e1.
    bench.recorder.expect("b: answer of e1", "e → e1", "f → e2")
  }

  @Test("least recently used: in turn, whatever the loads")
  func leastRecentlyUsed() {
    var bench = SchedulerBench(policy: .leastRecentlyUsed, hwm: 0, engines: 3)
    bench.submit("a")
    bench.complete("a", on: 0)
    for id in ["b", "c", "d"] { bench.submit(id) }
    bench.recorder.expect("a → e0", "a: answer of e0", "b → e1", "c → e2", "d → e0")
  }

  @Test("pure: in turn, and constraints are not looked at")
  func pure() {
    var bench = SchedulerBench(policy: .pure, hwm: 1, engines: 2)
    bench.submit("a", retries: 3, targets: [1])
    bench.submit("b", after: .all("unknown"))
    bench.submit("c")
    bench.recorder.expect("a → e0", "b → e1", "c → e0")
    bench.complete("a", on: 0, .error)
    bench.complete("c", on: 0, .error, dependenciesMet: false)
    bench.recorder.expect("a: answer of e0", "c: answer of e0")
  }

  @Test("every policy uses every engine, never a full one", arguments: SchedulingPolicy.allCases, [1, 3])
  func spread(policy: SchedulingPolicy, hwm: Int) {
    var bench = SchedulerBench(policy: policy, hwm: hwm, engines: 5, seed: 42)
    for number in 0..<5 * hwm { bench.submit("t\(number)") }
    #expect(bench.recorder.messages.count == 5 * hwm)
    if policy != .pure { #expect((0..<5).allSatisfy { bench.state.engines[$0].load == hwm }) }
  }

  @Test(
    "random policies repeat themselves with the same seed, and differ with another",
    arguments: [SchedulingPolicy.plainRandom, .twoBin, .weighted])
  func seeded(policy: SchedulingPolicy) {
    func run(_ seed: UInt64) -> [String] {
      var bench = SchedulerBench(policy: policy, hwm: 0, engines: 5, seed: seed)
      for number in 0..<40 { bench.submit("t\(number)") }
      return bench.recorder.messages
    }
    #expect(run(1) == run(1))
    #expect(run(1) != run(2))
  }

  @Test("weighted and two-bin prefer engines that have less to do")
  func preferences() {
    for policy in [SchedulingPolicy.weighted, .twoBin] {
      var bench = SchedulerBench(policy: policy, hwm: 0, engines: 4, seed: 3)
      for number in 0..<400 { bench.submit("t\(number)") }
      let loads = (0..<4).map { bench.state.engines[$0].load }
      #expect(loads.allSatisfy { (40...200).contains($0) }, "\(policy): \(loads)")
    }
  }

  // MARK: targets

  @Test("targets: only there, the policy among them, waiting while they are full")
  func targets() {
    var bench = SchedulerBench(engines: 3)
    bench.submit("a", targets: [1])
    bench.submit("b", targets: [1, 2])
    bench.submit("c", targets: [1, 2])
    bench.submit("d", targets: [1])
    bench.submit("e")
    bench.recorder.expect("a → e1", "b → e2", "e → e0")
    bench.complete("b", on: 2)
    bench.recorder.expect("b: answer of e2", "c → e2")
    bench.complete("a", on: 1)
    bench.recorder.expect("a: answer of e1", "d → e1")
  }

  @Test("targets that are not there are an impossible dependency; one that is keeps the task waiting for any")
  func missingTargets() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", targets: [7])
    bench.recorder.expect("a: ImpossibleDependency")
    bench.submit("b")
    bench.submit("c", targets: [0, 5, 6])
    bench.recorder.expect("b → e0")
    bench.register(6)
    bench.recorder.expect("c → e6")
    bench.recorder.expectNothingElse()
  }

  @Test("the same target twice is one target")
  func repeatedTargets() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.submit("b", retries: 1, targets: [0, 0, 0])
    bench.complete("a", on: 0)
    bench.complete("b", on: 0, .error)
    bench.recorder.expect("a → e0", "a: answer of e0", "b → e0", "b → e0")
  }

  // MARK: abort

  @Test("an abort that overtakes its task holds, once; the latest are remembered")
  func earlyAbort() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("ended")
    bench.complete("ended", on: 0)
    bench.abort("a", "ended")
    bench.submit("a", retries: 3)
    bench.submit("b", after: .all("a"))
    bench.recorder.expect("ended → e0", "ended: answer of e0", "a: aborted", "b: ImpossibleDependency")

    var aborts = EarlyAborts(capacity: 2)
    for id in ["a", "b", "b", "c", "d", "e"] as [MessageID] { aborts.note(id) }
    #expect(!aborts.takes("a") && !aborts.takes("b") && aborts.takes("c") && aborts.takes("e") && !aborts.takes("e"))
  }

  @Test("abort: waiting and queued tasks are answered, those on engines are not touched")
  func abort() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.submit("b")
    bench.submit("c", after: .all("a"))
    bench.submit("d", after: .all("b"))
    bench.submit("e", after: .all("b", success: false, failure: true))
    bench.submit("f", targets: [0])
    bench.abort("a", "b", "c", "f", "unknown")
    bench.recorder.expect("a → e0", "b: aborted", "d: ImpossibleDependency", "c: aborted", "f: aborted")
    bench.abort("b", "c")
    bench.recorder.expectNothingElse()
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0", "e → e0")
  }

  @Test("engines that register twice, and are lost twice")
  func registrations() {
    var bench = SchedulerBench(engines: 1)
    bench.register(0)
    bench.lose(0)
    bench.lose(0)
    bench.lose(9)
    bench.submit("a")
    bench.recorder.expectNothingElse()
    bench.register(0)
    bench.register(0)
    bench.recorder.expect("a → e0")
    #expect(bench.state.engines.registeredCount == 1)
  }

  /// Found by the simulation (seed 3903545886).
  @Test("when an engine goes, what waits for the failure of its tasks does not go before what may be tried elsewhere now")
  func hopelessLast() throws {
    var state = TaskSchedulerState()
    var effects = SchedulerRecorder()
    let now = ContinuousClock.now
    func submit(_ id: MessageID, _ metadata: JSONObject) throws {
      let message = Messages.request(id, metadata: .object(metadata))
      state.submit(try TaskRequest(message, id: id), now: now, effects: &effects)
    }
    for uuid in ["e0", "e1"] as [EngineUUID] { state.engineRegistered(uuid, now: now, effects: &effects) }
    try submit("busy", ["targets": ["e1"]])
    try submit("hopeless", ["targets": ["e1"]])
    try submit("again", ["retries": 1])
    let failure = TaskReply(id: "again", message: Messages.reply(to: "again", from: "e0"), status: .error)
    state.completed(failure, by: "e0", now: now, effects: &effects)
    try submit(
      "after", ["priority": -1, "after": ["dependencies": ["hopeless"], "all": true, "success": false, "failure": true]])
    effects.expect("busy → e1", "again → e0")
    state.engineLost("e1", cause: .disconnected, grace: .seconds(1), now: now, effects: &effects)
    effects.expect("again → e0", "hopeless: ImpossibleDependency")
  }
}
