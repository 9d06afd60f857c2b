import ApusMessaging
import Testing

@testable import ApusController

@Suite("Task scheduler: priorities, resources, when to try again")
struct TaskPreferencesTests {
  private let gpu = TaskPreferences(resources: ["gpu": 1])

  // MARK: priority

  @Test("a higher priority goes first; of equal ones the older task")
  func priority() {
    var bench = SchedulerBench(engines: 1)
    for id in ["a", "b", "c"] { bench.submit(id) }
    bench.submit("low", preferences: TaskPreferences(priority: -1))
    bench.submit("high", preferences: TaskPreferences(priority: 5))
    bench.submit("higher", preferences: TaskPreferences(priority: 6))
    bench.submit("high too", preferences: TaskPreferences(priority: 5))
    for id in ["a", "higher", "high", "high too", "b", "c", "low"] { bench.complete(id, on: 0) }
    #expect(
      bench.recorder.messages.filter { $0.contains("→") }
        == ["a", "higher", "high", "high too", "b", "c", "low"].map { "\($0) → e0" }
    )
  }

  @Test("priorities hold among tasks with targets, too")
  func priorityAmongTargets() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a")
    bench.submit("b")
    bench.submit("c", targets: [0])
    bench.submit("d", targets: [0], preferences: TaskPreferences(priority: 1))
    bench.submit("e")
    bench.complete("a", on: 0)
    bench.complete("b", on: 1)
    bench.recorder.expect("a → e0", "b → e1", "a: answer of e0", "d → e0", "b: answer of e1", "e → e1")
  }

  @Test("a retried task keeps its place")
  func priorityOfRetries() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", retries: 1, preferences: TaskPreferences(priority: 3))
    bench.submit("b", preferences: TaskPreferences(priority: 2))
    bench.complete("a", on: 0, .error)
    bench.recorder.expect("a → e0", "a → e0")
  }

  // MARK: resources

  @Test("a task goes where its resources are, and waits for them")
  func resources() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", preferences: gpu)
    bench.recorder.expect()
    bench.submit("b")
    bench.register(2, resources: ["gpu": 2, "memory": 8])
    bench.recorder.expect("b → e0", "a → e2")
    bench.submit("c", preferences: TaskPreferences(resources: ["gpu": 2, "memory": 9]))
    bench.submit("d", preferences: TaskPreferences(resources: ["gpu": 2, "memory": 8]))
    bench.complete("a", on: 2)
    bench.recorder.expect("a: answer of e2", "d → e2")
    bench.complete("d", on: 2)
    bench.submit("e")
    bench.register(3, resources: ["gpu": 2, "memory": 16])
    bench.recorder.expect("d: answer of e2", "e → e1", "c → e3")
  }

  @Test("many that ask for the same are served in their order, and keep nobody else waiting")
  func manyDemands() {
    var bench = SchedulerBench(engines: 1)
    bench.register(1, resources: ["gpu": 1])
    for number in 0..<50 { bench.submit("g\(number)", preferences: gpu) }
    for number in 0..<3 { bench.submit("n\(number)") }
    for number in 0..<3 { bench.complete("n\(number)", on: 0) }
    for number in 0..<50 { bench.complete("g\(number)", on: 1) }
    #expect(bench.recorder.messages.filter { $0.contains("→ e1") } == (0..<50).map { "g\($0) → e1" })
    #expect(bench.state.tasks.isEmpty)
  }

  @Test("targets that have not what it asks for will never do")
  func hopeless() {
    var bench = SchedulerBench(engines: 2)
    bench.register(2, resources: ["gpu": 1])
    bench.submit("a", targets: [0, 1], preferences: gpu)
    bench.recorder.expect("a: ImpossibleDependency")
    bench.submit("b", targets: [2], preferences: gpu)
    bench.submit("c", targets: [0, 2], preferences: gpu)
    bench.recorder.expect("b → e2")
    bench.lose(2)
    bench.advance(.zero)
    bench.recorder.expect("c: ImpossibleDependency", "b: EngineError")
  }

  @Test("with targets, and after a failure")
  func resourcesAndOthers() {
    var bench = SchedulerBench(engines: 1)
    bench.register(1, resources: ["gpu": 1])
    bench.register(2, resources: ["gpu": 1])
    bench.submit("a", targets: [0, 1], preferences: gpu)
    bench.submit("b", retries: 1, preferences: gpu)
    bench.recorder.expect("a → e1", "b → e2")
    bench.complete("b", on: 2, .error)
    bench.recorder.expect()
    bench.complete("a", on: 1)
    bench.recorder.expect("a: answer of e1", "b → e1")
  }

  @Test("an engine that comes back with less gets no more of them")
  func lessThanBefore() {
    var bench = SchedulerBench()
    bench.register(0, resources: ["gpu": 1])
    bench.lose(0)
    bench.register(0)
    bench.submit("a", preferences: gpu)
    bench.recorder.expect()
    bench.abort("a")
    bench.recorder.expect("a: aborted")
  }

  // MARK: trying again

  @Test("the pause doubles")
  func pauses() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", retries: 3, preferences: TaskPreferences(retryDelay: .seconds(2)))
    bench.complete("a", on: 0, .error)
    bench.submit("b")
    bench.complete("b", on: 0)
    bench.recorder.expect("a → e0", "b → e0", "b: answer of e0")
    bench.advance(.milliseconds(1999))
    bench.recorder.expect()
    bench.advance(.milliseconds(1))
    bench.recorder.expect("a → e0")
    bench.complete("a", on: 0, .error)
    bench.advance(.milliseconds(3999))
    bench.recorder.expect()
    bench.advance(.milliseconds(1))
    bench.recorder.expect("a → e0")
    bench.lose(0)
    bench.advance(.zero)
    bench.register(1)
    bench.advance(.seconds(8))
    bench.recorder.expect("a → e1")
    #expect(TaskPreferences(retryDelay: .seconds(1)).pause(attempt: 1 << 40) == .seconds(300))
    #expect(TaskPreferences(retryDelay: .seconds(1000)).pause(attempt: 7) == .seconds(1000))
  }

  @Test("a task that rests can be taken back, and its timeout counts from when it is queued")
  func restingAndAbort() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("a", retries: 3, timeout: .seconds(1), preferences: TaskPreferences(retryDelay: .seconds(5)))
    bench.complete("a", on: 0, .error)
    bench.advance(.seconds(2))
    bench.abort("a")
    bench.recorder.expect("a → e0", "a: aborted")
    bench.advance(.seconds(5))
    bench.recorder.expectNothingElse()
  }

  @Test("a timeout that began before the first try does not end it while it rests")
  func restingAndTimeout() {
    var bench = SchedulerBench()
    bench.submit("a", retries: 3, timeout: .seconds(5), preferences: TaskPreferences(retryDelay: .seconds(60)))
    bench.advance(.seconds(1))
    bench.register(0)
    bench.complete("a", on: 0, .error)
    bench.advance(.seconds(30))
    bench.advance(.seconds(30))
    bench.recorder.expect("a → e0")
    bench.register(1)
    bench.recorder.expect("a → e1")
  }

  @Test("the engine that was to be tried next has gone while the task rested")
  func restingWhileOthersGo() {
    var bench = SchedulerBench(engines: 2)
    bench.submit("a", retries: 2, preferences: TaskPreferences(retryDelay: .seconds(1)))
    bench.complete("a", on: 0, .error)
    bench.lose(1)
    bench.advance(.seconds(1))
    bench.recorder.expect("a → e0", "a → e0")
  }

  @Test("a journal restates tasks in the order of their submission, whatever their priorities")
  func restated() {
    var bench = SchedulerBench(engines: 1)
    bench.submit("running")
    bench.submit("a")
    bench.submit("b", after: .all("a"), preferences: TaskPreferences(priority: 5))
    let names = bench.state.snapshot(now: bench.now, wall: .now()).compactMap { entry -> String? in
      if case .restated(let task) = entry { task.id.text } else { nil }
    }
    #expect(names == ["running", "a", "b"])
  }

  @Test("only after the exceptions that it names")
  func filter() {
    var bench = SchedulerBench(engines: 1)
    let preferences = TaskPreferences(retryOn: ["OSError", "EngineError"])
    bench.submit("a", retries: 5, preferences: preferences)
    bench.complete("a", on: 0, .error, name: "OSError")
    bench.complete("a", on: 0, .error, name: "ValueError")
    bench.recorder.expect("a → e0", "a → e0", "a: answer of e0")
    bench.submit("b", retries: 5, preferences: preferences)
    bench.lose(0)
    bench.advance(.zero)
    bench.register(1)
    bench.recorder.expect("b → e0", "b → e1")
    bench.submit("c", retries: 5, preferences: TaskPreferences(retryOn: ["OSError"]))
    bench.complete("b", on: 1)
    bench.lose(1)
    bench.advance(.zero)
    bench.recorder.expect("b: answer of e1", "c → e1", "c: EngineError")
  }

  // MARK: metadata

  @Test("what clients say of it")
  func metadata() throws {
    func read(_ metadata: JSONValue) throws -> TaskPreferences? {
      try TaskRequest(Messages.request("a", metadata: metadata), id: "a").preferences
    }
    let whole = try read([
      "priority": -3, "resources": ["gpu": 1, "memory": 0.5, "nothing": 0], "retry_delay": 1.5, "retry_on": ["A", "B"],
    ])
    #expect(whole?.priority == -3 && whole?.resources == ["gpu": 1, "memory": 0.5])
    #expect(whole?.retryDelay == .milliseconds(1500) && whole?.retryOn == ["A", "B"])
    let nothing = try read(["priority": 0, "resources": [:], "retry_delay": 0, "retry_on": [], "time_limit": 5])
    #expect(nothing == nil)
    for nonsense in [
      ["priority": 1.5], ["priority": "high"], ["priority": 10_001], ["resources": ["gpu"]], ["resources": ["gpu": -1]],
      ["resources": ["gpu": "one"]], ["retry_delay": -1], ["retry_delay": "soon"], ["retry_on": "OSError"], ["retry_on": [1]],
      ["time_limit": -1], ["priority": .int(.min)], ["priority": .int(.max)], ["kill_after": "never"],
    ] as [JSONValue] {
      #expect { _ = try read(nonsense) } throws: { ($0 as? RemoteError)?.name == "ValueError" }
    }
  }
}
