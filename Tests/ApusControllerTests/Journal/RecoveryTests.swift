import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// The task scheduler after a restart: what engines and clients that come back make of what the journal knew.
@Suite("Task scheduler: recovery")
struct RecoveryTests {
  @Test("what is restored is sent as another attempt: an engine may have had it, and takes no message twice")
  func attempts() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a"), RecoveryBench.task("b", on: "e0", retries: 2)], engines: ["e0"])
    bench.register("e0")
    #expect(bench.account("e0") == [])
    bench.complete("a", by: "e0")
    bench.complete("b", by: "e0", .error)
    bench.complete("b", by: "e0")
    #expect(bench.effects.attempts.values.allSatisfy { !$0.contains(nil) && Set($0).count == $0.count })
    #expect(Set(bench.effects.attempts.keys) == ["a", "b"])
    #expect(bench.effects.answers == ["a": 1, "b": 1])
  }

  @Test(
    "what a client sends again because nobody knows it is another attempt, too: an engine of which nobody knows may have had it")
  func unknownTasks() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    #expect(bench.resume("a", "b").unknown == ["a", "b"])
    for id in ["a", "b", "new"] as [MessageID] { bench.submit(id) }
    for id in ["a", "b", "new"] as [MessageID] { bench.complete(id, by: "e0") }
    #expect(bench.effects.attempts == ["a": [0], "b": [0], "new": [nil]])
    #expect(bench.effects.answers == ["a": 1, "b": 1, "new": 1])
  }

  @Test("a reply that comes before its engine's account ends its task, wherever that was believed to be")
  func overtakenAccount() {
    var bench = RecoveryBench()
    bench.restore(
      [
        RecoveryBench.task("queued"), RecoveryBench.task("elsewhere", on: "e1"), RecoveryBench.task("resting", retries: 1),
        RecoveryBench.task("failed", retries: 2, spent: 1, refused: ["e0"]),
      ], engines: ["e0", "e1"])
    bench.submit("waiting", after: Dependency(["failed"]))
    for engine in ["e0", "e1"] as [EngineUUID] { bench.register(engine) }
    for id in ["queued", "elsewhere", "waiting"] as [MessageID] { bench.complete(id, by: "e0") }
    bench.complete("resting", by: "e0", .error, attempt: 0)
    // That failure has been counted.
    bench.complete("failed", by: "e0", .error, attempt: 0)
    #expect(bench.effects.answers == ["queued": 1, "elsewhere": 1, "waiting": 1])
    let told = bench.account(
      "e0", "queued", "elsewhere", "waiting", "resting", "failed", failed: ["resting": 0, "failed": 0])
    #expect(told == ["queued", "elsewhere", "waiting", "resting", "failed"])
    #expect(bench.account("e1") == [])
    for id in ["resting", "failed"] as [MessageID] { bench.complete(id, by: "e1") }
    #expect(bench.effects.attempts == ["resting": [1], "failed": [1]])
    #expect(bench.effects.answers == ["queued": 1, "elsewhere": 1, "waiting": 1, "resting": 1, "failed": 1])
    #expect(bench.state.tasks.isEmpty)
  }

  @Test("long after a restart, who runs a task ends it, whatever an engine that was given up says of it")
  func lateReply() throws {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", retries: 1)], engines: ["e0", "e1"])
    for engine in ["e0", "e1"] as [EngineUUID] {
      bench.register(engine)
      #expect(bench.account(engine) == [])
    }
    bench.pass(120)
    let task = try #require(bench.state.tasks["a"])
    guard case .placed(let index) = task.phase else { throw CancellationError() }
    let engine = bench.state.engines[index].uuid
    let other: EngineUUID = engine == "e0" ? "e1" : "e0"
    bench.complete("a", by: other)
    // Its account says the same.
    #expect(bench.account(other, "a") == [])
    #expect(bench.effects.answers == [:])
    bench.complete("a", by: engine)
    #expect(bench.effects.answers == ["a": 1])
  }

  @Test("what has failed before its engine's account, and is there again, is not sent there once more because of it")
  func failedBeforeTheAccount() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 2)], engines: ["e0"])
    bench.register("e0")
    for _ in 0..<2 { bench.pass(2.5) }
    bench.complete("a", by: "e0", .error, attempt: 0)
    #expect(bench.effects.attempts == ["a": [1]])
    #expect(bench.account("e0", "a", failed: ["a": 0]) == ["a"])
    #expect(bench.effects.attempts == ["a": [1]])
    bench.complete("a", by: "e0", attempt: 1)
    #expect(bench.effects.answers == ["a": 1])
  }

  @Test("what an engine has is its own where neither the journal nor the list of engines knew of it")
  func unknownEngines() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    #expect(bench.account("e0", "a") == [])
    bench.complete("a", by: "e0")
    #expect(bench.resume("a").unknown == ["a"])
    bench.submit("a")
    #expect(bench.effects.answers == ["a": 1] && bench.effects.attempts.isEmpty, "it is not run again")
  }

  @Test("a failure that the journal has counted is not counted again when its engine, which was not told, sends it once more")
  func countedFailure() {
    var bench = RecoveryBench()
    // It failed on e0, which waited to be told that this is written; in the journal it waits, or is on its way to e0 again.
    bench.restore(
      [
        RecoveryBench.task("a", retries: 2, spent: 1, refused: ["e0"]),
        RecoveryBench.task("b", on: "e0", retries: 2, spent: 1, refused: ["e0"]),
        RecoveryBench.task("c", on: "e0", retries: 2),
      ],
      engines: ["e0"])
    bench.register("e0")
    // Of `c` the failure is news.
    #expect(bench.account("e0", "a", "b", "c", failed: ["a": 0, "b": 0, "c": 0]) == ["a", "b"])
    for id in ["a", "b", "c"] as [MessageID] { bench.complete(id, by: "e0", .error, attempt: 0) }
    bench.effects.expect("a → e0")
    #expect(bench.effects.attempts["a"] == [1])
    for attempt in 1...2 { bench.complete("a", by: "e0", .error, attempt: attempt) }
    bench.effects.expect("a → e0", "a: answer of e0", "b → e0")
    // What never came there is another attempt, and no try.
    for attempt in 1...2 { bench.complete("b", by: "e0", .error, attempt: attempt) }
    bench.effects.expect("b → e0", "b: answer of e0", "c → e0")
    for attempt in 1...2 { bench.complete("c", by: "e0", .error, attempt: attempt) }
    bench.effects.expect("c → e0", "c: answer of e0")
    #expect(bench.effects.answers == ["a": 1, "b": 1, "c": 1])
  }

  @Test("an engine said that it runs a task, and the failure of that try came before its registration: it does not run it any more")
  func ranMeanwhile() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 2)], engines: ["e0"])
    bench.complete("a", by: "e0", .error, attempt: 0)
    bench.register("e0", running: ["a": 0])
    bench.pass(2)
    bench.effects.expect("a → e0")
    // What waits there is of a try that was given up, or of this one.
    #expect(bench.account("e0", "a", waiting: ["a": 1]) == [])
    bench.complete("a", by: "e0", attempt: 1)
    bench.effects.expect("a: answer of e0")
  }

  /// Found by the simulation: its failure was taken for an earlier one's, and it was waited for for ever.
  @Test("a task waits on another engine than the journal believes: what becomes of it there counts")
  func waitsElsewhere() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 1)], engines: ["e0", "e1"])
    bench.register("e1")
    #expect(bench.account("e1", "a", waiting: ["a": 0]) == [])
    bench.register("e0")
    #expect(bench.account("e0") == [])
    bench.complete("a", by: "e1", .error, attempt: 0)
    bench.effects.expect("a → e0")
    bench.complete("a", by: "e0", .error, attempt: 1)
    bench.effects.expect("a: answer of e0")
  }

  @Test("what has been given up and waits on its engine all the same is not what the journal says is there")
  func givenUpAndWaiting() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 2, spent: 1)], engines: ["e0"])
    bench.register("e0")
    #expect(bench.account("e0", "a", waiting: ["a": 0]) == [])
    bench.effects.expect("a → e0")
  }

  @Test("a result that an engine has kept ends the task, wherever the journal believes it to be")
  func resultElsewhere() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 1)], engines: ["e0", "e1"])
    bench.register("e1")
    #expect(bench.account("e1", "a") == [])
    bench.complete("a", by: "e1")
    bench.effects.expect("a: answer of e1")
    bench.register("e0")
    #expect(bench.account("e0", "a", failed: ["a": 0]) == ["a"])
    bench.complete("a", by: "e0", .error, attempt: 0)
    bench.effects.expect()
  }

  @Test("what is restored is known for it, whatever its priority", arguments: [-3, 0, 3])
  func priorities(priority: Int) {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", ["priority": .int(priority)])], engines: ["e0"])
    bench.submit("b")
    bench.register("e0")
    #expect(bench.account("e0") == [])
    for id in priority < 0 ? ["b", "a"] : ["a", "b"] as [MessageID] { bench.complete(id, by: "e0") }
    #expect(bench.effects.attempts == ["a": [0], "b": [nil]])
    bench.effects.forget()
    // Its client is not back yet; that of the other is.
    #expect(bench.resume("a", "b") == .init(gone: ["b"]))
    bench.effects.expect("a: answer of e0")
  }

  @Test("nothing is placed before the engines of before have said what they have")
  func hold() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a"), RecoveryBench.task("b")], engines: ["e0", "e1"])
    bench.register("e0")
    bench.effects.expect()
    #expect(bench.account("e0") == [])
    bench.effects.expect()
    bench.register("e1")
    #expect(bench.account("e1") == [])
    bench.effects.expect("a → e0", "b → e1")
    bench.complete("a", by: "e0")
    bench.complete("b", by: "e1")
    bench.effects.expect("a: answer of e0", "b: answer of e1")
    #expect(bench.state.tasks.isEmpty)
  }

  @Test("an engine that does not come back holds up the others for a moment only")
  func holdEnds() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a")], engines: ["e0", "e1"])
    bench.register("e0")
    #expect(bench.account("e0") == [])
    bench.pass(1.9)
    bench.effects.expect()
    bench.pass(0.2)
    bench.effects.expect("a → e0")
  }

  @Test("an engine that is new needs not wait for those of before longer than they do")
  func newEngine() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a")], engines: ["e0"])
    bench.register("new")
    bench.effects.expect()
    bench.pass(2)
    bench.effects.expect("a → new")
  }

  @Test("without engines of before the tasks wait for the first that comes")
  func noEngines() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a")])
    bench.register("new")
    bench.effects.expect("a → new")
  }

  @Test("a task that its engine still has is left to it")
  func confirmed() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0"), RecoveryBench.task("b")])
    bench.register("e0")
    #expect(bench.account("e0", "a") == [])
    bench.effects.expect()
    bench.complete("a", by: "e0")
    bench.effects.expect("a: answer of e0", "b → e0")
  }

  @Test("a task that never reached its engine is placed anew, and no try is spent")
  func undelivered() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0")])
    bench.register("e0")
    #expect(bench.account("e0") == [])
    bench.effects.expect("a → e0")
    #expect(bench.effects.events.contains("retried a e0 undelivered"))
  }

  @Test("an engine has a task that the journal believes to wait: it is not run twice")
  func claimed() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a"), RecoveryBench.task("b")], engines: ["e0", "e1"])
    bench.register("e0", running: ["a": 0])
    bench.register("e1")
    #expect(bench.account("e1", "b") == [])
    bench.effects.expect()
    bench.complete("b", by: "e1")
    bench.complete("a", by: "e0")
    bench.effects.expect("b: answer of e1", "a: answer of e0")
    #expect(bench.account("e0") == [])
    #expect(bench.state.tasks.isEmpty)
  }

  @Test("the account may come before the registration")
  func early() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0"), RecoveryBench.task("b")])
    #expect(bench.account("e0", "a") == [])
    bench.complete("a", by: "e0")
    bench.effects.expect("a: answer of e0")
    bench.register("e0")
    bench.effects.expect("b → e0")
  }

  @Test("a task runs elsewhere than the journal believes")
  func moved() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 2)], engines: ["e0", "e1"])
    bench.register("e1", running: ["a": 0])
    bench.register("e0")
    // It failed there before, and that reply was not written down.
    #expect(bench.account("e0", "a", failed: ["a": 0]) == ["a"])
    bench.complete("a", by: "e0", .error, attempt: 0)
    bench.effects.expect()
    bench.complete("a", by: "e1")
    bench.effects.expect("a: answer of e1")
  }

  @Test("an engine that does not come back in time loses its tasks: they are tried again if they may be")
  func absent() {
    var bench = RecoveryBench()
    bench.restore([
      RecoveryBench.task("a", on: "e0"), RecoveryBench.task("b", on: "e0", retries: 1),
      RecoveryBench.task("c", on: "e0", retries: 1, spent: 1),
    ])
    bench.register("e1")
    bench.pass(29)
    bench.effects.expect()
    bench.pass(1)
    bench.effects.expect("a: EngineError", "b → e1", "c: EngineError")
    // Too late.
    bench.register("e0")
    bench.complete("a", by: "e0")
    bench.effects.expect()
  }

  @Test("an engine of ipyparallel says nothing of what it has: what it answers in time counts")
  func stockEngine() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0"), RecoveryBench.task("b", on: "e0"), RecoveryBench.task("c")])
    bench.register("e0", accounts: false)
    bench.complete("a", by: "e0")
    bench.effects.expect("a: answer of e0")
    bench.pass(30)
    bench.effects.expect("b: EngineError", "c → e0")
  }

  @Test("an engine that came back and is lost takes its tasks with it")
  func lostAgain() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0", retries: 1), RecoveryBench.task("b")], engines: ["e0", "e1"])
    bench.register("e0")
    #expect(bench.account("e0", "a") == [])
    bench.state.engineLost("e0", cause: .disconnected, grace: .milliseconds(20), now: bench.now, effects: &bench.effects)
    bench.pass(0.1)
    bench.register("e1")
    #expect(bench.account("e1") == [])
    bench.effects.expect("a → e1")
    bench.complete("a", by: "e1")
    bench.effects.expect("a: answer of e1", "b → e1")
  }

  @Test("a client finds its tasks, its results, and what nobody knows")
  func resumption() {
    var bench = RecoveryBench()
    bench.restore(
      [RecoveryBench.task("a")], engines: ["e0"], results: [RecoveryBench.result("b")],
      outcomes: [("b", JournalOutcome(succeeded: true, engine: "e0")), ("c", JournalOutcome(succeeded: true, engine: "e0"))])
    #expect(bench.resume("a", "b", "c", "d") == .init(unknown: ["d"], gone: ["c"]))
    bench.effects.expect("b: answer of engine")
    #expect(bench.state.tasks["a"]?.request.message.identities.first == Frame("again"))
    // It may ask again while the first answer is on its way, and what says that a result is lost would be there before it.
    #expect(bench.resume("b") == .init())
    bench.effects.expect("b: answer of engine")
  }

  @Test("results are kept within bounds, and the oldest go")
  func boundedResults() {
    var bench = RecoveryBench()
    let large = [Frame([UInt8](repeating: 1, count: 30 << 20))]
    func result(_ id: MessageID) -> JournalResult {
      JournalResult(id: id, reply: Messages.reply(to: id, buffers: large), time: .now(), outcome: .ok, engine: "e0")
    }
    let ended = ["a", "b", "c"].map { (id: MessageID($0), outcome: JournalOutcome(succeeded: true, engine: "e0")) }
    bench.restore([RecoveryBench.task("d")], results: [result("a"), result("b"), result("c")], outcomes: ended)
    #expect(bench.resume("a", "b", "c") == .init(gone: ["a"]))
    bench.effects.expect("b: answer of engine", "c: answer of engine")
    bench.register("e0")
    bench.complete("d", by: "e0")
    bench.effects.expect("d → e0", "d: answer of e0")
    #expect(bench.resume("c", "d") == .init())
    bench.effects.expect("c: answer of engine", "d: answer of e0")
  }

  @Test("what ends before its client is back is kept for it")
  func endedMeanwhile() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a"), RecoveryBench.task("b")])
    bench.register("e0")
    bench.complete("a", by: "e0")
    bench.effects.expect("a → e0", "a: answer of e0", "b → e0")
    #expect(bench.resume("a", "b") == .init())
    bench.effects.expect("a: answer of e0")
    // From now on it is there.
    bench.state.tasks["b"]?.reroute(to: Frame("again"))
    bench.complete("b", by: "e0")
    bench.effects.expect("b: answer of e0")
    #expect(bench.resume("a", "b") == .init())
    bench.effects.expect("a: answer of e0", "b: answer of e0")
  }

  @Test("what ends in the very restart is kept for its client")
  func endedAtOnce() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", ["targets": ["e9"]]), RecoveryBench.task("b")])
    bench.effects.expect("a: ImpossibleDependency")
    #expect(bench.resume("a", "b") == .init())
    bench.effects.expect("a: answer of engine")
  }

  /// Found by the simulation: after half a minute everything was given up that it had then.
  @Test("an engine that was taken for one of ipyparallel's and says what it has is not given up")
  func accountsLate() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e0"), RecoveryBench.task("b")], engines: ["e0"])
    bench.register("e0", accounts: false)
    #expect(bench.account("e0", "a", waiting: ["a": 0]) == [])
    bench.complete("a", by: "e0")
    bench.effects.expect("a: answer of e0", "b → e0")
    bench.pass(60)
    bench.complete("b", by: "e0")
    bench.effects.expect("b: answer of e0")
  }

  @Test("a client sends a task again that an engine has: it is not run twice")
  func sentAgain() {
    var bench = RecoveryBench()
    bench.restore([], engines: ["e0", "e1"], outcomes: [("x", JournalOutcome(succeeded: true))])
    bench.register("e1")
    #expect(bench.account("e1") == [])
    bench.register("e0")
    #expect(bench.account("e0", "a", "b", "x") == ["x"])
    bench.complete("b", by: "e0")
    bench.effects.expect()
    #expect(bench.resume("a", "b") == .init(unknown: ["a", "b"]))
    bench.submit("a")
    bench.submit("b")
    bench.effects.expect("b: answer of e0")
    bench.complete("a", by: "e0")
    bench.effects.expect("a: answer of e0")
    #expect(bench.state.tasks.isEmpty)
  }

  @Test("what nobody has asked for within a minute is let go of")
  func resultsEnd() {
    var bench = RecoveryBench()
    bench.restore([], results: [RecoveryBench.result("a")], outcomes: [("a", JournalOutcome(succeeded: true))])
    bench.pass(60)
    #expect(bench.resume("a") == .init(gone: ["a"]))
    #expect(bench.state.nextDeadline == nil)
  }

  /// Found by the simulation.
  @Test("what an engine says after that of tasks that nobody knows is not kept in mind, and the engine may forget it")
  func tooLate() {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a")], engines: ["e0"])
    bench.register("e0", running: ["x": 0])
    bench.pass(61)
    #expect(bench.account("e0", "x", "y") == ["x", "y"])
    bench.complete("y", by: "e0")
    #expect(bench.state.recovery?.claims == [:])
  }

  @Test("dependencies on tasks that ended before the restart hold")
  func dependencies() {
    var bench = RecoveryBench()
    bench.restore(
      [
        RecoveryBench.task("b", ["after": ["a"]]), RecoveryBench.task("c", ["after": ["b"]]),
        RecoveryBench.task("d", ["follow": ["a"]]),
      ], engines: ["e0", "e1"],
      outcomes: [("a", JournalOutcome(succeeded: true, engine: "e0"))])
    for uuid in ["e1", "e0"] as [EngineUUID] {
      bench.register(uuid)
      #expect(bench.account(uuid) == [])
    }
    bench.effects.expect("b → e1", "d → e0")
    bench.complete("b", by: "e1")
    bench.effects.expect("b: answer of e1", "c → e1")
  }

  @Test("a task for a certain engine waits until that is back, or given up")
  func targets() {
    var bench = RecoveryBench()
    bench.restore(
      [RecoveryBench.task("a", ["targets": ["e0"]]), RecoveryBench.task("b", ["targets": ["e1"]])], engines: ["e0", "e1"])
    bench.register("e0")
    #expect(bench.account("e0") == [])
    bench.pass(2)
    bench.effects.expect("a → e0")
    bench.pass(28)
    bench.effects.expect("b: ImpossibleDependency")
  }
}
