import ApusMessaging
import Testing

@testable import ApusController

@Suite("Task scheduler: what is told of tasks")
struct SchedulerEventTests {
  @Test("a task that depends on others waits, is queued when they have ended and no engine is free, and is placed")
  func waiting() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.submit("b")
    bench.submit("c", after: .all("a", "b"))
    bench.submit("d")
    bench.complete("a", on: 0)
    bench.complete("b", on: 0)
    bench.recorder.expectEvents(
      "submitted a", "placed a e0", "submitted b", "queued b", "submitted c", "waiting c for 2", "submitted d", "queued d",
      "finished a e0 ok", "placed b e0", "finished b e0 ok", "queued c", "placed c e0")
    bench.complete("c", on: 0, .error)
    bench.recorder.expectEvents("finished c e0 error", "placed d e0")
  }

  @Test("what is placed at once, when it may run, was never queued")
  func atOnce() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a")
    bench.submit("b", after: .all("a"))
    bench.complete("a", on: 0)
    bench.recorder.expectEvents("submitted a", "placed a e0", "submitted b", "waiting b for 1", "finished a e0 ok", "placed b e1")
  }

  @Test("an abort, here or on the engine, is told before the end")
  func aborts() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.submit("b")
    bench.submit("c", after: .all("b"))
    bench.abort("a", "b")
    bench.complete("a", on: 0, .aborted)
    bench.recorder.expectEvents(
      "submitted a", "placed a e0", "submitted b", "queued b", "submitted c", "waiting c for 1", "aborted b", "finished b aborted",
      "finished c impossible", "aborted a", "finished a e0 aborted")
  }

  @Test("an aborted attempt with retries left is no end")
  func abortedAttempt() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 1)
    bench.complete("a", on: 0, .aborted)
    bench.complete("a", on: 1)
    bench.recorder.expectEvents("submitted a", "placed a e0", "failed a", "retried a e0 failed", "placed a e1", "finished a e1 ok")
  }

  @Test("a loss is told when it is certain, and not for what is answered in time")
  func losses() {
    var bench = SchedulerBench(hwm: 2, engines: 1)
    bench.submit("a")
    bench.submit("b")
    bench.lose(0, grace: .seconds(5))
    bench.complete("a", on: 0)
    bench.recorder.expectEvents("submitted a", "placed a e0", "submitted b", "placed b e0", "finished a e0 ok")
    bench.advance(.seconds(5))
    bench.recorder.expectEvents("lost b e0 disconnected", "finished b e0 lost")
  }

  @Test("failures without an engine")
  func failures() {
    var bench = SchedulerBench()
    bench.submit("a", timeout: .seconds(1))
    bench.submit("b", after: .all("nobody"))
    bench.submit("c", targets: [7])
    bench.advance(.seconds(2))
    bench.recorder.expectEvents(
      "submitted a", "queued a", "submitted b", "finished b refused", "submitted c", "finished c impossible", "finished a timedOut")
  }

  @Test("nonsense is a task that was refused, once, and no other's end")
  func nonsense() {
    var bench = SchedulerBench(engines: 1)
    bench.refuse("a")
    bench.submit("b")
    bench.recorder.expectEvents("submitted a", "finished a refused", "submitted b", "placed b e0")
    bench.submit("a")
    bench.refuse("b")
    bench.recorder.expectEvents()
    #expect(bench.recorder.answers == ["a": 1, "b": 1])
  }
}
