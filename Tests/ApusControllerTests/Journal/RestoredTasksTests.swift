import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// What tasks of the controller before may do after a restart, and where; most of it was found by the simulation.
@Suite("Task scheduler: restored tasks")
struct RestoredTasksTests {
  private struct Bench {
    var state = TaskSchedulerState()
    var effects = SchedulerRecorder()
    var now = ContinuousClock.now
    var wall = Timestamp(microseconds: 1_800_000_000_000_000)

    mutating func restore(_ tasks: [RestatedTask], engines: [EngineUUID] = []) {
      restore(Restorer.Restored(tasks: tasks), engines: engines)
    }
    mutating func restore(_ restored: Restorer.Restored, engines: [EngineUUID]) {
      state.restore(restored, engines: engines, JournalConfiguration(), now: now, wall: wall, effects: &effects)
      check()
    }
    /// It comes back and says what it has.
    mutating func back(_ uuid: EngineUUID, _ ids: MessageID..., resources: [String: Double] = [:]) {
      state.engineRegistered(uuid, resources: resources, now: now, effects: &effects)
      check()
      _ = state.accounted(ids, by: uuid, now: now, effects: &effects)
      check()
    }
    mutating func complete(_ id: MessageID, by uuid: EngineUUID, _ status: TaskReply.Status = .ok) {
      let reply = TaskReply(id: id, message: Messages.reply(to: id, from: uuid.text), status: status)
      state.completed(reply, by: uuid, now: now, effects: &effects)
      check()
    }
    mutating func submit(_ id: MessageID, _ metadata: JSONObject = [:]) throws {
      let message = Messages.request(id, metadata: .object(metadata))
      state.submit(try TaskRequest(message, id: id), now: now, effects: &effects)
      check()
    }
    mutating func pass(_ seconds: Double) {
      now += .seconds(seconds)
      wall = wall.advanced(by: .seconds(seconds))
      state.expire(now: now, effects: &effects)
      check()
    }
    /// What the next controller knows.
    func restarted() -> Bench {
      var restorer = Restorer()
      JournalBlockTests.block(state.snapshot(now: now, wall: wall)).withUnsafeBytes { restorer.read(segment: $0, name: "") }
      var bench = Bench()
      (bench.now, bench.wall) = (now, wall)
      bench.restore(restorer.finish(), engines: state.engines.engines.map(\.uuid))
      return bench
    }
    func check(_ location: SourceLocation = #_sourceLocation) {
      #expect(state.checkInvariants() == [], sourceLocation: location)
      #expect(effects.stories.wrong == [], sourceLocation: location)
    }
  }

  private func task(_ id: MessageID, on engine: EngineUUID? = nil, spent: Int = 0, _ metadata: JSONObject = [:]) -> RestatedTask {
    RestatedTask(
      id: id, message: Messages.request(id, metadata: .object(metadata)), engine: engine, attempt: spent, spentRetries: spent)
  }

  @Test("an engine gets another task when the one that the journal knew there turns out to be elsewhere")
  func claimedElsewhere() {
    var bench = Bench()
    bench.restore([task("a", on: "e0"), task("b"), task("c", on: "e1")], engines: ["e0", "e1"])
    // It is busy, and says later what it has.
    bench.state.engineRegistered("e0", running: ["x": 0], now: bench.now, effects: &bench.effects)
    // Nothing is held any more, and nobody waits for its account any longer.
    for _ in 0..<2 { bench.pass(2) }
    bench.effects.expect()
    bench.back("e1", "a", "c")
    bench.effects.expect("b → e0")
  }

  @Test("the same where the other one runs it")
  func runsElsewhere() {
    var bench = Bench()
    bench.restore([task("a", on: "e0"), task("b"), task("c", on: "e1")], engines: ["e0", "e1"])
    bench.state.engineRegistered("e0", running: ["x": 0], now: bench.now, effects: &bench.effects)
    // Nothing is held any more, and nobody waits for its account any longer.
    for _ in 0..<2 { bench.pass(2) }
    bench.state.engineRegistered("e1", running: ["a": 0], now: bench.now, effects: &bench.effects)
    bench.check()
    bench.effects.expect("b → e0")
  }

  @Test("an engine gets another task when it does not have the one that the journal knew there, and may not have it again")
  func notThere() {
    var bench = Bench()
    bench.restore([task("a", on: "e0", ["targets": ["e1"]]), task("b")], engines: ["e0", "e1"])
    bench.state.engineRegistered("e0", running: ["x": 0], now: bench.now, effects: &bench.effects)
    // Nothing is held any more, and nobody waits for its account any longer.
    for _ in 0..<2 { bench.pass(2) }
    _ = bench.state.accounted([], by: "e0", now: bench.now, effects: &bench.effects)
    bench.check()
    bench.effects.expect("b → e0")
  }

  @Test(
    "a failure of a later try than the journal knows of counts for those before it, too", arguments: [EngineUUID?.none, "e0", "e1"])
  func laterFailure(place: EngineUUID?) {
    var bench = Bench()
    bench.restore([task("a", on: place, ["retries": 2])], engines: ["e0", "e1"])
    // It failed on e0 and then on e1, and neither was written.
    bench.state.engineRegistered("e1", now: bench.now, effects: &bench.effects)
    let found1 = bench.state.accounted(["a"], failed: ["a": 1], by: "e1", now: bench.now, effects: &bench.effects)
    #expect(found1 == [])
    bench.check()
    #expect(bench.state.tasks["a"]?.attempt == 1 && bench.state.tasks["a"]?.constraints.retries == 1)
    bench.complete("a", by: "e1", .error)
    bench.state.engineRegistered("e0", now: bench.now, effects: &bench.effects)
    let found2 = bench.state.accounted(["a"], failed: ["a": 0], by: "e0", now: bench.now, effects: &bench.effects)
    #expect(found2 == ["a"])
    bench.check()
    bench.complete("a", by: "e0", .error)
    #expect(bench.effects.messages == ["a → e1"] && bench.effects.attempts["a"] == [2])
    bench.complete("a", by: "e1", .error)
    #expect(bench.effects.answers == ["a": 1])
  }

  @Test("the same of a try that has not begun, or runs", arguments: [false, true])
  func laterTry(runs: Bool) {
    var bench = Bench()
    bench.restore([task("a", ["retries": 2])], engines: ["e0"])
    bench.state.engineRegistered("e0", running: runs ? ["a": 2] : [:], now: bench.now, effects: &bench.effects)
    _ = bench.state.accounted(["a"], waiting: runs ? [:] : ["a": 2], by: "e0", now: bench.now, effects: &bench.effects)
    bench.check()
    bench.complete("a", by: "e0", .error)
    bench.effects.expect("a: answer of e0")
  }

  // MARK: targets

  @Test("a task for an engine that is back, and has no place yet because others are not, waits for it")
  func targetIsBack() throws {
    var bench = Bench()
    bench.restore([], engines: ["e0", "e1"])
    bench.back("e0")
    try bench.submit("a", ["targets": ["e0"]])
    try bench.submit("b", ["targets": ["e2"]])
    bench.effects.expect("b: ImpossibleDependency")
    bench.pass(2)
    bench.effects.expect("a → e0")
  }

  @Test("a task that has failed on the only engine that it may have is tried there again")
  func failedOnTarget() {
    var bench = Bench()
    var failed = task("a", spent: 1, ["targets": ["e0"], "retries": 2])
    failed.refused = ["e0"]
    bench.restore([failed], engines: ["e0"])
    bench.effects.expect()
    bench.back("e0")
    bench.effects.expect("a → e0")
    bench.complete("a", by: "e0", .error)
    bench.effects.expect("a → e0")
    bench.complete("a", by: "e0", .error)
    bench.effects.expect("a: answer of e0")
  }

  @Test("the same where it was on its way there again, and did not come")
  func failedOnTargetAndLost() {
    var bench = Bench()
    var failed = task("a", on: "e0", spent: 1, ["retries": 2])
    failed.refused = ["e0"]
    bench.restore([failed], engines: ["e0", "e1"])
    // It has its place before it says what it has.
    bench.state.engineRegistered("e0", running: ["x": 0], now: bench.now, effects: &bench.effects)
    // Nothing is held any more, and nobody waits for its account any longer.
    for _ in 0..<2 { bench.pass(2) }
    bench.effects.expect()
    _ = bench.state.accounted(["x"], by: "e0", now: bench.now, effects: &bench.effects)
    bench.check()
    bench.effects.expect("a → e0")
  }

  @Test("what an engine has is not known before it is back", arguments: [1, 2])
  func unknownResources(amount: Int) {
    var bench = Bench()
    bench.restore([task("a", ["targets": ["e0"], "resources": ["gpu": .int(amount)]])], engines: ["e0", "e1"])
    bench.effects.expect()
    bench.back("e0", resources: ["gpu": 1])
    bench.pass(2)
    if amount == 1 { bench.effects.expect("a → e0") }
  }

  // MARK: rests

  @Test("a task rests as long as it asked for, whatever controller there is")
  func rests() throws {
    var bench = Bench()
    bench.back("e0")
    try bench.submit("a", ["retries": 2, "retry_delay": 10])
    bench.complete("a", by: "e0", .error)
    bench.pass(4)
    bench = bench.restarted()
    bench.back("e0")
    bench.pass(5.9)
    bench.effects.expect()
    bench.pass(0.2)
    bench.effects.expect("a → e0")
    // The second pause is twice as long; a part of it passes while no controller is there.
    bench.complete("a", by: "e0", .error)
    bench = bench.restarted()
    bench.wall = bench.wall.advanced(by: .seconds(15))
    bench = bench.restarted()
    bench.back("e0")
    bench.pass(19.9)
    bench.effects.expect()
    bench.pass(0.2)
    bench.effects.expect("a → e0")
  }

  @Test(
    "of its rest so much is left, whatever clocks say", arguments: [(-11.0, 0.0), (-10, 0), (-4, 6), (0, 10), (3600, 10)])
  func restLeft(since: Double, left: Double) {
    var bench = Bench()
    var resting = task("a", spent: 1, ["retries": 1, "retry_delay": 10])
    resting.restsSince = bench.wall.advanced(by: .seconds(since))
    bench.restore([resting], engines: ["e0"])
    bench.back("e0")
    if left > 0 {
      bench.pass(left - 0.1)
      bench.effects.expect()
      bench.pass(0.2)
    }
    bench.effects.expect("a → e0")
  }

  @Test("an engine that has a task which is to rest has it")
  func claimedWhileResting() {
    var bench = Bench()
    var resting = task("a", spent: 1, ["retries": 1, "retry_delay": 10])
    resting.restsSince = bench.wall
    bench.restore([resting], engines: ["e0"])
    bench.back("e0", "a")
    bench.complete("a", by: "e0")
    bench.pass(11)
    bench.effects.expect("a: answer of e0")
  }

  // MARK: aborts

  @Test("a task that was aborted while it ran is not tried again after a restart", arguments: [false, true])
  func unwanted(isInSnapshot: Bool) throws {
    var bench = Bench()
    bench.back("e0")
    try bench.submit("a", ["retries": 3])
    bench.state.abort(["a"], now: bench.now, effects: &bench.effects)
    bench.state.abort(["a"], now: bench.now, effects: &bench.effects)
    #expect(bench.effects.unwanted == ["a"])
    if isInSnapshot {
      bench = bench.restarted()
    } else {
      var other = task("a", on: "e0", ["retries": 3])
      other.spentRetries = Int(Int32.max)
      bench = Bench()
      bench.restore([other], engines: ["e0"])
    }
    bench.back("e0", "a")
    bench.complete("a", by: "e0", .error)
    bench.effects.expect("a: answer of e0")
  }

  // MARK: dependencies

  @Test("what had ended before the journal began anew may be named, by the next controller and by the one after that")
  func namesEnded() throws {
    var bench = Bench()
    bench.back("e0")
    bench.back("e1")
    try bench.submit("a")
    try bench.submit("b")
    bench.complete("a", by: "e1")
    bench.complete("b", by: "e0", .error)
    for _ in 0..<2 {
      bench = bench.restarted()
      bench.back("e0")
      bench.back("e1")
      try bench.submit("c", ["after": ["a"]])
      bench.effects.expect("c → e1")
      bench.complete("c", by: "e1")
      try bench.submit("d", ["follow": ["a"]])
      try bench.submit("e", ["after": ["b"]])
      try bench.submit("f", ["after": ["x"]])
      bench.effects.expect("c: answer of e1", "d → e1", "e: ImpossibleDependency")
      // Its client might have sent `x` a second time.
      bench.pass(5)
      bench.effects.expect("f: InvalidDependency")
      bench.complete("d", by: "e1")
      bench.state = { state in
        var copy = TaskSchedulerState()
        var effects = SchedulerRecorder()
        copy.restore(
          Restorer.Restored(ended: state.finished.parts(in: state.engines).map { Self.without(["c", "d", "e", "f"], $0) }),
          engines: state.engines.engines.map(\.uuid), JournalConfiguration(), now: bench.now, wall: bench.wall, effects: &effects)
        return copy
      }(bench.state)
    }
  }

  private static func without(_ ids: [MessageID], _ part: EndedTasks) -> EndedTasks {
    var part = part
    let codes = Set(ids.map { Int(truncatingIfNeeded: $0.code(seed: part.seed)) })
    part.ends.removeAll { codes.contains($0.code) }
    return part
  }

  @Test("who still waits for such a task has not got its result, and it runs again")
  func hearsay() throws {
    var bench = Bench()
    bench.back("e0")
    try bench.submit("a")
    bench.complete("a", by: "e0")
    bench = bench.restarted()
    bench.back("e0")
    let found3 = bench.state.resumed(["a"], by: Frame("again"), effects: &bench.effects)
    #expect(found3 == .init(unknown: ["a"]))
    try bench.submit("a")
    bench.complete("a", by: "e0")
    bench.effects.expect("a → e0", "a: answer of e0")
    let found4 = bench.state.resumed(["a"], by: Frame("again"), effects: &bench.effects)
    #expect(found4 == .init(gone: ["a"]))
  }

  @Test("retries that are spent are spent for the controllers after the next as well", arguments: [1, 2, Int(Int32.max)])
  func spentRetries(_ spent: Int) {
    let (id, engine): (MessageID, EngineUUID) = ("a", "e0")
    for place in [nil, engine] {
      let message = Messages.request(id, metadata: ["retries": 2])
      var bench = Bench()
      bench.restore([RestatedTask(id: id, message: message, engine: place, spentRetries: spent)], engines: [engine])
      for _ in 0..<3 {
        let kept = bench.state.snapshot(now: bench.now, wall: bench.wall).compactMap { entry -> Int? in
          if case .restated(let task) = entry { task.spentRetries } else { nil }
        }
        #expect(kept == [min(spent, 2)])
        bench = bench.restarted()
      }
    }
  }
}
