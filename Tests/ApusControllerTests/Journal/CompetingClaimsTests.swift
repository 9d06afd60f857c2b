import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// The journal is some milliseconds behind, in which a task had more than one try: several engines say that they have it.
@Suite("Task scheduler: claims of several engines")
struct CompetingClaimsTests {
  /// Found by the simulation (seed 1210255564): the journal was two milliseconds behind, in which a task failed twice and succeeded.
  @Test(
    "of what two engines have of a task the later counts, and a result above all, whoever comes first", arguments: [true, false])
  func severalTries(isResultFirst: Bool) {
    var bench = RecoveryBench()
    bench.restore(
      [
        RecoveryBench.task("done", on: "e1", retries: 3, spent: 1, refused: ["e0"]),
        RecoveryBench.task("here", on: "e1", retries: 3, spent: 1, refused: ["e0"]),
        RecoveryBench.task("failed", on: "e1", retries: 2, spent: 1, refused: ["e0"]),
      ],
      engines: ["e1", "e2"])
    for engine in ["e1", "e2"] as [EngineUUID] { bench.register(engine) }
    for isLater in isResultFirst ? [true, false] : [false, true] {
      if isLater {
        #expect(bench.account("e2", "done", "here", "failed", waiting: ["here": 2], failed: ["failed": 2]) == [])
      } else {
        let counted = bench.account("e1", "done", "here", "failed", failed: ["done": 1, "here": 1, "failed": 1])
        #expect(counted == (isResultFirst ? ["done", "here", "failed"] : []))
      }
    }
    for id in ["done", "here", "failed"] as [MessageID] { bench.complete(id, by: "e1", .error, attempt: 1) }
    bench.complete("failed", by: "e2", .error, attempt: 2)
    bench.complete("done", by: "e2")
    #expect(bench.state.tasks["here"]?.attempt == 2 && bench.state.tasks["here"]?.constraints.retries == 1)
    bench.complete("here", by: "e2", .error, attempt: 2)
    bench.effects.expect("failed: answer of e2", "done: answer of e2", "here → e1")
    bench.complete("here", by: "e1", attempt: 3)
    #expect(bench.effects.answers == ["done": 1, "here": 1, "failed": 1])
    #expect(bench.effects.attempts == ["here": [3]])
  }

  /// Found by the simulation (seed 1823859007): a task had not come to its engine, and a restarted controller gave it to another one, where it failed.
  /// That controller died before it wrote either.
  @Test("a failure is news where the journal has the same try on another engine that does not have it", arguments: [true, false])
  func movedAndFailed(isOtherFirst: Bool) {
    var bench = RecoveryBench()
    bench.restore([RecoveryBench.task("a", on: "e1", retries: 1)], engines: ["e1", "e2"])
    for engine in ["e1", "e2"] as [EngineUUID] { bench.register(engine) }
    if isOtherFirst { #expect(bench.account("e1") == []) }
    #expect(bench.account("e2", "a", failed: ["a": 0]) == [])
    bench.complete("a", by: "e2", .error, attempt: 0)
    if !isOtherFirst { #expect(bench.account("e1") == []) }
    bench.effects.expect("a → e1")
    bench.complete("a", by: "e1", .error, attempt: 1)
    bench.effects.expect("a: answer of e1")
    #expect(bench.effects.answers == ["a": 1] && bench.effects.attempts == ["a": [1]])
  }

  @Test("the same of tasks that the journal has never heard of", arguments: [true, false])
  func severalTriesOfUnknown(isResultFirst: Bool) {
    var bench = RecoveryBench()
    bench.restore([], engines: ["e1", "e2"])
    for engine in ["e1", "e2"] as [EngineUUID] { bench.register(engine) }
    for isLater in isResultFirst ? [true, false] : [false, true] {
      if isLater {
        #expect(bench.account("e2", "done", "here", failed: ["here": 2]) == [])
        bench.complete("done", by: "e2")
        bench.complete("here", by: "e2", .error, attempt: 2)
      } else {
        #expect(bench.account("e1", "done", "here", failed: ["done": 1, "here": 1]) == [])
        for id in ["done", "here"] as [MessageID] { bench.complete(id, by: "e1", .error, attempt: 1) }
      }
    }
    bench.submit("done")
    bench.submit("here", retries: 3)
    bench.effects.expect("done: answer of e2", "here → e1")
    #expect(bench.state.tasks["here"]?.attempt == 3 && bench.state.tasks["here"]?.constraints.retries == 0)
    bench.complete("here", by: "e1", attempt: 3)
    #expect(bench.effects.answers == ["done": 1, "here": 1])
  }
}
