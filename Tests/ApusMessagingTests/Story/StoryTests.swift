import ApusMessaging
import Testing
import Transport

@Suite("Story")
struct StoryTests {
  private func event(_ number: Int, _ kind: StoryEvent.Kind, _ microseconds: Int, _ change: (inout StoryEvent) -> Void = { _ in })
    -> StoryEvent
  {
    var event = StoryEvent(number: number, time: Timestamp(microseconds: microseconds), kind: kind)
    change(&event)
    return event
  }

  @Test("filters over the wire, and what is none")
  func filters() throws {
    let filter = StoryFilter(
      tasks: ["a", "b"], engine: .id(EngineID(3)), client: "me", kinds: [.placed, .finished], since: Timestamp(microseconds: 5))
    #expect(try StoryFilter(filter.json) == filter)
    #expect(try StoryFilter(StoryFilter(engine: .uuid("u")).json) == StoryFilter(engine: .uuid("u")))
    #expect(try StoryFilter(nil) == StoryFilter() && StoryFilter(.null) == StoryFilter() && StoryFilter([:]) == StoryFilter())
    #expect(try StoryFilter(["kinds": "engine"]).kinds == [.engineRegistered, .engineDraining, .engineLost])
    #expect(try StoryFilter(["tasks": "a"]).tasks == ["a"])
    for wrong: JSONValue in [
      [], "x", 3, ["tasks": 3], ["tasks": [1]], ["engine": []], ["engine": ""], ["engine": 1.5], ["client": 1],
      ["kinds": ["nothing"]],
      ["kinds": 1], ["since": 5], ["since": "yesterday"], ["strange": 1],
    ] {
      let error = #expect(throws: RemoteError.self) { try StoryFilter(wrong) }
      #expect(error?.name == "ValueError")
    }
  }

  @Test("what is no event is none")
  func absurd() {
    for wrong: JSONValue in [[], [:], ["number": 1, "kind": "x"], ["number": "1", "time": "2026-01-31T09:00:00Z", "kind": "x"]] {
      #expect(StoryEvent(wrong) == nil)
    }
    let strange = StoryEvent(["number": 1, "time": "2026-01-31T09:00:00Z", "kind": "of the future", "engine": "no number"])
    #expect(strange?.kind == StoryEvent.Kind(rawValue: "of the future") && strange?.engineID == nil)
    #expect(strange?.sentence() == "of the future")
  }

  @Test("sentences for people, with durations")
  func sentences() {
    let placed = event(1, .placed, 2_500_000) {
      $0.task = "t"
      $0.engineID = EngineID(3)
    }
    #expect(placed.sentence(submitted: Timestamp(microseconds: 2_000_000)) == "task t placed on engine 3 after 500.0 ms")
    let finished = event(2, .finished, 9_000_000) {
      $0.task = "t"
      $0.engineID = EngineID(3)
      $0.engine = "u"
      $0.outcome = "error"
      $0.error = "ValueError: no"
      $0.began = Timestamp(microseconds: 3_000_000)
      $0.ended = Timestamp(microseconds: 8_500_000)
    }
    #expect(
      finished.sentence(submitted: Timestamp(microseconds: 2_000_000))
        == "task t failed on engine 3 after 7.00 s, ran 5.50 s: ValueError: no")
    // Whatever a kind lacks, there is a sentence.
    for kind in StoryEvent.Kind.all { #expect(!event(0, kind, 0).sentence().isEmpty) }
  }

  @Test("dates are found by their key, in the form of the wire and no other")
  func dates() {
    func found(_ text: String) -> Timestamp? { Timestamp.found("\"date\"", in: Frame(text)) }
    let expected = Timestamp("2026-01-31T09:08:07.123456Z")
    #expect(found(#"{"a":1,"date":"2026-01-31T09:08:07.123456Z"}"#) == expected)
    #expect(found(#"{"a": 1, "date": "2026-01-31T09:08:07.123456+00:00"}"#) == expected)
    for text in [
      "", "{}", #"{"date""#, #"{"date":"#, #"{"date":"""#, #"{"date":5}"#, #"{"date":"2026-01-31"}"#,
      #"{"date":"2026-13-31T09:08:07.123456Z"}"#,
      #"{"date":"2026-01-31T09:08:07.123456+01:00"}"#, #"{"date":"2026-01-31T09:08:07.1234x6Z"}"#,
      #"{"date":"2026-01-31T09:08:07.123456"#,
    ] {
      #expect(found(text) == nil, "\(text)")
    }
  }
}

@Suite("Story: traces")
struct TraceDocumentTests {
  private func event(
    _ kind: StoryEvent.Kind, _ time: Int, _ task: MessageID? = nil, engine: Int? = nil,
    _ change: (inout StoryEvent) -> Void = { _ in }
  )
    -> StoryEvent
  {
    var event = StoryEvent(number: time, time: Timestamp(microseconds: time), kind: kind)
    event.task = task
    event.engine = engine.map { EngineUUID("e\($0)") }
    event.engineID = engine.map { EngineID($0) }
    change(&event)
    return event
  }

  /// Its entries, read back from the text.
  private func entries(_ story: [StoryEvent], until: Int = 1000) throws -> [JSONValue] {
    let text = TraceDocument(story, until: Timestamp(microseconds: until)).json.text
    let document = try JSONValue(parsing: text)
    let entries = try #require(document["traceEvents"]?.arrayValue)
    // What every viewer asks for.
    for entry in entries {
      let phase = try #require(entry["ph"]?.stringValue)
      #expect(entry["pid"]?.intValue != nil && entry["tid"]?.intValue != nil && entry["name"]?.stringValue != nil)
      #expect(phase == "M" || entry["ts"]?.intValue != nil)
      if phase == "X" { #expect((entry["dur"]?.intValue ?? -1) >= 0) }
    }
    let begun = entries.filter { $0["ph"] == "b" }.count
    #expect(entries.filter { $0["ph"] == "e" }.count == begun)
    return entries
  }

  @Test("a row for each engine, what it ran, what waited, and what was lost")
  func whole() throws {
    let story = [
      event(.engineRegistered, 1, engine: 0), event(.engineRegistered, 2, engine: 1),
      event(.submitted, 10, "a") { $0.label = "mine" },
      event(.submitted, 11, "b"), event(.queued, 11, "b"), event(.placed, 12, "a", engine: 0), event(.placed, 20, "b", engine: 1),
      event(.finished, 30, "a", engine: 0) {
        $0.outcome = "ok"
        $0.began = Timestamp(microseconds: 15)
        $0.ended = Timestamp(microseconds: 29)
      },
      event(.engineLost, 40, engine: 1) { $0.error = "it died" }, event(.lost, 40, "b", engine: 1),
      event(.retried, 40, "b", engine: 1) { $0.reason = "engine_lost" }, event(.placed, 41, "b", engine: 0),
      event(.submitted, 50, "d", engine: 0) { $0.queue = "mux" },
    ]
    let entries = try entries(story, until: 100)
    let rows = entries.filter { $0["name"] == "thread_name" }.compactMap { $0["args"]?["name"]?.stringValue }
    #expect(rows == ["engine 0", "engine 1"])
    let runs = entries.filter { $0["ph"] == "X" }
    func run(_ task: String, on row: Int) -> JSONValue? {
      runs.first { $0["args"]?["task"] == .string(task) && $0["tid"] == .int(row) }
    }
    #expect(runs.count == 4)
    #expect(run("a", on: 0)?["ts"] == 15 && run("a", on: 0)?["dur"] == 14 && run("a", on: 0)?["name"] == "mine")
    #expect(run("b", on: 1)?["dur"] == 20 && run("b", on: 1)?["args"]?["end"] == "engine_lost")
    #expect(run("b", on: 0)?["ts"] == 41 && run("b", on: 0)?["dur"] == 59)
    #expect(run("d", on: 0)?["dur"] == 50 && run("d", on: 0)?["args"]?["outcome"] == "under way")
    let waits = entries.filter { $0["cat"] == "queue" && $0["ph"] == "b" }
    #expect(waits.map { $0["id"] } == ["a", "b", "b"])
    #expect(entries.filter { $0["ph"] == "i" }.compactMap { $0["name"]?.stringValue } == ["engine lost: it died"])
  }

  @Test("a story whose beginning is gone, engines without a number, and nothing at all")
  func parts() throws {
    #expect(try entries([]).filter { $0["ph"] != "M" } == [])
    let story = [
      event(.finished, 30, "a", engine: nil) {
        $0.engine = "unknown"
        $0.outcome = "ok"
        $0.began = Timestamp(microseconds: 20)
        $0.ended = Timestamp(microseconds: 10)
      },
      event(.placed, 31, "b", engine: 1), event(.retried, 32, "c", engine: 1), event(.finished, 33, "d"),
    ]
    let entries = try entries(story)
    #expect(entries.filter { $0["ph"] == "X" }.count == 2)
    #expect(entries.contains { $0["args"]?["name"] == "engine unknown" })
  }
}
