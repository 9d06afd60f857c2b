import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// Writes down what the broadcast scheduler's state wants done.
struct BroadcastRecorder: BroadcastEffects {
  private(set) var messages: [String] = []
  private(set) var shares: [String: JSONObject] = [:]
  private(set) var events: [String] = []
  private(set) var stories = TaskStories()
  /// What was last said of an engine that a broadcast did not have.
  private(set) var reason = ""

  mutating func send(_ request: Envelope, id: MessageID, metadata: JSONObject, to engine: EngineUUID) {
    messages.append("\(id) → \(engine)")
    shares[id.text] = metadata
  }

  mutating func relay(_ reply: Envelope) { messages.append("relayed \(reply.frames[0].text)") }

  mutating func combine(_ combined: CombinedReply, to request: Envelope) -> Envelope {
    if case .lost(let error) = combined.outcome { reason = error.value }
    let outcome =
      switch combined.outcome {
      case .succeeded(let replies): replies.map { $0.frames[0].text }.joined(separator: " ")
      case .failed(let reply): "failure of \(reply.frames[0].text)"
      case .lost(let error): error.name
      }
    return Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject,
      content: Frame("\(combined.original): \(outcome)"))
  }

  mutating func failure(_ error: RemoteError, of id: MessageID, _ request: Envelope) -> Envelope {
    Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject,
      content: Frame("\(id): \(error.name)"))
  }

  mutating func answer(_ request: Envelope, with reply: Envelope) { messages.append(reply.contentFrame.text) }

  mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) {
    stories.note(task, kind)
    events.append(kind.text(of: task))
  }

  mutating func expectEvents(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(events == expected, sourceLocation: location)
    events = []
  }

  mutating func expect(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(messages == expected, sourceLocation: location)
    messages = []
  }
}

@Suite("Broadcast scheduler")
struct BroadcastTests {
  @Test("an engine that is back before the time is over owes what it owed, and what is asked of it meanwhile is lost at once")
  func backInTime() throws {
    var bench = Bench(engines: 2)
    try bench.submit("a", to: [0, 1], coalescing: true)
    bench.complete("a", by: 0)
    let owed = bench.state.engineLost("e1")
    #expect(owed == ["a_e1"])
    // Between loss and grace: nobody would ever answer for it.
    try bench.submit("b", to: [0, 1], coalescing: true)
    bench.complete("b", by: 0)
    bench.recorder.expect("a_e0 → e0", "a_e1 → e1", "b_e0 → e0", "b: EngineError")
    #expect(bench.recorder.reason == "Task b was not sent: its engine e1 is not registered")
    bench.state.engineRegistered("e1")
    try bench.submit("c", to: [1], coalescing: true)
    bench.recorder.expect("c_e1 → e1")
    bench.state.giveUp(owed, of: "e1", cause: .disconnected, effects: &bench.recorder)
    bench.recorder.expect("a: EngineError")
    #expect(bench.recorder.reason.contains("died while running"))
    bench.complete("c", by: 1)
    bench.recorder.expect("c: e1")
    #expect(bench.state.pendingCount == 0 && bench.state.checkInvariants() == [])
  }

  private struct Bench {
    var state = BroadcastState()
    var recorder = BroadcastRecorder()

    init(engines: Int) { for number in 0..<engines { state.engineRegistered(EngineUUID("e\(number)")) } }

    private func verify(_ location: SourceLocation) {
      #expect(state.checkInvariants() == [], sourceLocation: location)
      #expect(recorder.stories.wrong == [], sourceLocation: location)
      #expect(recorder.stories.unfinished.count == state.pendingCount + state.shareCount, sourceLocation: location)
    }

    mutating func submit(_ id: String, to engines: [Int], coalescing: Bool, at location: SourceLocation = #_sourceLocation)
      throws(RemoteError)
    {
      let targets = JSONValue.array(engines.map { ["e\($0)", .int($0)] })
      try submit(id, ["targets": targets, "is_coalescing": .bool(coalescing), "is_broadcast": true], at: location)
    }

    mutating func submit(_ id: String, _ metadata: JSONObject, at location: SourceLocation = #_sourceLocation) throws(RemoteError) {
      try state.submit(Messages.request(MessageID(id)), id: MessageID(id), metadata: metadata, effects: &recorder)
      verify(location)
    }

    mutating func complete(
      _ id: String, by engine: Int, status: String = "ok", coalescing: Bool = true, at location: SourceLocation = #_sourceLocation
    ) {
      let metadata: JSONValue = ["status": .string(status), "is_coalescing": .bool(coalescing), "original_msg_id": .string(id)]
      let reply = Messages.reply(to: MessageID("\(id)_e\(engine)"), from: "e\(engine)", metadata: metadata)
      state.completed(reply, metadata: metadata.objectValue ?? [:], by: EngineUUID("e\(engine)"), effects: &recorder)
      verify(location)
    }

    mutating func refuse(_ id: String, at location: SourceLocation = #_sourceLocation) {
      let error = RemoteError(name: "ValueError", value: "nonsense")
      state.refuse(Messages.request(MessageID(id)), id: MessageID(id), error, effects: &recorder)
      verify(location)
    }

    mutating func lose(_ engine: Int, at location: SourceLocation = #_sourceLocation) {
      let owed = state.engineLost(EngineUUID("e\(engine)"))
      state.giveUp(owed, of: EngineUUID("e\(engine)"), cause: .disconnected, effects: &recorder)
      verify(location)
    }
  }

  @Test("one message becomes one for each engine, under an id of its own and with its own target")
  func shares() throws {
    var bench = Bench(engines: 2)
    try bench.submit("b", to: [1, 0], coalescing: false)
    bench.recorder.expect("b_e1 → e1", "b_e0 → e0")
    #expect(bench.recorder.shares["b_e1"]?["targets"] == [["e1", 1]])
    #expect(bench.recorder.shares["b_e1"]?["original_msg_id"] == "b")
    #expect(bench.recorder.shares["b_e1"]?["is_broadcast"] == true)
    bench.complete("b", by: 0, coalescing: false)
    bench.complete("b", by: 1, status: "error", coalescing: false)
    bench.recorder.expect("relayed e0", "relayed e1")
    #expect(bench.state.pendingCount == 0)
  }

  @Test(
    "coalesced: one answer, in the order of the request, whatever the order of the replies",
    arguments: [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
  func order(replies: [Int]) throws {
    var bench = Bench(engines: 3)
    try bench.submit("b", to: [2, 0, 1], coalescing: true)
    bench.recorder.expect("b_e2 → e2", "b_e0 → e0", "b_e1 → e1")
    for engine in replies.dropLast() { bench.complete("b", by: engine) }
    bench.recorder.expect()
    bench.complete("b", by: replies[2])
    bench.recorder.expect("b: e2 e0 e1")
    bench.complete("b", by: 0)
    bench.recorder.expect()
  }

  @Test("an error is never a shorter result", arguments: [0, 1, 2])
  func errors(failing: Int) throws {
    var bench = Bench(engines: 3)
    try bench.submit("b", to: [0, 1, 2], coalescing: true)
    for engine in 0..<3 { bench.complete("b", by: engine, status: engine == failing ? "error" : "ok") }
    #expect(bench.recorder.messages.last == "b: failure of e\(failing)")
    #expect(bench.state.pendingCount == 0)
  }

  @Test("an engine that is lost, before or after others have answered")
  func lost() throws {
    var bench = Bench(engines: 3)
    try bench.submit("b", to: [0, 1, 2], coalescing: true)
    try bench.submit("c", to: [0], coalescing: true)
    bench.complete("b", by: 0)
    bench.lose(2)
    bench.lose(2)
    bench.complete("b", by: 2)
    bench.complete("b", by: 1)
    bench.complete("c", by: 0)
    #expect(bench.recorder.messages.suffix(2) == ["b: EngineError", "c: e0"])
  }

  @Test("engines that are not there")
  func unknown() throws {
    var bench = Bench(engines: 1)
    try bench.submit("a", to: [0, 7], coalescing: false)
    bench.recorder.expect("a_e0 → e0")
    try bench.submit("b", to: [7, 0, 8], coalescing: true)
    bench.recorder.expect("b_e0 → e0")
    bench.complete("b", by: 0)
    bench.recorder.expect("b: EngineError")
    try bench.submit("c", to: [7, 8], coalescing: true)
    bench.recorder.expect("c: EngineError")
    #expect(bench.state.pendingCount == 0)
  }

  @Test("replies from the wrong engine, twice, or to nothing")
  func strange() throws {
    var bench = Bench(engines: 3)
    try bench.submit("b", to: [0, 1], coalescing: true)
    bench.recorder.expect("b_e0 → e0", "b_e1 → e1")
    bench.complete("b", by: 2)
    bench.complete("b", by: 0)
    bench.complete("b", by: 0)
    bench.complete("nothing", by: 0)
    bench.recorder.expect()
    bench.complete("b", by: 1)
    bench.recorder.expect("b: e0 e1")
  }

  @Test(
    "targets that are none are a ValueError, and nothing is sent",
    arguments: [
      [:], ["targets": []], ["targets": "all"], ["targets": ["e0"]], ["targets": [["e0"]]], ["targets": [["e0", "0"]]],
      ["targets": [[0, "e0"]]],
      ["targets": [["e0", 0], ["e0", 0]]], ["targets": [["e0", 0], 1]], ["targets": .null],
    ] as [JSONValue])
  func invalid(metadata: JSONValue) throws {
    var bench = Bench(engines: 1)
    for coalescing in [true, false] {
      var object = try #require(metadata.objectValue)
      object["is_coalescing"] = .bool(coalescing)
      do throws(RemoteError) {
        try bench.submit("b", object)
        Issue.record("accepted")
      } catch { #expect(error.name == "ValueError") }
    }
    bench.recorder.expect()
    #expect(bench.state.pendingCount == 0)
  }

  @Test("the same broadcast twice at once is one")
  func twice() throws {
    var bench = Bench(engines: 1)
    try bench.submit("b", to: [0], coalescing: true)
    try bench.submit("b", to: [0], coalescing: true)
    bench.complete("b", by: 0)
    bench.recorder.expect("b_e0 → e0", "b: e0")
  }

  // MARK: events

  @Test("each engine's share is a task of its own; a coalesced broadcast is one beside them, and ends last")
  func events() throws {
    var bench = Bench(engines: 2)
    try bench.submit("b", to: [0, 1], coalescing: true)
    bench.complete("b", by: 1, status: "aborted")
    bench.complete("b", by: 0)
    bench.complete("b", by: 0)
    bench.recorder.expectEvents(
      "submitted b", "submitted b_e0 e0", "submitted b_e1 e1", "aborted b_e1", "finished b_e1 e1 aborted", "finished b_e0 e0 ok",
      "aborted b", "finished b aborted")
    try bench.submit("c", to: [0, 1], coalescing: false)
    bench.complete("c", by: 0, status: "error", coalescing: false)
    bench.recorder.expectEvents("submitted c_e0 e0", "submitted c_e1 e1", "finished c_e0 e0 error")
    bench.lose(1)
    bench.recorder.expectEvents("lost c_e1 e1 disconnected", "finished c_e1 e1 lost")
    // Too late: the client gets it, and it has ended.
    bench.complete("c", by: 1, coalescing: false)
    bench.recorder.expectEvents()
    #expect(bench.recorder.messages.last == "relayed e1")
  }

  @Test("what cannot be served, or goes to nobody, is a task that was refused")
  func refusals() throws {
    var bench = Bench(engines: 1)
    try bench.submit("b", to: [0, 7], coalescing: true)
    bench.recorder.expectEvents("submitted b", "submitted b_e0 e0", "submitted b_e7 e7", "finished b_e7 e7 refused")
    bench.refuse("b")
    bench.recorder.expectEvents()
    bench.complete("b", by: 0)
    bench.recorder.expectEvents("finished b_e0 e0 ok", "finished b lost")
    bench.refuse("c")
    bench.recorder.expectEvents("submitted c", "finished c refused")
    bench.recorder.expect("b_e0 → e0", "b: ValueError", "b: EngineError", "c: ValueError")
  }
}
