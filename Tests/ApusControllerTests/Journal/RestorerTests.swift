import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Journal: restorer")
struct RestorerTests {
  private typealias Sample = JournalBlockTests

  private func restored(_ segments: [UInt8]...) -> (Restorer.Restored, Restorer) {
    var restorer = Restorer()
    for (index, bytes) in segments.enumerated() {
      bytes.withUnsafeBytes { restorer.read(segment: $0, name: "segment \(index)") }
    }
    let restored = restorer.finish()
    return (restored, restorer)
  }

  private func text(_ task: RestatedTask) -> String {
    "\(task.id) \(task.engine?.text ?? "-") \(task.attempt) \(task.spentRetries) \(task.refused.map(\.text).sorted().joined(separator: "+"))"
  }

  @Test("tasks are where they were, in the order of submission, and those that ended are not")
  func tasks() {
    let (restored, restorer) = restored(
      Sample.segment([
        [Sample.submitted("a"), Sample.submitted("b"), Sample.submitted("c"), Sample.placed("a", "e0")],
        [Sample.placed("b", "e1"), Sample.finished("a", "e0"), Sample.retried("b", "e1", .failed), Sample.placed("b", "e2")],
      ]), Sample.segment([[Sample.submitted("d"), Sample.placed("c", "e0"), Sample.retried("c", "e0", .undelivered)]]))
    #expect(restored.tasks.map(text) == ["b e2 1 1 e1", "c - 0 0 ", "d - 0 0 "])
    #expect(restored.outcomes.map(\.id) == ["a"])
    #expect(restored.outcomes.first?.outcome == JournalOutcome(succeeded: true, engine: "e0"))
    #expect(restored.results.map(\.id) == ["a"])
    #expect(restored.results.first?.client == Frame("client"))
    #expect(restorer.damages.isEmpty && restorer.tornBytes == 0)
  }

  @Test("one large result does not take the place of all others")
  func largeResult() {
    let time = Timestamp.now()
    let (restored, _) = restored(
      Sample.segment([
        [Sample.submitted("a"), Sample.finished("a", at: time)],
        [Sample.submitted("b"), Sample.finished("b", at: time, bytes: Restorer.resultBytesLimit + 1)],
        [Sample.submitted("c"), Sample.finished("c", at: time)],
      ]))
    #expect(restored.results.map(\.id) == ["a", "c"] && restored.outcomes.map(\.id) == ["a", "b", "c"])
  }

  @Test("what has left for a stock client is known to have, also by way of a snapshot, and not of what ended later")
  func delivered() {
    let ends = ["a", "b"].map { (id: MessageID) in
      TaskEvent(id, .task, at: .now(), .finished(reply: Messages.reply(to: id), engine: "e0", outcome: .ok))
    }
    let stock = ends.map { JournalEntry.end($0, client: Frame("stock")) }
    let (first, _) = restored(Sample.segment([[stock[0], .delivered(["x", "b", "a"]), stock[1]]]))
    #expect(first.results.map(\.isDelivered) == [true, false])
    var state = TaskSchedulerState()
    var effects = SchedulerRecorder()
    state.restore(first, engines: [], JournalConfiguration(), now: .now, wall: .now(), effects: &effects)
    #expect(state.resultsForStockClients(since: Timestamp(microseconds: 0)).map(\.id) == ["b"])
    state.delivered(["b", "y"])
    #expect(state.resultsForStockClients(since: Timestamp(microseconds: 0)).isEmpty)
    let (second, _) = restored(Sample.block(state.snapshot(now: .now, wall: .now())))
    #expect(second.results.map(\.isDelivered) == [true, true])
  }

  @Test("a small result of a stock client that has not left is sent by whatever controller comes, a large one after its moments")
  func undelivered() {
    let (before, end) = (Timestamp(microseconds: 1_000_000), Timestamp(microseconds: 31_000_000))
    let ends = [("small", 100, before), ("large", 100_000, before), ("late", 100_000, end)].map { id, bytes, time in
      TaskEvent(
        MessageID(id), .task, at: time,
        .finished(
          reply: Messages.reply(to: MessageID(id), buffers: [Frame([UInt8](repeating: 0, count: bytes))]), engine: "e0",
          outcome: .ok))
    }
    var bytes = Sample.segment([ends.map { JournalEntry.end($0, client: Frame("stock")) }])
    // Two controllers come and go, and the client does not come.
    for _ in 0..<3 {
      let (found, _) = restored(bytes)
      var state = TaskSchedulerState()
      var effects = SchedulerRecorder()
      state.restore(found, engines: [], JournalConfiguration(), now: .now, wall: .now(), effects: &effects)
      let sent = state.resultsForStockClients(since: end.advanced(by: .zero - JournalLimits.lastMoments))
      #expect(sent.map(\.id) == ["small", "late"])
      bytes = Sample.block(state.snapshot(now: .now, wall: .now()))
    }
  }

  @Test("what came to somebody else than its client is kept for it, and is not delivered any more")
  func takenBack() {
    let end = TaskEvent("a", .task, at: .now(), .finished(reply: Messages.reply(to: "a"), engine: "e0", outcome: .ok))
    let (found, _) = restored(Sample.segment([[.end(end, client: Frame("stock")), .delivered(["a"])]]))
    var state = TaskSchedulerState()
    var effects = SchedulerRecorder()
    state.restore(found, engines: [], JournalConfiguration(), now: .now, wall: .now(), effects: &effects)
    #expect(state.resultsForStockClients(since: Timestamp(microseconds: 0)).isEmpty)
    // The next controller knows it as well, and what follows.
    var facts: [JournalEntry] = [.end(end, client: Frame("stock")), .delivered(["a"]), .missed(["x", "a"])]
    #expect(restored(Sample.segment([facts])).0.results.map(\.isDelivered) == [false])
    facts.append(.delivered(["a"]))
    #expect(restored(Sample.segment([facts])).0.results.map(\.isDelivered) == [true])
    let taken = state.takeBack(["a", "x"]).map(\.id)
    #expect(taken == ["a"])
    #expect(state.resultsForStockClients(since: Timestamp(microseconds: 0)).map(\.id) == ["a"])
  }

  @Test("a stock client does not ask: it is told that its result was too large to be kept, where its result would be")
  func largeResultOfStockClient() throws {
    guard case .event(let end) = Sample.finished("a", bytes: Restorer.resultBytesLimit) else { return }
    let (restored, _) = restored(Sample.segment([[.end(end, client: Frame("stock"))]]))
    let reply = try #require(restored.results.first?.reply)
    #expect(reply.messageType == .applyReply && reply.parentID == "a")
    #expect(RemoteError(try reply.content())?.name == RemoteError.resultLost)
  }

  @Test("whose a stock client's task was is known where its request is gone, also by way of a snapshot")
  func addressee() {
    guard case .event(let end) = Sample.finished("a") else { return }
    let (first, _) = restored(Sample.segment([[.end(end, client: Frame("stock"))]]))
    #expect(first.results.map(\.client) == [Frame("stock")] && first.results.map(\.isOwnClient) == [false])
    let snapshot: [JournalEntry] = [.snapshotBegins] + first.results.map { .result($0) } + [.snapshotEnds(tasks: 0)]
    let (second, _) = restored(Sample.segment([snapshot]))
    #expect(second.results.map(\.client) == [Frame("stock")] && second.results.map(\.isOwnClient) == [false])
    let (own, _) = restored(Sample.segment([[Sample.finished("b")]]))
    #expect(own.results.map(\.client) == [nil] && own.results.map(\.isOwnClient) == [true])
  }

  @Test("where most tasks of a part have ended, the others do not keep it in memory")
  func sparse() {
    let tasks = (0..<100).map { MessageID("t\($0)") }
    func isStored(_ ended: ArraySlice<MessageID>) -> Set<Bool> {
      let entries = tasks.map { Sample.submitted($0) } + ended.map { Sample.finished($0) }
      let (restored, _) = restored(Sample.segment([entries]))
      #expect(restored.tasks.map(\.message.frames) == tasks.dropFirst(ended.count).map { Messages.request($0).frames })
      return Set(restored.tasks.map { if case .stored = $0.request { true } else { false } })
    }
    #expect(isStored(tasks[..<0]) == [true])
    #expect(isStored(tasks[..<40]) == [true])
    #expect(isStored(tasks[..<60]) == [false])
  }

  @Test("a task has ended where only a later word about its end is left, in a snapshot or outside of one")
  func later() {
    let first = Sample.segment([[Sample.submitted("a"), Sample.placed("a", "e0"), Sample.submitted("b")]])
    let outcome = JournalEntry.outcome("a", JournalOutcome(succeeded: true, engine: "e0"))
    #expect(restored(first, Sample.segment([[outcome]])).0.tasks.map(\.id) == ["b"])
    #expect(restored(first, Sample.segment([[.snapshotBegins, outcome]])).0.tasks.map(\.id) == ["b"])
  }

  @Test("a task that nobody wants any more has no retries left, and one that came back knows since when it rests")
  func wishes() {
    let (restored, _) = restored(
      Sample.segment([
        [Sample.submitted("a"), Sample.placed("a", "e0"), .unwanted("a"), .unwanted("x")],
        [Sample.submitted("b"), Sample.placed("b", "e0"), Sample.retried("b", "e0", .failed)],
        [Sample.submitted("c"), Sample.placed("c", "e0"), Sample.retried("c", "e0", .failed), Sample.placed("c", "e1")],
        [Sample.submitted("d"), Sample.placed("d", "e0"), Sample.retried("d", "e0", .undelivered)],
      ]))
    #expect(restored.tasks.map(\.id) == ["a", "b", "c", "d"])
    #expect(restored.tasks[0].spentRetries > 1 << 20)
    #expect(restored.tasks.map { $0.restsSince != nil } == [false, true, false, false])
  }

  @Test("how tasks had ended before a snapshot is as the last one says, and one that was cut off adds to it")
  func ended() {
    func part(_ code: Int) -> JournalEntry { .ended(EndedTasks(seed: 1, ends: [.init(code: code, succeeded: true)])) }
    func codes(_ restored: Restorer.Restored) -> [Int] { restored.ended.flatMap { $0.ends.map(\.code) } }
    let first = Sample.segment([[.snapshotBegins, part(1), part(2), .snapshotEnds(tasks: 0)]])
    let second = Sample.segment([[.snapshotBegins, part(1), part(2), part(3), .snapshotEnds(tasks: 0)]])
    #expect(codes(restored(first, second).0) == [1, 2, 3])
    #expect(codes(restored(first, Sample.segment([[.snapshotBegins, part(3)]])).0) == [1, 2, 3])
    #expect(!restored(first).0.isEmpty)
  }

  @Test("a snapshot takes the place of what was before it")
  func snapshots() {
    let (restored, restorer) = restored(
      Sample.segment([[Sample.submitted("a"), Sample.submitted("b"), Sample.finished("x")]]),
      Sample.segment([
        [
          .snapshotBegins, .outcome("y", JournalOutcome(succeeded: false)),
          .restated(RestatedTask(id: "b", message: Messages.request("b"), engine: "e9")),
        ],
        [.snapshotEnds(tasks: 1), Sample.submitted("c")],
      ]))
    #expect(restored.tasks.map(text) == ["b e9 0 0 ", "c - 0 0 "])
    // Results and outcomes of before stay: clients and dependencies may ask for them.
    #expect(restored.outcomes.map(\.id) == ["x", "y"])
    #expect(restored.results.map(\.id) == ["x"])
    #expect(restorer.damages.isEmpty)
  }

  @Test("a snapshot that was cut off adds to what was before it")
  func tornSnapshot() {
    let (restored, _) = restored(
      Sample.segment([[Sample.submitted("a"), Sample.submitted("b"), Sample.placed("b", "e1")]]),
      Sample.segment([[.snapshotBegins, .restated(RestatedTask(id: "a", message: Messages.request("a")))]]))
    #expect(restored.tasks.map(text) == ["a - 0 0 ", "b e1 0 0 "])
  }

  @Test("a snapshot with a damaged part leaves tasks as they were before it, and says so")
  func damagedSnapshot() {
    var middle = Sample.block([.restated(RestatedTask(id: "b", message: Messages.request("b"), engine: "e9"))])
    middle[20] ^= 1
    let (restored, restorer) = restored(
      Sample.segment([[Sample.submitted("a"), Sample.submitted("b"), Sample.placed("b", "e1")]]),
      Sample.block([.snapshotBegins, .restated(RestatedTask(id: "a", message: Messages.request("a"), engine: "e5"))]) + middle
        + Sample.block([.snapshotEnds(tasks: 2)]))
    #expect(restored.tasks.map(text).sorted() == ["a e5 0 0 ", "b e1 0 0 "])
    #expect(restorer.damages.count == 2, "\(restorer.damages)")
  }

  @Test("a torn tail is cut and counted; a damaged middle is reported and skipped")
  func damage() {
    var broken = Sample.block([Sample.submitted("b")])
    broken[broken.count - 1] ^= 4
    let torn = Sample.block([Sample.finished("a")]).dropLast(3)
    let (restored, restorer) = restored(
      Sample.block([Sample.submitted("a")]) + broken + Sample.block([Sample.submitted("c")]) + torn)
    #expect(restored.tasks.map(text) == ["a - 0 0 ", "c - 0 0 "])
    #expect(restorer.tornBytes == torn.count)
    #expect(restorer.damages.count == 1)
  }

  @Test("a request that came twice is one task, also when it has ended between the two")
  func twice() {
    let (restored, _) = restored(
      Sample.segment([
        [Sample.submitted("a"), Sample.submitted("b"), Sample.submitted("a"), Sample.finished("b"), Sample.submitted("b")]
      ]))
    #expect(restored.tasks.map(text) == ["a - 0 0 "])
  }

  @Test("a result that snapshots repeat is one, and still knows whose it is; a later one of the same task counts")
  func repeatedResults() {
    func result(_ text: String, _ second: Int) -> JournalResult {
      JournalResult(
        id: "a", reply: Messages.reply(to: "a", buffers: [Frame(text)]), time: Timestamp(microseconds: second * 1_000_000),
        outcome: .ok, engine: "e0")
    }
    func finished(_ text: String, _ second: Int) -> JournalEntry {
      let result = result(text, second)
      return .event(TaskEvent("a", .task, at: result.time, .finished(reply: result.reply, engine: "e0", outcome: .ok)))
    }
    func snapshot(_ result: JournalResult) -> [UInt8] {
      Sample.segment([[.snapshotBegins, .result(result), .snapshotEnds(tasks: 0)]])
    }
    let first = Sample.segment([[Sample.submitted("a"), finished("first", 1)]])
    let once = restored(first, snapshot(result("first", 1)), snapshot(result("first", 1))).0.results
    #expect(once.map { $0.reply.buffers.map(\.text) } == [["first"]] && once.first?.client == Frame("client"))
    let again = restored(first, snapshot(result("first", 1)), Sample.segment([[Sample.submitted("a"), finished("second", 2)]])).0
      .results
    #expect(again.last?.reply.buffers.map(\.text) == ["second"])
    #expect(
      restored(first, Sample.segment([[finished("second", 90)]])).0.results.map { $0.reply.buffers.map(\.text) } == [["second"]])
  }

  @Test("results are kept for a minute and up to a size, outcomes up to a number")
  func bounds() {
    let start = Timestamp.now()
    func at(_ seconds: Int) -> Timestamp { Timestamp(microseconds: start.microseconds + seconds * 1_000_000) }
    let (late, _) = restored(
      Sample.segment([[Sample.finished("old", at: at(0)), Sample.finished("a", at: at(2)), Sample.finished("b", at: at(61))]]))
    #expect(late.results.map(\.id) == ["a", "b"])
    let (large, _) = restored(Sample.segment((0..<5).map { [Sample.finished(MessageID("t\($0)"), at: at(0), bytes: 20 << 20)] }))
    #expect(large.results.map(\.id) == ["t2", "t3", "t4"])
    var restorer = Restorer(outcomeLimit: 2)
    Sample.segment([["a", "b", "c"].map { Sample.finished($0) }]).withUnsafeBytes { restorer.read(segment: $0, name: "") }
    #expect(restorer.finish().outcomes.map(\.id) == ["b", "c"])
  }

  @Test("whatever happened to tasks, the journal tells the same story", arguments: 0..<20)
  func histories(round: UInt64) {
    let seed = SeededRandom.newSeed() &+ round
    var random = SeededRandom(seed: seed)
    var expected: [(id: MessageID, engine: EngineUUID?, spent: Int)] = []
    var blocks: [[JournalEntry]] = [[]]
    var finished: [MessageID] = []
    var segments: [[[JournalEntry]]] = []
    for step in 0..<400 {
      switch Int.random(in: 0..<100, using: &random) {
      case 0..<35:
        let id = MessageID("t\(step)")
        blocks[blocks.count - 1].append(Sample.submitted(id))
        expected.append((id, nil, 0))
      case 35..<60:
        guard let index = expected.indices.randomElement(using: &random), expected[index].engine == nil else { continue }
        let engine = EngineUUID("e\(Int.random(in: 0..<4, using: &random))")
        expected[index].engine = engine
        blocks[blocks.count - 1].append(Sample.placed(expected[index].id, engine))
      case 60..<70:
        guard let index = expected.indices.randomElement(using: &random), let engine = expected[index].engine else { continue }
        let reason = [RetryReason.failed, .unmetDependency, .engineLost, .undelivered, .overtaken][
          Int.random(in: 0..<5, using: &random)]
        expected[index].engine = nil
        if [.failed, .engineLost, .overtaken].contains(reason) { expected[index].spent += 1 }
        blocks[blocks.count - 1].append(Sample.retried(expected[index].id, engine, reason))
      case 70..<85:
        guard let index = expected.indices.randomElement(using: &random) else { continue }
        let task = expected.remove(at: index)
        finished.append(task.id)
        blocks[blocks.count - 1].append(Sample.finished(task.id, task.engine, random.chance(80) ? .ok : .error))
      case 85..<94: blocks.append([])
      case 94..<97:
        segments.append(blocks)
        blocks = [[]]
      default:
        // The journal restates what there is, and what was before goes, sometimes.
        segments.append(blocks)
        if random.chance(50) { segments = [] }
        var entries: [JournalEntry] = [.snapshotBegins]
        entries += expected.map {
          .restated(RestatedTask(id: $0.id, message: Messages.request($0.id), engine: $0.engine, spentRetries: $0.spent))
        }
        blocks = [entries, [.snapshotEnds(tasks: expected.count)]]
      }
    }
    segments.append(blocks)
    var restorer = Restorer()
    for segment in segments { Sample.segment(segment).withUnsafeBytes { restorer.read(segment: $0, name: "") } }
    let restored = restorer.finish()
    let found = restored.tasks.map { "\($0.id) \($0.engine?.text ?? "-") \($0.spentRetries)" }
    #expect(
      found == expected.map { "\($0.id) \($0.engine?.text ?? "-") \($0.spent)" }, "APUS_SEED=\(seed &- round), round \(round)")
    #expect(Set(restored.outcomes.map(\.id)).isSubset(of: finished))
    #expect(restorer.damages.isEmpty)
  }
}
