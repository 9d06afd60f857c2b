import ApusMessaging
import Testing

@testable import ApusController

@Suite("Explanations: engines")
struct EngineExplanationTests {
  @Test("it is idle, and its heart was heard")
  func idle() {
    let bench = ExplanationBench(engines: 1)
    let found = bench.explain(engine: 0, heartbeat: .milliseconds(1500))
    #expect(found.status == "registered" && found.summary == "engine 0 is idle: it has no task")
    #expect(found.codes == ["heartbeat", "registered"])
    #expect(found.reason("heartbeat")?.sentence == "its heart was last heard 1.50 s ago")
  }

  @Test("what it runs since when, and what waits there")
  func busy() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("a", label: "first")
    bench.advance(.seconds(1))
    bench.sendDirect("b", to: 0)
    bench.note("a", nil, .started)
    bench.advance(.seconds(2))
    let found = bench.explain(engine: 0)
    #expect(found.summary == "engine 0 runs a task, and 1 waits behind it")
    #expect(
      found.reasons.prefix(2).map(\.sentence) == [
        "it runs task a ('first'), which began 2.00 s ago", "task b waits there, for 2.00 s",
      ])
    #expect(found.facts["open"] == 2)
    bench.complete("a", on: 0)
    #expect(bench.explain(engine: 0).reason("runs")?.details["task"] == "b")
  }

  @Test("it was lost: why, when, and for how long it had been there", arguments: [EngineLoss.disconnected, .silent, .unregistered])
  func lost(cause: EngineLoss) {
    var bench = ExplanationBench(engines: 1)
    bench.advance(.seconds(60))
    bench.lose(0, cause)
    bench.advance(.seconds(5))
    let found = bench.explain(engine: 0)
    #expect(found.status == "lost")
    #expect(found.summary == "engine 0 \(cause == .unregistered ? "left" : "was lost"), 5.00 s ago")
    #expect(found.reasons.map(\.sentence) == [cause.sentence, "it had been there for 1 min 0 s"])
    bench.register(0)
    let back = bench.explain(engine: 0)
    #expect(back.status == "registered")
    #expect(back.reason("came_back")?.details["times"] == 1)
  }

  @Test("what an engine had before it was lost it has no more")
  func forgetsOpen() {
    var bench = ExplanationBench(engines: 1)
    bench.submit("t", retries: 1)
    bench.lose(0)
    bench.register(0)
    #expect(bench.explain(engine: 0).facts["open"] == 1)
    bench.complete("t", on: 0)
    #expect(bench.explain(engine: 0).facts["open"] == 0)
  }

  @Test("nobody knows it")
  func unknown() {
    let bench = ExplanationBench(engines: 1)
    let found = bench.explain(engine: 7)
    #expect(found.status == "unknown" && found.summary == "engine 7 is not known")
  }
}
