import ApusMessaging
import Testing

@testable import ApusController

@Suite("Task scheduler: failures, losses, time")
struct FaultTests {
  // MARK: retries

  @Test("a failed task is tried elsewhere as often as it may be")
  func retries() {
    var bench = SchedulerBench(engines: 3)
    bench.submit("a", retries: 2)
    bench.complete("a", on: 0, .error)
    bench.complete("a", on: 1, .aborted)
    bench.recorder.expect("a → e0", "a → e1", "a → e2")
    bench.complete("a", on: 2, .error)
    bench.recorder.expect("a: answer of e2")
    bench.recorder.expectEvents(
      "submitted a", "placed a e0", "failed a", "retried a e0 failed", "placed a e1", "failed a", "retried a e1 failed",
      "placed a e2",
      "finished a e2 error")
  }

  @Test("an aborted task is not tried again, whatever its engine answers", arguments: [TaskReply.Status.aborted, .error])
  func noRetryAfterAbort(_ status: TaskReply.Status) {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 5)
    bench.abort("a")
    bench.complete("a", on: 0, status)
    bench.recorder.expect("a → e0", "a: answer of e0")
  }

  @Test("more retries than engines, and a timeout: it waits for a new one, and does not hold up others")
  func moreRetriesThanEngines() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", retries: 5, timeout: .seconds(60))
    bench.submit("b")
    bench.complete("a", on: 0, .error)
    bench.recorder.expect("a → e0", "b → e0")
    bench.complete("b", on: 0)
    bench.register(1)
    bench.recorder.expect("b: answer of e0", "a → e1")
  }

  @Test("a failure that comes twice is one, also where the next try is on the same engine: it says of which try it is")
  func comesTwice() throws {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", retries: 2)
    for attempt in [0, 0, 1, 0, 1, 2, 2] {
      // As `ReplyMetadata` of an engine.
      let metadata: JSONValue = ["dependencies_met": true, "engine": "e0", "attempt": .int(attempt), "status": "error"]
      let reply = try #require(TaskReply(Messages.reply(to: "a", from: "e0", metadata: metadata)))
      bench.state.completed(reply, by: SchedulerBench.engine(0), now: bench.now, effects: &bench.recorder)
    }
    bench.recorder.expect("a → e0", "a → e0", "a → e0", "a: answer of e0")
    bench.recorder.expectNothingElse()
    #expect(bench.recorder.attempts["a"] == [nil, 1, 2])
  }

  @Test("a task that has failed everywhere goes round again, and its last error is the answer")
  func failsEverywhere() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 3)
    bench.complete("a", on: 0, .error)
    bench.complete("a", on: 1, .error)
    bench.complete("a", on: 0, .error)
    bench.complete("a", on: 1, .error)
    bench.recorder.expect("a → e0", "a → e1", "a → e0", "a → e1", "a: answer of e1")
    bench.recorder.expectNothingElse()
  }

  @Test("an engine that ended itself under one task had not begun the others: they lose no try")
  func overrun() {
    var bench = SchedulerBench(hwm: 4, engines: 1)
    for id in ["a", "b", "c"] { bench.submit(id) }
    bench.state.engineLost(
      SchedulerBench.engine(0), cause: .overran("b", reason: "did not end"), grace: .seconds(1), now: bench.now,
      effects: &bench.recorder)
    // Its answer may still be on its way.
    bench.complete("a", on: 0)
    bench.advance(.seconds(1))
    bench.recorder.expect("a → e0", "b → e0", "c → e0", "a: answer of e0", "b: EngineError")
    bench.register(1)
    bench.recorder.expect("c → e1")
    #expect(bench.recorder.attempts["c"] == [nil, nil])
  }

  @Test("the same within targets")
  func retriesWithTargets() {
    var bench = SchedulerBench(engines: 3)
    bench.submit("a", retries: 2, targets: [0, 2])
    bench.complete("a", on: 0, .error)
    bench.complete("a", on: 2, .error)
    bench.complete("a", on: 0, .error)
    bench.recorder.expect("a → e0", "a → e2", "a → e0", "a: answer of e0")
  }

  @Test("with a timeout it waits for an engine that has not failed it, as in ipyparallel")
  func retriesWithTimeout() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 3, timeout: .seconds(1))
    bench.complete("a", on: 0, .error)
    bench.complete("a", on: 1, .error)
    bench.recorder.expect("a → e0", "a → e1")
    bench.recorder.expectNothingElse()
    bench.advance(.seconds(2))
    bench.recorder.expect("a: TaskTimeout")
  }

  @Test("with a timeout and no other target to come it goes back to those where it failed: its own error is the answer")
  func retriesWithTimeoutOnTargets() {
    var bench = SchedulerBench(engines: 3)
    bench.submit("only", retries: 1, timeout: .seconds(60), targets: [1])
    bench.complete("only", on: 1, .error)
    bench.complete("only", on: 1, .error)
    bench.recorder.expect("only → e1", "only → e1", "only: answer of e1")

    // It waits for the one that it has not met, until that is gone.
    bench.submit("busy", targets: [2])
    bench.submit("two", retries: 3, timeout: .seconds(60), targets: [1, 2])
    bench.complete("two", on: 1, .error)
    bench.recorder.expect("busy → e2", "two → e1")
    bench.lose(2, grace: .seconds(5))
    bench.recorder.expect("two → e1")
    bench.complete("two", on: 1, .error)
    bench.recorder.expect("two → e1")

    // Nobody is left at all.
    bench.lose(1, grace: .seconds(5))
    bench.advance(.seconds(5))
    bench.recorder.expect("busy: EngineError", "two: ImpossibleDependency")
  }

  @Test("the engine that it has not met is lost while it waits for it: it goes round again")
  func lastChanceLost() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 3)
    bench.submit("b")
    bench.complete("a", on: 0, .error)
    bench.recorder.expect("a → e0", "b → e1")
    bench.recorder.expectNothingElse()
    bench.lose(1, grace: .seconds(5))
    bench.recorder.expect("a → e0")
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0")
  }

  @Test("a functional dependency that every engine declines is impossible; a new engine that comes in time is asked")
  func declinedEverywhere() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a")
    bench.submit("b", after: .all("a"))
    bench.complete("a", on: 0, .error, dependenciesMet: false)
    bench.register(2)
    bench.complete("a", on: 1, .error, dependenciesMet: false)
    bench.recorder.expect("a → e0", "a → e1", "a → e2")
    bench.complete("a", on: 2, .error, dependenciesMet: false)
    bench.recorder.expect("a: ImpossibleDependency", "b: ImpossibleDependency")
    // With a timeout it waits so long.
    bench.submit("c", timeout: .seconds(1))
    for engine in 0..<3 { bench.complete("c", on: engine, .error, dependenciesMet: false) }
    #expect(bench.state.tasks["c"] != nil)
    bench.advance(.seconds(2))
    #expect(bench.recorder.messages.last == "c: TaskTimeout")
    bench.recorder.forget()
    // The one that has not declined is lost.
    bench.submit("d")
    bench.submit("e", targets: [1])
    let first = bench.recorder.messages[0] == "d → e0" ? 0 : 2
    bench.recorder.forget()
    bench.complete("d", on: first, .error, dependenciesMet: false)
    let second = first == 0 ? 2 : 0
    bench.complete("d", on: second, .error, dependenciesMet: false)
    bench.recorder.forget()
    bench.lose(1, grace: .seconds(5))
    #expect(bench.recorder.messages.contains("d: ImpossibleDependency"))
  }

  @Test("failed here, declined there: it comes back to where it failed, not to where it was declined")
  func failedAndDeclined() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 2)
    bench.complete("a", on: 0, .error)
    bench.complete("a", on: 1, .error, dependenciesMet: false)
    bench.complete("a", on: 0, .error)
    bench.complete("a", on: 0, .error)
    bench.recorder.expect("a → e0", "a → e1", "a → e0", "a → e0", "a: answer of e0")
  }

  // MARK: losing engines

  @Test("the tasks of an engine that is gone fail with its cause, or are tried elsewhere")
  func loss() {
    var bench = SchedulerBench(hwm: 2, engines: 1)
    bench.submit("a")
    bench.submit("b", retries: 1)
    bench.submit("c", after: .all("a"))
    bench.lose(0)
    bench.advance(.zero)
    bench.recorder.expect("a → e0", "b → e0", "a: EngineError", "c: ImpossibleDependency")
    bench.register(1)
    bench.recorder.expect("b → e1")
    bench.recorder.expectEvents(
      "submitted a", "placed a e0", "submitted b", "placed b e0", "submitted c", "waiting c for 1", "lost a e0 disconnected",
      "finished a e0 lost", "finished c impossible", "lost b e0 disconnected", "retried b e0 engineLost", "queued b", "placed b e1")
  }

  @Test("an answer that was on its way wins within the grace, and is too late after it")
  func grace() {
    var bench = SchedulerBench(hwm: 2, engines: 1)
    bench.submit("a")
    bench.submit("b")
    bench.lose(0, grace: .seconds(5))
    bench.recorder.expect("a → e0", "b → e0")
    #expect(bench.state.nextDeadline == bench.now + .seconds(5))
    bench.advance(.seconds(4))
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0")
    bench.advance(.seconds(1))
    bench.recorder.expect("b: EngineError")
    bench.complete("b", on: 0)
    bench.recorder.expectNothingElse()
    #expect(bench.state.nextDeadline == nil)
  }

  @Test("an engine that comes back within the grace keeps its tasks, and gets new ones")
  func returnsInTime() {
    var bench = SchedulerBench(hwm: 2, engines: 1)
    bench.submit("a")
    bench.lose(0, .silent, grace: .seconds(5))
    bench.submit("b")
    bench.recorder.expect("a → e0")
    bench.advance(.seconds(1))
    bench.register(0)
    bench.recorder.expect("b → e0")
    bench.advance(.seconds(60))
    bench.recorder.expectNothingElse()
    bench.complete("a", on: 0)
    bench.complete("b", on: 0)
    bench.recorder.expect("a: answer of e0", "b: answer of e0")
  }

  /// Found by the simulation: the tasks waited for ever.
  @Test(
    "an engine that comes back over another connection has lost what was on its way: replies that had arrived count, the rest ends")
  func returnsWithout() {
    var bench = SchedulerBench(hwm: 4, engines: 1)
    for id in ["a", "b", "c"] { bench.submit(id) }
    bench.lose(0, grace: .milliseconds(20))
    bench.advance(.milliseconds(5))
    bench.register(0)
    bench.submit("d")
    bench.recorder.expect("a → e0", "b → e0", "c → e0", "d → e0")
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0")
    bench.advance(.milliseconds(15))
    bench.recorder.expect("b: EngineError", "c: EngineError")
    // What came after is there.
    bench.advance(.seconds(60))
    bench.complete("d", on: 0)
    bench.recorder.expect("d: answer of e0")
    #expect(bench.state.nextDeadline == nil)
  }

  @Test("lost, back, lost again: the second grace counts")
  func lostTwice() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.lose(0, grace: .seconds(5))
    bench.advance(.seconds(3))
    bench.register(0)
    bench.lose(0, grace: .seconds(5))
    bench.advance(.seconds(3))
    bench.recorder.expect("a → e0")
    bench.advance(.seconds(2))
    bench.recorder.expect("a: EngineError")
  }

  @Test("an engine that comes back after the grace gets a task again that it failed only while there is no other")
  func returnsLate() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", retries: 3)
    bench.lose(0, grace: .seconds(5))
    bench.advance(.seconds(6))
    bench.recorder.expect("a → e0")
    bench.recorder.expectNothingElse()
    bench.register(0)
    bench.recorder.expect("a → e0")
    bench.lose(0)
    bench.advance(.zero)
    bench.register(1)
    bench.recorder.expect("a → e1")
    // What the first one still says about it is not heard.
    bench.complete("a", on: 0)
    bench.recorder.expectNothingElse()
    bench.complete("a", on: 1)
    bench.recorder.expect("a: answer of e1")
  }

  @Test("tasks that only a lost engine could have taken are impossible; others stay")
  func targetsLost() {
    var bench = SchedulerBench(engines: 2)
    for id in ["x", "y"] { bench.submit(id) }
    bench.submit("a", targets: [0])
    bench.submit("b", targets: [0, 1])
    bench.submit("c", follow: .all("x"), targets: [0])
    bench.lose(0, grace: .seconds(5))
    #expect(bench.recorder.messages.prefix(2) == ["x → e0", "y → e1"])
    #expect(Set(bench.recorder.messages.dropFirst(2)) == ["a: ImpossibleDependency", "c: ImpossibleDependency"])
    bench.recorder.forget()
    bench.complete("y", on: 1)
    bench.recorder.expect("y: answer of e1", "b → e1")
  }

  @Test("all engines gone: tasks wait for the next one")
  func allGone() {
    var bench = SchedulerBench(engines: 2)
    bench.lose(0)
    bench.lose(1)
    bench.submit("a")
    bench.recorder.expectNothingElse()
    bench.register(5)
    bench.recorder.expect("a → e5")
  }

  // MARK: time

  @Test("a timeout ends the stay in the queue, not the work on an engine")
  func timeout() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", timeout: .seconds(1))
    bench.submit("b", timeout: .seconds(1))
    bench.submit("c", after: .all("b", success: false, failure: true))
    bench.submit("d", after: .all("a"), timeout: .seconds(2))
    bench.recorder.expect("a → e0")
    #expect(bench.state.nextDeadline.map { $0 <= bench.now + .seconds(1) } == true)
    bench.advance(.milliseconds(999))
    bench.recorder.expectNothingElse()
    bench.advance(.milliseconds(1))
    bench.recorder.expect("b: TaskTimeout")
    bench.advance(.seconds(1))
    bench.recorder.expect("d: TaskTimeout")
    bench.complete("a", on: 0)
    bench.recorder.expect("a: answer of e0", "c → e0")
  }

  @Test("the timeout starts anew with each stay in the queue")
  func timeoutRearmed() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("x", targets: [1])
    bench.submit("a", retries: 1, timeout: .seconds(1))
    bench.recorder.expect("x → e1", "a → e0")
    bench.advance(.seconds(10))
    bench.complete("a", on: 0, .error)
    bench.recorder.expectNothingElse()
    bench.advance(.milliseconds(900))
    bench.recorder.expectNothingElse()
    bench.advance(.milliseconds(200))
    bench.recorder.expect("a: TaskTimeout")
    // Waiting for another task, then for an engine: the second stay counts from its own beginning.
    bench.submit("b", after: .all("x"), timeout: .seconds(1))
    bench.submit("y", targets: [0])
    bench.advance(.milliseconds(900))
    bench.submit("z")
    bench.complete("x", on: 1)
    bench.recorder.expect("y → e0", "x: answer of e1", "b → e1")
  }

  @Test("timeouts of finished tasks hold nothing back, least of all memory")
  func timeoutsOfTheFinished() {
    var state = TaskSchedulerState()
    var recorder = SchedulerRecorder()
    let now = ContinuousClock.now
    func submit(_ number: Int) { state.submit(Self.hourly(number), now: now, effects: &recorder) }
    func complete(_ number: Int) {
      let id = MessageID("t\(number)")
      state.completed(TaskReply(id: id, message: Messages.reply(to: id), status: .ok), by: "e", now: now, effects: &recorder)
    }
    state.engineRegistered("e", now: now, effects: &recorder)
    for number in 0..<1000 {
      submit(number)
      complete(number)
    }
    // None of them was ever queued: nothing is to happen in an hour.
    #expect(state.nextDeadline == nil)
    for number in 1000..<3000 { submit(number) }
    for number in 1000..<3000 { complete(number) }
    #expect(recorder.answers.count == 3000)
    #expect(state.tasks.isEmpty)
    #expect(state.deadlineCount <= 200)
  }

  private static func hourly(_ number: Int) -> TaskRequest {
    var request = TaskRequest(id: MessageID("t\(number)"), message: Messages.request(MessageID("t\(number)")))
    request.timeout = .seconds(3600)
    return request
  }

  @Test(
    "an engine that was silent and comes back has what it had, unless its connection broke meanwhile", arguments: [false, true])
  func silentAndCutOff(wasCutOff: Bool) {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.recorder.expect("a → e0")
    bench.lose(0, .silent, grace: .seconds(5))
    bench.advance(.seconds(1))
    bench.state.engineRegistered(SchedulerBench.engine(0), wasCutOff: wasCutOff, now: bench.now, effects: &bench.recorder)
    bench.advance(.seconds(5))
    if wasCutOff { bench.recorder.expect("a: EngineError") } else { bench.recorder.expectNothingElse() }
    bench.complete("a", on: 0)
    #expect(bench.recorder.answers == ["a": 1])
  }

  @Test("an engine that lost what was on its way serves what is urgent before what comes back from it")
  func urgentFirst() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", retries: 1)
    bench.submit("b", preferences: TaskPreferences(priority: 1))
    bench.lose(0, .disconnected, grace: .seconds(1))
    bench.register(0)
    bench.advance(.seconds(2))
    bench.recorder.expect("a → e0", "b → e0")
    bench.complete("b", on: 0)
    bench.recorder.expect("b: answer of e0", "a → e0")
  }
}
