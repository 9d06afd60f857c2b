import ApusMessaging
import Testing

@testable import ApusController

@Suite("Task scheduler: engines that get no more tasks")
struct DrainingTests {
  @Test("a draining engine finishes what it has, and the rest goes elsewhere", arguments: SchedulingPolicy.allCases)
  func nothingMore(policy: SchedulingPolicy) {
    var bench = SchedulerBench(policy: policy, engines: 2)
    bench.submit("a")
    bench.submit("b")
    bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    let first = bench.recorder.messages.first { $0.hasSuffix("e0") }.map { String($0.prefix(1)) }
    for id in ["c", "d", "e"] { bench.submit(id) }
    if let first { bench.complete(first, on: 0) }
    let sent = bench.recorder.messages.filter { $0.hasSuffix("→ e0") }
    #expect(sent.count == (first == nil ? 0 : policy == .pure ? sent.count : 1))
    #expect(bench.state.tasks.count == (first == nil ? 5 : 4))
    #expect(bench.state.checkInvariants() == [])
  }

  @Test("where all engines drain, tasks wait for another one")
  func waiting() {
    var bench = SchedulerBench(engines: 1)
    bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    bench.submit("a")
    bench.recorder.expectNothingElse()
    bench.register(1)
    bench.recorder.expect("a → e1")
  }

  @Test("one that comes back is as good as new")
  func back() {
    var bench = SchedulerBench(engines: 1)
    bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    bench.lose(0)
    bench.submit("a")
    bench.recorder.expectNothingElse()
    bench.register(0)
    bench.recorder.expect("a → e0")
  }

  /// - Parameter last: the task that it says to have begun last.
  @Test(
    "of an engine that says goodbye, only tasks that it has begun count as tried",
    arguments: [
      (nil, ["a → e1", "b → e1", "c → e1"]), ("a", ["a: EngineError", "b → e1", "c → e1"]),
      ("b", ["a: EngineError", "b: EngineError", "c → e1"]), ("x", ["a → e1", "b → e1", "c → e1"]),
    ] as [(MessageID?, [String])])
  func goodbye(last: MessageID?, expected: [String]) {
    var bench = SchedulerBench(hwm: 3, engines: 1)
    for id in ["a", "b", "c"] { bench.submit(id) }
    bench.recorder.expect("a → e0", "b → e0", "c → e0")
    bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    bench.register(1)
    bench.lose(0, .left(lastBegun: last))
    bench.advance(.seconds(1))
    for id in ["a", "b"] where bench.recorder.messages.contains("\(id) → e1") { bench.complete(id, on: 1) }
    #expect(bench.recorder.messages.filter { !$0.contains("answer") } == expected)
  }

  @Test("of one that is killed nothing is known: answers that were on their way may have been lost", arguments: [false, true])
  func killed(drains: Bool) {
    var bench = SchedulerBench(hwm: 3, engines: 1)
    for id in ["a", "b", "c"] { bench.submit(id, retries: id == "c" ? 1 : 0) }
    bench.recorder.expect("a → e0", "b → e0", "c → e0")
    if drains { bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder) }
    bench.register(1)
    bench.lose(0)
    bench.advance(.seconds(1))
    bench.recorder.expect("a: EngineError", "b: EngineError", "c → e1")
  }

  @Test("what was never begun is no attempt, here as in the journal: the next failure is the first")
  func undelivered() {
    var bench = SchedulerBench(hwm: 2, engines: 1)
    bench.submit("a")
    bench.submit("b", retries: 1)
    bench.register(1)
    bench.lose(0, .left(lastBegun: "a"))
    bench.advance(.seconds(1))
    #expect(bench.state.tasks["b"]?.attempt == 0)
    #expect(bench.recorder.attempts["b"] == [nil, nil])
    bench.complete("b", on: 1, .error)
    #expect(bench.state.tasks["b"]?.attempt == 1)
  }

  @Test("what names it alone waits, and is refused when it is gone")
  func targeted() {
    var bench = SchedulerBench(engines: 2)
    bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    bench.submit("a", targets: [0])
    bench.submit("b", targets: [0, 1])
    bench.recorder.expect("b → e1")
    bench.lose(0)
    #expect(bench.state.tasks[MessageID("a")] == nil)
  }

  @Test("a task that failed elsewhere does not wait for an engine that drains")
  func noOtherEngine() {
    var bench = SchedulerBench(engines: 2)
    bench.state.drain(SchedulerBench.engine(1), now: bench.now, effects: &bench.recorder)
    bench.submit("a", retries: 1)
    bench.complete("a", on: 0, .error)
    bench.recorder.expect("a → e0", "a → e0")
    bench.complete("a", on: 0, .error)
    // The same where it begins to drain afterwards.
    bench.register(2)
    bench.submit("b", retries: 1)
    bench.submit("c")
    bench.recorder.expect("a: answer of e0", "b → e2", "c → e0")
    bench.complete("b", on: 2, .error)
    bench.recorder.expect()
    bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    bench.recorder.expect("b → e2")
  }

  @Test("one that drains before it has its place has none of the tasks")
  func drainsBeforeItJoins() {
    var bench = SchedulerBench()
    bench.state.drain(SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    bench.register(0)
    bench.submit("a")
    bench.recorder.expect()
    // Another one under the same name begins anew.
    bench.lose(0)
    bench.register(0)
    bench.recorder.expect("a → e0")
  }
}
