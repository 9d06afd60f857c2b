import ApusMessaging
import Testing

@testable import ApusController

@Suite("Task scheduler: dependencies")
struct SchedulerDependencyTests {
  /// How the two tasks end that others wait for.
  static let endings: [(TaskReply.Status, TaskReply.Status)] = [
    (.ok, .ok), (.ok, .error), (.error, .ok), (.error, .error), (.aborted, .ok),
  ]
  static let kinds: [(all: Bool, success: Bool, failure: Bool)] = [
    (true, true, false), (true, false, true), (true, true, true), (false, true, false), (false, false, true), (false, true, true),
  ]

  @Test("after: every kind, every way of ending, before and after submission", arguments: endings, kinds)
  func after(ending: (TaskReply.Status, TaskReply.Status), kind: (all: Bool, success: Bool, failure: Bool)) {
    let counts = [ending.0, ending.1].map { $0 == .ok ? kind.success : kind.failure }
    let runs = kind.all ? counts.allSatisfy { $0 } : counts.contains(true)
    let dependency = Dependency(["x", "y"], all: kind.all, success: kind.success, failure: kind.failure)
    // How many of the two have ended when the task is submitted.
    for ended in 0...2 {
      var bench = SchedulerBench(hwm: 0, engines: 1)
      bench.submit("x")
      bench.submit("y")
      if ended > 0 { bench.complete("x", on: 0, ending.0) }
      if ended > 1 { bench.complete("y", on: 0, ending.1) }
      bench.submit("t", after: dependency)
      if ended < 1 { bench.complete("x", on: 0, ending.0) }
      if ended < 2 { bench.complete("y", on: 0, ending.1) }
      let story = bench.recorder.messages.filter { $0.hasPrefix("t") }
      #expect(story == [runs ? "t → e0" : "t: ImpossibleDependency"])
    }
  }

  @Test("after any: the first that counts is enough, the last that does not is too much")
  func anyEarly() {
    var bench = SchedulerBench(hwm: 0, engines: 1)
    for id in ["x", "y", "z"] { bench.submit(id) }
    bench.submit("t", after: .any("x", "y", "z"))
    bench.recorder.expect("x → e0", "y → e0", "z → e0")
    bench.complete("x", on: 0, .error)
    bench.recorder.expect("x: answer of e0")
    bench.complete("y", on: 0)
    bench.recorder.expect("y: answer of e0", "t → e0")
    bench.complete("z", on: 0)
    bench.recorder.expect("z: answer of e0")
  }

  @Test("follow: beside the task it follows, however free others are", arguments: [true, false])
  func follow(all: Bool) {
    var bench = SchedulerBench(engines: 3)
    bench.submit("x", targets: [1])
    bench.submit("t", follow: Dependency(["x"], all: all))
    bench.recorder.expect("x → e1")
    bench.complete("x", on: 1)
    bench.recorder.expect("x: answer of e1", "t → e1")
    bench.submit("u", follow: Dependency(["x"], all: all))
    bench.recorder.expectNothingElse()
    bench.complete("t", on: 1)
    bench.recorder.expect("t: answer of e1", "u → e1")
  }

  @Test("follow all: tasks that ran apart cannot both be followed; follow any: either will do")
  func followApart() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("x", targets: [0])
    bench.submit("y", targets: [1])
    bench.submit("both", follow: .all("x", "y"))
    bench.submit("either", follow: .any("x", "y"))
    bench.recorder.expect("x → e0", "y → e1")
    bench.complete("x", on: 0)
    bench.recorder.expect("x: answer of e0", "either → e0")
    bench.complete("y", on: 1)
    bench.recorder.expect("y: answer of e1", "both: ImpossibleDependency")
    bench.submit("late", follow: .all("x", "y"))
    bench.recorder.expect("late: ImpossibleDependency")
  }

  @Test("follow and failures")
  func followFailures() {
    var bench = SchedulerBench(hwm: 0, engines: 2)
    bench.submit("x", targets: [1])
    bench.submit("good", follow: .all("x"))
    bench.submit("bad", follow: .all("x", success: false, failure: true))
    bench.complete("x", on: 1, .error)
    bench.recorder.expect("x → e1", "x: answer of e1", "good: ImpossibleDependency", "bad → e1")
  }

  @Test("a task that ended without an engine cannot be followed anywhere", arguments: [true, false])
  func followNowhere(all: Bool) {
    var bench = SchedulerBench(engines: 1)
    bench.submit("x", targets: [9])
    bench.recorder.expect("x: ImpossibleDependency")
    bench.submit("t", follow: Dependency(["x"], all: all, success: true, failure: true))
    bench.recorder.expect("t: ImpossibleDependency")
    // And the same when it ends later.
    bench.submit("busy")
    bench.submit("y")
    bench.submit("u", follow: Dependency(["y"], all: all, success: true, failure: true))
    bench.abort("y")
    bench.recorder.expect("busy → e0", "y: aborted", "u: ImpossibleDependency")
  }

  @Test("unknown tasks and oneself are invalid dependencies")
  func invalid() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", after: .all("nobody"))
    bench.submit("b", after: .all("b"))
    bench.submit("c", follow: .any("c"))
    bench.submit("d", follow: .all("a", "nobody"))
    bench.recorder.expect("a: InvalidDependency", "b: InvalidDependency", "c: InvalidDependency", "d: InvalidDependency")
    // They count as failed for others.
    bench.submit("e", after: .all("a", success: false, failure: true))
    bench.recorder.expect("e → e0")
  }

  @Test("failure runs down a chain, and stops where failure counts")
  func chain() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a")
    bench.submit("b", after: .all("a"))
    bench.submit("c", after: .all("b"))
    bench.submit("d", after: .all("c", success: false, failure: true))
    bench.submit("e", after: .all("d"))
    bench.complete("a", on: 0, .error)
    bench.recorder.expect("a → e0", "a: answer of e0", "b: ImpossibleDependency", "c: ImpossibleDependency", "d → e0")
    bench.complete("d", on: 0)
    bench.recorder.expect("d: answer of e0", "e → e0")
  }

  @Test("a chain of twenty thousand fails without a stack of as many calls")
  func longChain() {
    var state = TaskSchedulerState()
    var recorder = SchedulerRecorder()
    recorder.isVerbose = false
    let now = ContinuousClock.now
    let count = 20_000
    for number in 0..<count {
      var request = TaskRequest(id: MessageID("t\(number)"), message: Messages.request(MessageID("t\(number)")))
      if number > 0 { request.after = .all("t\(number - 1)") }
      state.submit(request, now: now, effects: &recorder)
    }
    state.abort(["t0"], now: now, effects: &recorder)
    #expect(recorder.answers.count == count)
    #expect(state.tasks.isEmpty)
  }

  @Test("thousands of tasks after one, and one after thousands")
  func wide() {
    var state = TaskSchedulerState(highWaterMark: 0)
    var recorder = SchedulerRecorder()
    recorder.isVerbose = false
    let now = ContinuousClock.now
    func submit(_ id: String, after: Dependency) {
      var request = TaskRequest(id: MessageID(id), message: Messages.request(MessageID(id)))
      request.after = after
      state.submit(request, now: now, effects: &recorder)
    }
    submit("root", after: .none)
    let ids = (0..<3000).map { "t\($0)" }
    for id in ids { submit(id, after: .all("root")) }
    submit("end", after: Dependency(Set(ids.map { MessageID($0) })))
    state.engineRegistered("e", now: now, effects: &recorder)
    for id in ["root"] + ids {
      let id = MessageID(id)
      state.completed(TaskReply(id: id, message: Messages.reply(to: id), status: .ok), by: "e", now: now, effects: &recorder)
    }
    #expect(state.tasks.count == 1)
    #expect(state.engines[0].load == 1)
  }

  // MARK: functional dependencies

  @Test("an engine that does not meet a functional dependency is not asked again; retries are not used up")
  func unmet() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 1, timeout: .seconds(60))
    bench.complete("a", on: 0, .error, dependenciesMet: false)
    bench.recorder.expect("a → e0", "a → e1")
    bench.recorder.expectEvents("submitted a", "placed a e0", "retried a e0 unmetDependency", "placed a e1")
    bench.complete("a", on: 1, .error, dependenciesMet: false)
    bench.recorder.expectNothingElse()
    bench.register(2)
    bench.recorder.expect("a → e2")
    bench.complete("a", on: 2)
    bench.recorder.expect("a: answer of e2")
  }

  @Test("a task that no engine knows ends with the last one's answer", arguments: [[], [0, 1]])
  func refused(_ targets: [Int]) {
    var bench = SchedulerBench(engines: targets.isEmpty ? 2 : 3)
    bench.submit("a", retries: 3, targets: targets)
    bench.complete("a", on: 0, .error, dependenciesMet: false, isRefusal: true)
    bench.recorder.expect("a → e0", "a → e1")
    bench.complete("a", on: 1, .error, dependenciesMet: false, isRefusal: true)
    bench.recorder.expect("a: answer of e1")
  }

  @Test("a functional dependency that no target meets is impossible")
  func unmetByTargets() {
    var bench = SchedulerBench(engines: 3)
    bench.submit("a", targets: [0, 1])
    bench.complete("a", on: 0, .error, dependenciesMet: false)
    bench.complete("a", on: 1, .error, dependenciesMet: false)
    bench.recorder.expect("a → e0", "a → e1", "a: ImpossibleDependency")
  }
}
