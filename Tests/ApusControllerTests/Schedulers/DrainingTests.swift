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
    bench.state.drain(SchedulerBench.engine(0))
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
    bench.state.drain(SchedulerBench.engine(0))
    bench.submit("a")
    bench.recorder.expectNothingElse()
    bench.register(1)
    bench.recorder.expect("a → e1")
  }

  @Test("one that comes back is as good as new")
  func back() {
    var bench = SchedulerBench(engines: 1)
    bench.state.drain(SchedulerBench.engine(0))
    bench.lose(0)
    bench.submit("a")
    bench.recorder.expectNothingElse()
    bench.register(0)
    bench.recorder.expect("a → e0")
  }

  @Test("of a drained engine that is lost, only the task that it can have begun counts as tried")
  func lost() {
    var bench = SchedulerBench(hwm: 3, engines: 1)
    for id in ["a", "b", "c"] { bench.submit(id) }
    bench.recorder.expect("a → e0", "b → e0", "c → e0")
    bench.state.drain(SchedulerBench.engine(0))
    bench.register(1)
    bench.lose(0)
    bench.advance(.seconds(1))
    bench.recorder.expect("a: EngineError", "b → e1", "c → e1")
  }

  @Test("what names it alone waits, and is refused when it is gone")
  func targeted() {
    var bench = SchedulerBench(engines: 2)
    bench.state.drain(SchedulerBench.engine(0))
    bench.submit("a", targets: [0])
    bench.submit("b", targets: [0, 1])
    bench.recorder.expect("b → e1")
    bench.lose(0)
    #expect(bench.state.tasks[MessageID("a")] == nil)
  }
}
