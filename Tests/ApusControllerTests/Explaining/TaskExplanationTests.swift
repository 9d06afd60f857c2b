import ApusMessaging
import Testing

@testable import ApusController

@Suite("Explanations: tasks")
struct TaskExplanationTests {
  // MARK: what waits

  @Test("it waits for other tasks: which, and how they stand")
  func dependencies() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("done", targets: [0])
    bench.complete("done", on: 0)
    bench.submit("running")
    bench.submit("queued")
    bench.submit("t", after: .all("done", "running", "queued"))
    bench.advance(.seconds(3))
    let found = bench.explain("t")
    #expect(found.status == "waiting")
    #expect(found.summary == "task t waits for other tasks, for 3.00 s now")
    #expect(found.codes == ["dependency", "dependency"])
    #expect(
      found.reasons.map(\.sentence) == [
        "it runs when task queued has ended well: that one waits for an engine",
        "it runs when task running has ended well: that one is on engine 0",
      ])
    #expect(found.reasons[0].details == JSONObject(members: [("task", "queued"), ("stage", "queued")]))
  }

  @Test("it waits for any of several tasks, which may fail")
  func anyDependency() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("a")
    bench.submit("b", after: .all("a"))
    bench.submit("t", after: .any("a", "b", success: false, failure: true))
    let found = bench.explain("t")
    #expect(found.codes == ["any_dependency", "dependency", "dependency"])
    #expect(found.reasons[1].sentence == "it runs when task a has failed: that one is on engine 0")
    #expect(found.reasons[2].sentence == "it runs when task b has failed: that one waits for other tasks itself")
  }

  @Test("no engine has what it asks for")
  func resources() {
    var bench = ExplanationBench(engines: 1)
    bench.register(1, resources: ["gpu": 1])
    bench.submit("a", targets: [1])
    bench.submit("t", more: ["resources": ["gpu": 1]])
    let found = bench.explain("t")
    #expect(Set(found.codes) == ["resources", "busy"])
    #expect(found.reason("resources")?.sentence == "engine 0 has not what it asks for: gpu=1.0")
  }

  @Test("it rests before another try")
  func pause() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("t", retries: 2, more: ["retry_delay": 4])
    bench.complete("t", on: 0, error: "no luck")
    bench.advance(.seconds(1))
    let found = bench.explain("t")
    #expect(found.status == "waiting" && found.codes == ["pause"])
    #expect(found.reasons[0].sentence == "it has come back once, and is tried again in 3.00 s")
  }

  @Test("it waits for an engine, and there is none")
  func noEngine() {
    var bench = ExplanationBench()
    bench.submit("t")
    let found = bench.explain("t")
    #expect(found.status == "queued")
    #expect(found.codes == ["no_engine"])
  }

  @Test("every engine is busy, and others are before it")
  func busy() {
    var bench = ExplanationBench(engines: 2)
    for id in ["a", "b", "c", "d", "t"] { bench.submit(id) }
    let found = bench.explain("t")
    #expect(found.codes == ["busy", "busy", "position"])
    #expect(found.reason("busy")?.sentence == "engine 1 is busy: it has 1 task, and may have 1")
    #expect(found.reason("position")?.sentence == "2 tasks are to be served before it")
    #expect(found.reason("position")?.details["ahead"] == 2)
  }

  @Test("many busy engines are one reason")
  func manyBusy() {
    var bench = ExplanationBench(hwm: 2, engines: 6)
    for number in 0..<12 { bench.submit("x\(number)") }
    bench.submit("t")
    #expect(bench.explain("t").reasons.map(\.sentence) == ["6 engines are busy: each has as many tasks as it may, which is 2"])
  }

  @Test("its targets: one was never here, one is gone, one is busy")
  func targets() {
    var bench = ExplanationBench(engines: 3)
    bench.submit("other", targets: [1])
    bench.lose(2)
    bench.submit("t", targets: [1, 2, 7])
    let found = bench.explain("t")
    #expect(found.codes == ["target_missing", "busy", "gone"])
    #expect(found.reasons[0].sentence == "it is limited to engine e7, which is not here")
    #expect(found.reasons[2].sentence == "engine 2, which it is limited to, is gone")
    #expect(bench.ids.count == 2)
  }

  @Test("its only engine drains")
  func draining() {
    var bench = ExplanationBench(engines: 1)
    bench.drain(0)
    bench.submit("t")
    let found = bench.explain("t")
    #expect(found.codes == ["draining"])
    #expect(found.reasons[0].sentence == "engine 0 gets no more tasks: it is about to go")
  }

  @Test("an engine declined it: a functional dependency is not met there")
  func declined() {
    var bench = ExplanationBench(engines: 2)
    bench.submit("other", targets: [1])
    bench.submit("t")
    bench.complete("t", on: 0, declines: true)
    let found = bench.explain("t")
    #expect(found.status == "queued")
    #expect(Set(found.codes) == ["declined", "busy"])
    #expect(found.reason("declined")?.sentence == "engine 0 declined it: a functional dependency is not met there")
    #expect(found.tries.map(\.end) == ["unmet_dependency"])
  }

  @Test("it failed on an engine, and waits for another one")
  func failedThere() {
    var bench = ExplanationBench(engines: 2)
    bench.submit("other", targets: [1])
    bench.submit("t", retries: 3)
    bench.advance(.milliseconds(20))
    bench.complete("t", on: 0, error: "no")
    let found = bench.explain("t")
    #expect(found.status == "queued")
    #expect(found.reason("failed_there")?.sentence == "it has failed on engine 0, and others are tried first")
    #expect(found.reason("busy") != nil)
    #expect(found.facts["retries_left"] == 2)
    #expect(found.tries.map(\.sentence) == ["engine 0, 20.0 ms: it failed: ValueError: no"])
  }

  @Test("it follows a task that ran elsewhere, where it is busy now")
  func follow() {
    var bench = ExplanationBench(engines: 2)
    bench.submit("x", targets: [1])
    bench.complete("x", on: 1)
    bench.submit("busy", targets: [1])
    bench.submit("t", follow: .all("x"))
    let found = bench.explain("t")
    #expect(found.reason("not_followed")?.sentence == "engine 0 did not run what it is to follow")
    #expect(found.reason("busy")?.details["engine"] == 1)
    #expect(found.reason("follow")?.sentence == "it is to run where task x ran: that one ended well on engine 1")
  }

  @Test("its timeout is told while it waits, and is the reason when it is over")
  func timeout() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("other")
    bench.submit("t", timeout: .seconds(10))
    bench.advance(.seconds(4))
    let waiting = bench.explain("t")
    #expect(waiting.reason("timeout")?.details["seconds_left"] == 6.0)
    bench.advance(.seconds(7))
    let ended = bench.explain("t")
    #expect(ended.status == "ended" && ended.facts["outcome"] == "timed_out")
    #expect(ended.codes == ["timeout"])
    #expect(ended.phases.map(\.name) == ["waiting for an engine"])
    #expect(ended.phases[0].length == 11_000_000)
  }

  // MARK: what is on an engine

  @Test("it is the first on its engine: it runs")
  func runs() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("t", label: "mine")
    bench.advance(.seconds(2))
    let found = bench.explain("t")
    #expect(found.status == "running")
    #expect(found.summary == "task t is on engine 0, for 2.00 s now")
    #expect(found.codes == ["runs"])
    #expect(found.facts["label"] == "mine" && found.facts["client"] == "client" && found.facts["engine"] == 0)
    bench.note("t", nil, .started)
    bench.advance(.seconds(1))
    #expect(bench.explain("t").summary == "task t runs on engine 0, for 1.00 s now")
  }

  @Test("a direct request is behind others at its engine")
  func direct() {
    var bench = ExplanationBench(engines: 1)
    bench.sendDirect("a", to: 0, label: "long")
    bench.submit("b")
    bench.sendDirect("t", to: 0)
    let found = bench.explain("t")
    #expect(found.status == "placed")
    #expect(found.reason("behind")?.sentence == "it is behind 2 other tasks there")
    #expect(found.reason("engine_runs")?.sentence == "engine 0 got task a ('long') first, 0 µs ago")
    bench.answerDirect("a", from: 0)
    #expect(bench.explain("t").reason("behind")?.details["behind"] == 1)
    bench.complete("b", on: 0)
    #expect(bench.explain("t").status == "running")
    bench.advance(.milliseconds(5))
    bench.answerDirect("t", from: 0)
    #expect(bench.explain("t").summary == "task t ended well on engine 0, 0 µs ago")
  }

  @Test("an abort was asked for, and the engine has not answered it")
  func abortRequested() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("t")
    bench.abort("t")
    let found = bench.explain("t")
    #expect(found.status == "running" && found.codes == ["runs", "abort_requested"])
  }

  // MARK: what has ended

  @Test("it ended well, with its time by phase")
  func ended() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("other")
    bench.submit("t")
    bench.advance(.seconds(1))
    bench.complete("other", on: 0)
    bench.advance(.seconds(3))
    bench.complete("t", on: 0, ran: .seconds(2))
    let found = bench.explain("t")
    #expect(found.status == "ended" && found.facts["outcome"] == "ok" && found.codes == [])
    #expect(
      found.phases.map(\.name) == [
        "waiting for an engine", "on the way to its engine and in its queue", "running", "on the way back",
      ])
    #expect(found.phases.map(\.length) == [1_000_000, 1_000_000, 2_000_000, 0])
    #expect(found.tries.map(\.end) == ["ok"])
  }

  @Test("it failed everywhere: each try with its reason")
  func retries() {
    var bench = ExplanationBench(engines: 2)
    bench.submit("t", retries: 2)
    bench.complete("t", on: 0, error: "first")
    bench.lose(1)
    bench.complete("t", on: 0, error: "last")
    let found = bench.explain("t")
    #expect(found.status == "ended" && found.facts["outcome"] == "error")
    #expect(found.codes == ["error", "retries_spent"])
    #expect(found.reasons[0].sentence == "ValueError: last")
    #expect(found.tries.map(\.end) == ["failed", "engine_lost", "error"])
    #expect(found.tries[0].sentence == "engine 0, 0 µs: it failed: ValueError: first")
    #expect(found.tries.map(\.engineID) == [EngineID(0), EngineID(1), EngineID(0)])
    #expect(found.text.contains("  2. engine 1, 0 µs: the engine was lost: its connection was lost"))
  }

  @Test("its engine was lost with it", arguments: [EngineLoss.disconnected, .silent])
  func lost(cause: EngineLoss) {
    var bench = ExplanationBench(engines: 1)
    bench.submit("t")
    bench.sendDirect("d", to: 0)
    bench.lose(0, cause)
    for id in ["t", "d"] {
      let found = bench.explain(id)
      #expect(found.summary.hasPrefix("task \(id) was lost with engine 0"))
      #expect(found.codes == ["engine_lost"])
      #expect(found.reasons[0].sentence == cause.sentence)
    }
  }

  @Test("it was aborted: by whom, before or after an engine had it")
  func aborted() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("other")
    bench.submit("own")
    bench.submit("foreign")
    bench.abort("own")
    bench.abort("foreign", by: "somebody")
    #expect(bench.explain("own").reasons.map(\.sentence) == ["its own client asked for its end; it ended before an engine had it"])
    let foreign = bench.explain("foreign")
    #expect(foreign.facts["outcome"] == "aborted")
    #expect(foreign.reasons.map(\.sentence) == ["client somebody asked for its end; it ended before an engine had it"])
  }

  @Test("it can never run: the task that it depends on failed, before or after its submission")
  func impossible() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("x")
    bench.submit("t", after: .all("x"))
    bench.complete("x", on: 0, error: "no")
    bench.submit("late", after: .all("x"))
    let found = bench.explain("t")
    #expect(found.facts["outcome"] == "impossible")
    #expect(found.reasons.map(\.sentence) == ["ImpossibleDependency: task x ended"])
    #expect(bench.explain("late").reasons.map(\.sentence) == ["ImpossibleDependency: task x failed"])
  }

  @Test("it was refused: it asks for nonsense, or for a task that nobody knows")
  func refused() {
    var bench = ExplanationBench(engines: 1)
    bench.refuse("t", "retries is a number from 0 on")
    #expect(bench.explain("t").reasons.map(\.sentence) == ["ValueError: retries is a number from 0 on"])
    bench.submit("u", after: .all("nobody"))
    #expect(bench.explain("u").reason("refused")?.sentence.hasPrefix("InvalidDependency: unknown task nobody") == true)
  }

  @Test("it was submitted again under another id")
  func resubmitted() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("t")
    bench.complete("t", on: 0)
    bench.note("t", nil, .resubmitted(as: "again"))
    #expect(bench.explain("t").codes == ["resubmitted"])
    #expect(bench.explain("t").facts["resubmitted"] == "again")
  }

  // MARK: what is not known any more, or comes from elsewhere

  @Test("nobody has ever seen it, or the history has dropped it")
  func unknown() {
    var bench = ExplanationBench(engines: 1, limit: 4096)
    #expect(bench.explain("t").reasons.map(\.sentence) == ["this controller has never seen it"])
    bench.submit("t")
    bench.complete("t", on: 0)
    for number in 0..<100 {
      bench.submit("x\(number)")
      bench.complete("x\(number)", on: 0)
    }
    // The scheduler still knows how it ended, for those that depend on it.
    let forgotten = bench.explain("t")
    #expect(forgotten.status == "ended" && forgotten.codes == ["forgotten"])
    #expect(forgotten.summary == "task t ended well on engine 0")
    let never = bench.explain("never")
    #expect(never.status == "unknown")
    #expect(never.reasons[0].sentence.hasPrefix("it was never here, or has been dropped from the history, which begins at 2027-"))
    var record = TaskReasoning.Record()
    record.status = "error"
    record.error = "ValueError: no"
    record.engine = "e0"
    let recorded = bench.explain("never", record: record)
    #expect(recorded.summary == "task never failed on engine 0")
    #expect(recorded.codes == ["error", "database"])
  }

  @Test("after a restart: it is held until the engines of before have said what they have, and is from the journal")
  func restored() {
    var bench = ExplanationBench()
    let running = RestatedTask(id: "r", message: Messages.request("r"), engine: "e0")
    bench.restore([RestatedTask(id: "t", message: Messages.request("t")), running], engines: [0])
    let found = bench.explain("t")
    #expect(found.codes == ["restart", "awaited", "restored"])
    #expect(found.facts["restored"] == true)
    #expect(found.reasons[0].sentence == "the controller was restarted and places nothing yet: 1 engine has not said what it had")
    #expect(bench.explain("r").codes == ["runs", "restored"])
    // It comes when nothing is held any more, and is heard first.
    bench.advance(.seconds(3))
    bench.register(0)
    let late = bench.explain("t")
    #expect(late.codes == ["unaccounted", "restored"])
    #expect(late.reasons[0].sentence == "engine 0 is back since the controller was restarted, and has not said yet what it had")
  }

  @Test("a broadcast: who has answered, and who has not")
  func broadcast() {
    var bench = ExplanationBench(engines: 2)
    let request = Messages.request("b")
    bench.note("b", .broadcast, .submitted(request: request, engine: nil))
    for number in 0..<2 {
      bench.note(MessageID("b_e\(number)"), .broadcast, .submitted(request: request, engine: ExplanationBench.engine(number)))
    }
    bench.note("b_e0", .broadcast, .finished(reply: Messages.reply(to: "b_e0"), engine: "e0", outcome: .ok))
    let open = bench.explain("b")
    #expect(open.status == "running" && open.codes == ["share_open", "share_ok"])
    #expect(open.reasons[0].sentence == "engine 1 has not answered")
    bench.note("b_e1", .broadcast, .lost(engine: "e1", cause: .silent))
    bench.note("b_e1", .broadcast, .finished(reply: Messages.reply(to: "b_e1"), engine: "e1", outcome: .lost))
    let ended = bench.explain("b")
    #expect(ended.status == "ended" && ended.summary == "broadcast b has ended on 2 engines, and failed on 1")
    #expect(bench.explain("b_e0").status == "ended")
  }

  @Test("what is told is the same after it went over the wire")
  func json() throws {
    var bench = ExplanationBench(engines: 2)
    bench.submit("t", retries: 1)
    bench.complete("t", on: 0, error: "first")
    bench.advance(.seconds(1))
    bench.complete("t", on: 1, error: "last", ran: .milliseconds(5))
    let found = bench.explain("t")
    let read = try #require(Explanation(JSONValue(parsing: found.json.text)))
    #expect(read == found)
    #expect(read.text == found.text)
    #expect(Explanation("nothing") == nil && Explanation(["subject": "x"]) == nil)
  }
}
