import ApusMessaging
import Testing

@testable import ApusController

/// Engines of the controller before that have not said what they have.
@Suite("Task scheduler: engines that owe their account")
struct LatecomersTests {
  /// Found by the simulation, seed 1000000322: it had joined in the last moments before the end.
  @Test(
    "an engine of before says what it has before it gets anything, whether the journal knows it or not, and whenever it comes",
    arguments: [(true, true), (true, false), (false, true), (false, false)])
  func engineOfTheLastMoments(isKnown: Bool, isLate: Bool) {
    var bench = RecoveryBench()
    bench.restore([], engines: isKnown ? ["e0", "e1"] : ["e0"])
    #expect(bench.resume("a").unknown == ["a"])
    bench.register("e0")
    if !isLate { bench.register("e1", isOfBefore: true) }
    #expect(bench.account("e0") == [])
    if isLate {
      // Nothing is held any more.
      bench.pass(2)
      bench.lose("e0")
      bench.register("e1", isOfBefore: true)
    }
    bench.submit("a")
    bench.effects.expect()
    #expect(bench.account("e1", "a") == [])
    bench.complete("a", by: "e1")
    #expect(bench.effects.answers == ["a": 1] && bench.effects.attempts.isEmpty, "it is not run again")
    // Once it has said so it is as any other.
    bench.submit("b")
    #expect(bench.effects.attempts.keys.contains("b"))
  }

  @Test("an engine that is cut off before it has said what it has is waited for again, and one that has said it is not")
  func cutOffBeforeItsAccount() {
    var bench = RecoveryBench()
    bench.restore([], engines: ["e0", "e1"])
    #expect(bench.resume("a").unknown == ["a"])
    bench.register("e0")
    bench.register("e1", isOfBefore: true)
    bench.lose("e1")
    #expect(bench.account("e0") == [])
    bench.lose("e0")
    for _ in 0..<2 {
      bench.register("e1", isOfBefore: true)
      bench.submit("a")
      bench.effects.expect()
      bench.lose("e1")
    }
    // It runs something, perhaps for somebody else: it has as much to say.
    bench.register("e1", running: ["x": 0], isOfBefore: true)
    bench.effects.expect()
    #expect(bench.account("e1", "a") == [])
    bench.complete("a", by: "e1")
    #expect(bench.effects.answers == ["a": 1] && bench.effects.attempts.isEmpty)
    bench.lose("e1")
    bench.register("e1", isOfBefore: true)
    bench.submit("b")
    #expect(bench.effects.attempts.keys.contains("b"))
  }

  @Test("an engine of the last moments has as long as others to say what it has, though nothing is held any more")
  func endOfTheHold() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("b")], engines: ["e0", "away"])
    bench.register("e0")
    #expect(bench.account("e0") == [])
    bench.pass(1.9)
    bench.register("e1", isOfBefore: true)
    bench.pass(0.2)
    bench.effects.expect("b → e0")
    bench.submit("a")
    bench.pass(1.5)
    bench.effects.expect()
    #expect(bench.account("e1", "a") == [])
    bench.complete("a", by: "e1")
    #expect(bench.effects.answers == ["a": 1] && bench.effects.attempts["a"] == nil)
  }

  @Test("an engine that was silent, and is back with what it runs, is not given up while it is to say what it has")
  func silentWhileItRuns() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("t", on: "e0")], engines: ["e0"])
    bench.register("e0", running: ["t": 0])
    bench.lose("e0", .silent)
    bench.register("e0", running: ["t": 0], isOfBefore: true)
    bench.pass(10)
    bench.effects.expect()
    bench.lose("e0", .silent)
    bench.register("e0", running: ["t": 0], isOfBefore: true)
    bench.pass(10)
    bench.effects.expect()
    #expect(bench.account("e0") == [])
    bench.complete("t", by: "e0")
    #expect(bench.effects.answers == ["t": 1] && bench.effects.attempts.isEmpty)
  }

  @Test("what was on its way to an engine that was cut off is tried again, though the engine had not said what it has")
  func cutOffWhileItOwes() {
    var bench = RecoveryBench()
    bench.restore([], engines: ["e0"])
    bench.register("e0", running: ["direct": 0])
    bench.pass(2)
    bench.submit("a", retries: 1)
    bench.effects.expect("a → e0")
    bench.lose("e0", .silent)
    bench.register("e0", running: ["direct": 0], wasCutOff: true, isOfBefore: true)
    bench.pass(10)
    bench.effects.expect("a → e0")
    bench.complete("a", by: "e0", attempt: 1)
    #expect(bench.effects.answers == ["a": 1])
  }

  @Test("what an engine says it has that dies before it has its place is given up", arguments: [false, true])
  func diesBehindItsAccount(isSubmitted: Bool) {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    if isSubmitted { bench.submit("a") }
    #expect(bench.account("e0", "a", waiting: ["a": 0]) == [])
    if !isSubmitted { bench.submit("a") }
    bench.effects.expect()
    bench.pass(31)
    #expect(bench.effects.messages == ["a: EngineError"] || bench.effects.messages == ["a → e1"], "\(bench.effects.messages)")
  }

  @Test("a task for an engine that goes again before it has its place ends", arguments: [false, true])
  func targetThatGoes(isLate: Bool) {
    var bench = RecoveryBench()
    bench.restore([], engines: ["e0"])
    if isLate { bench.pass(2) }
    bench.register("e0")
    bench.submit("a", targets: ["e0"])
    bench.effects.expect()
    bench.lose("e0")
    bench.effects.expect("a: ImpossibleDependency")
  }

  @Test("an engine of before that says nothing is not waited for longer than others, and one that goes is not waited for")
  func silentLatecomers() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    for engine in ["e0", "e1", "e2"] as [EngineUUID] { bench.register(engine, isOfBefore: true) }
    // This one has said it before it had its place.
    #expect(bench.account("e3") == [])
    bench.lose("e1")
    bench.submit("a")
    bench.effects.expect()
    bench.register("e3", isOfBefore: true)
    bench.effects.expect("a → e3")
    bench.complete("a", by: "e3")
    bench.lose("e3")
    bench.submit("b")
    bench.pass(1.9)
    #expect(bench.effects.attempts["b"] == nil)
    bench.pass(0.2)
    #expect(bench.effects.attempts["b"] != nil)
    for engine in ["e0", "e2"] as [EngineUUID] { bench.complete("b", by: engine) }
    #expect(bench.effects.answers == ["a": 1, "b": 1])
  }

  @Test("of an engine that is drained it is known what it has before it may be told to end", arguments: [false, true])
  func drainedBeforeItsAccount(isLate: Bool) {
    var bench = RecoveryBench()
    bench.restore([], engines: ["e0", "e1", "e2"])
    if isLate { bench.pass(2.1) }
    for engine in ["e0", "e1", "e2"] as [EngineUUID] {
      bench.register(engine)
      bench.state.drain(engine, now: bench.now, effects: &bench.effects)
    }
    bench.register("new")
    #expect(bench.account("e0") == [])
    bench.lose("e1")
    #expect((["e0", "e1", "e2", "new"] as [EngineUUID]).map { bench.state.awaitsAccount(of: $0) } == [false, false, true, false])
    // It says nothing.
    bench.pass(2.1)
    #expect(!bench.state.awaitsAccount(of: "e2"))
  }

  /// Found by the simulation, seed 1600002244.
  @Test("a failure of a later try than the journal knows of counts for it, though it comes before the account that says so")
  func failureBeforeTheAccount() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 3)], engines: ["e0"])
    bench.register("e0")
    bench.complete("a", by: "e0", .error, attempt: 1)
    #expect(bench.account("e0", "a", failed: ["a": 1]) == ["a"])
    bench.complete("a", by: "e0", .error, attempt: 2)
    bench.complete("a", by: "e0", .error, attempt: 3)
    #expect(bench.effects.attempts == ["a": [2, 3]])
    #expect(bench.effects.answers == ["a": 1])
    #expect(bench.state.tasks.isEmpty)
  }
}
