import ApusMessaging
import Testing

@testable import ApusController

/// Found by the simulation (seed 5200393): what was on its way when the controller died comes before what was lost with it.
@Suite("Task scheduler: tasks that come before what they name")
struct DeferringTests {
  @Test("after a restart such a task waits for the others, which its client sends again")
  func order() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    bench.submit("c", follow: .all("b"))
    bench.submit("b", after: .all("a", failure: true))
    bench.submit("itself", after: .all("itself"))
    bench.effects.expect("itself: InvalidDependency")
    #expect(bench.resume("a", "b", "c").unknown == ["a", "b", "c"])
    bench.submit("a")
    bench.submit("b", after: .all("a", failure: true))
    #expect(Set(bench.state.tasks.keys) == ["a", "b", "c"] && bench.state.recovery?.deferred.isEmpty == true)
    bench.complete("a", by: "e0", .error)
    bench.complete("b", by: "e0")
    bench.complete("c", by: "e0")
    bench.effects.expect("a → e0", "a: answer of e0", "b → e0", "b: answer of e0", "c → e0", "c: answer of e0")
    bench.pass(5)
    bench.effects.expect()
  }

  @Test("when they do not come it is told so, and so are others that name it; an abort holds for it")
  func patience() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    bench.submit("b", after: .all("a"))
    bench.submit("c", after: .all("b"))
    bench.submit("d", after: .all("a"))
    bench.state.abort(["d"], now: bench.now, effects: &bench.effects)
    bench.pass(4)
    bench.effects.expect()
    bench.pass(1)
    bench.effects.expect("b: InvalidDependency", "c: ImpossibleDependency", "d: aborted")
    // Who comes to a controller that has been there for long has not lost anything with another.
    bench.pass(60)
    bench.submit("e", after: .all("a"))
    bench.effects.expect("e: InvalidDependency")
    #expect(bench.state.nextDeadline == nil)
  }
}
