import ApusMessaging
import Testing

@testable import ApusController

@Suite("Hub: counters")
struct HubCounterTests {
  private let reply = Messages.reply(to: "t")

  private func event(_ id: MessageID, _ queue: TaskQueue?, _ kind: TaskEvent.Kind) -> TaskEvent {
    TaskEvent(id, queue, at: TaskSamples.base, kind)
  }
  private func submitted(_ id: MessageID, _ queue: TaskQueue, engine: EngineUUID? = nil) -> TaskEvent {
    event(id, queue, .submitted(request: Messages.request("t"), engine: engine))
  }
  private func placed(_ id: MessageID, _ engine: EngineUUID) -> TaskEvent { event(id, .task, .placed(engine: engine)) }
  private func retried(_ id: MessageID, from engine: EngineUUID, _ reason: RetryReason) -> TaskEvent {
    event(id, .task, .retried(from: engine, reason: reason))
  }
  private func finished(_ id: MessageID, _ queue: TaskQueue, engine: EngineUUID? = nil) -> TaskEvent {
    event(id, queue, .finished(reply: reply, engine: engine, outcome: .ok))
  }

  @Test("a direct request is in its engine's queue until it is answered")
  func direct() {
    var bench = HubBench()
    bench.join("a")
    bench.observe(
      submitted("x", .mux, engine: "a"), submitted("y", .mux, engine: "a"))
    #expect(bench.state.engines[EngineID(0)]?.queue == ["x", "y"])
    bench.observe(finished("x", .mux, engine: "a"))
    #expect(bench.state.engines[EngineID(0)]?.queue == ["y"])
    #expect(bench.state.engines[EngineID(0)]?.completedCount == 1)
    #expect(bench.state.engines[EngineID(0)].map { Array($0.completed) } == ["x"])
    #expect(bench.state.unassigned.isEmpty)
  }

  @Test("a load-balanced one is unassigned, then its engine's, then nobody's; a retry goes the way back")
  func balanced() {
    var bench = HubBench()
    bench.join("a")
    bench.join("b")
    bench.observe(submitted("x", .task))
    #expect(bench.state.unassigned == ["x"])
    bench.observe(placed("x", "a"))
    #expect(bench.state.unassigned.isEmpty)
    #expect(bench.state.engines[EngineID(0)]?.tasks == ["x"])
    bench.observe(retried("x", from: "a", .failed))
    #expect(bench.state.unassigned == ["x"])
    #expect(bench.state.engines[EngineID(0)]?.tasks == [])
    bench.observe(placed("x", "b"), finished("x", .task, engine: "b"))
    #expect(bench.state.engines[EngineID(1)]?.completedCount == 1)
    #expect(bench.state.engines[EngineID(0)]?.completedCount == 0)
    bench.observe(submitted("y", .task), finished("y", .task))
    #expect(bench.state.unassigned.isEmpty)
  }

  @Test("what an engine had is not counted when it is lost; how it ends is the relays' and schedulers' business")
  func lost() {
    var bench = HubBench()
    bench.join("a", connection: 1)
    bench.observe(
      submitted("x", .mux, engine: "a"), submitted("y", .task),
      placed("y", "a"))
    bench.recorder.messages = []
    bench.disconnects(1)
    bench.expect("a left 0: disconnected")
    bench.observe(event("x", .mux, .lost(engine: "a", cause: .disconnected)), finished("x", .mux, engine: "a"))
    bench.observe(event("y", .task, .lost(engine: "a", cause: .disconnected)), retried("y", from: "a", .engineLost))
    #expect(bench.state.unassigned == ["y"])
  }

  @Test("events about engines that nobody knows change nothing")
  func unknownEngines() {
    var bench = HubBench()
    bench.observe(
      submitted("x", .mux, engine: "nobody"), placed("y", "nobody"),
      finished("z", .task, engine: "nobody"))
    #expect(bench.state.unassigned.isEmpty)
  }

  @Test("of broadcasts nothing is counted, and what a task waits for changes no counter")
  func uncounted() {
    var bench = HubBench()
    bench.join("a")
    bench.observe(
      submitted("b", .broadcast), submitted("b_a", .broadcast, engine: "a"), event("b_a", nil, .started),
      finished("b_a", .broadcast, engine: "a"), finished("b", .broadcast))
    bench.observe(
      submitted("x", .task), event("x", .task, .waiting(for: 2)), event("x", .task, .queued()), placed("x", "a"),
      event("x", nil, .started), event("x", .task, .aborted))
    #expect(bench.state.unassigned.isEmpty)
    #expect(bench.state.engines[EngineID(0)]?.tasks == ["x"])
    #expect(bench.state.engines[EngineID(0)]?.queue == [])
    #expect(bench.state.engines[EngineID(0)]?.completedCount == 0)
  }

  @Test("the last completed ones are listed, all are counted")
  func completed() {
    var bench = HubBench()
    bench.join("a")
    for number in 0..<1500 { bench.state.observe(finished(MessageID("t\(number)"), .task, engine: "a")) }
    #expect(bench.state.engines[EngineID(0)]?.completedCount == 1500)
    #expect(bench.state.engines[EngineID(0)]?.completed.count == 1024)
    #expect(bench.state.engines[EngineID(0)]?.completed.last == "t1499")
  }
}
