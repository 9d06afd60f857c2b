import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Task events: the history")
struct EventHistoryTests {
  private func event(_ id: MessageID, _ kind: TaskEvent.Kind, at seconds: Int = 0, _ queue: TaskQueue? = .task) -> TaskEvent {
    TaskEvent(id, queue, at: Timestamp(microseconds: seconds * 1_000_000), kind)
  }

  private func noted(_ events: TaskEvent..., limit: Int = 1 << 20) -> EventHistory {
    var history = EventHistory(limit: limit)
    for event in events { history.note(event) }
    return history
  }

  private func all(_ history: EventHistory, _ filter: StoryFilter = StoryFilter()) -> [StoryEvent] {
    history.page(from: 0, filter, limit: 10_000, byteLimit: .max).events
  }

  @Test("what is told of a task: client, label, dates, engine, outcome, error")
  func content() throws {
    let sent = Timestamp(microseconds: 1_000_000)
    let request = Envelope(
      identities: [Frame("me")], signature: .empty,
      header: Frame(["msg_id": "t", "msg_type": "execute_request", "date": .string(sent.description)]), parentHeader: .emptyObject,
      metadata: Frame(["label": "mine", "retries": 2]), content: .emptyObject)
    let reply = Envelope(
      identities: [Frame("e0")], signature: .empty,
      header: Frame(["date": .string(Timestamp(microseconds: 6_000_000).description)]), parentHeader: .emptyObject,
      metadata: Frame(["started": .string(Timestamp(microseconds: 5_000_000).description), "status": "error"]),
      content: Frame(["status": "error", "ename": "ValueError", "evalue": "no"]))
    var history = EventHistory(limit: 1 << 20)
    history.note(ClusterNotice(.engineJoined("e0", EngineID(3)), at: sent))
    history.note(event("t", .submitted(request: request, engine: nil), at: 2))
    history.note(event("t", .placed(engine: "e0"), at: 3))
    history.note(event("t", .finished(reply: reply, engine: "e0", outcome: .error), at: 7))
    let events = all(history)
    #expect(events.map(\.kind) == [.engineRegistered, .submitted, .placed, .finished])
    #expect(events.map(\.number) == [0, 1, 2, 3])
    #expect(events[1].client == "me" && events[1].label == "mine" && events[1].request == "execute_request")
    #expect(events[1].sent == sent && events[1].queue == "task")
    #expect(events[2].engine == "e0" && events[2].engineID == EngineID(3))
    #expect(events[3].outcome == "error" && events[3].error == "ValueError: no")
    #expect(events[3].began?.microseconds == 5_000_000 && events[3].ended?.microseconds == 6_000_000)
    for event in events { #expect(StoryEvent(try JSONValue(parsing: event.json.text)) == event) }
  }

  @Test("it keeps within its bytes: the oldest go, and it is said how many were lost to whom")
  func bounds() {
    var history = EventHistory(limit: 20_000)
    for number in 0..<5000 {
      history.note(event(MessageID("t\(number)"), .queued(), at: number))
      #expect(history.byteCount <= 20_000)
    }
    #expect(history.end == 5000)
    #expect(history.count > 80 && history.start == 5000 - history.count)
    let page = history.page(from: 100, StoryFilter(), limit: 10, byteLimit: .max)
    #expect(page.lost == history.start - 100)
    #expect(page.events.first?.number == history.start && page.events.count == 10 && page.isFull)
    #expect(page.next == history.start + 10)
    let next = history.page(from: page.next, StoryFilter(), limit: 10_000, byteLimit: .max)
    #expect(next.lost == 0 && next.events.count == history.count - 10 && !next.isFull && next.next == 5000)
    #expect(history.page(from: 5000, StoryFilter(), limit: 1, byteLimit: .max).events == [])
  }

  @Test("one event that is larger than all of it is kept, and long texts are cut")
  func large() {
    let long = String(repeating: "x", count: 100_000)
    var history = EventHistory(limit: 1024)
    let content = RemoteError(name: "ValueError", value: long).content
    let reply = Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject, content: Frame(content))
    for number in 0..<100 {
      history.note(event(MessageID("\(number)"), .finished(reply: reply, engine: nil, outcome: .refused)))
      #expect(history.byteCount <= 1024 + 16 * 1024)
    }
    #expect(all(history).allSatisfy { ($0.error?.utf8.count ?? 0) < 2 * EventHistory.longestText })
    let labelled = Messages.request("l", metadata: ["label": .string(long)])
    history.note(event("l", .submitted(request: labelled, engine: nil)))
    #expect((all(history).last?.label?.utf8.count ?? 0) < 2 * EventHistory.longestText)
  }

  @Test("filters: task and its shares, engine by id and uuid, client, kinds, time")
  func filters() {
    var history = noted(
      event("a", .submitted(request: Messages.request("a", client: "me"), engine: nil), at: 1),
      event("b", .submitted(request: Messages.request("b", client: "you"), engine: nil), at: 2),
      event("b_e1", .submitted(request: Messages.request("b"), engine: "e1"), at: 3, .broadcast),
      event("b_1", .queued(), at: 4))
    history.note(ClusterNotice(.engineJoined("e0", EngineID(0)), at: Timestamp(microseconds: 5_000_000)))
    history.note(event("a", .placed(engine: "e0"), at: 6))
    history.note(ClusterNotice(.clientGone(SessionID("me")), at: Timestamp(microseconds: 7_000_000)))
    func numbers(_ filter: StoryFilter) -> [Int] { all(history, filter).map(\.number) }
    #expect(numbers(StoryFilter(tasks: ["a"])) == [0, 5])
    // `b_1` is another task, and no share.
    #expect(numbers(StoryFilter(tasks: ["b"])) == [1, 2])
    #expect(numbers(StoryFilter(engine: .id(EngineID(0)))) == [4, 5])
    #expect(numbers(StoryFilter(engine: .uuid("e1"))) == [2])
    #expect(numbers(StoryFilter(client: "me")) == [0, 6])
    // Ids begin with their client's session.
    #expect(numbers(StoryFilter(client: "b")) == [2, 3])
    #expect(numbers(StoryFilter(kinds: [.placed, .clientGone])) == [5, 6])
    #expect(numbers(StoryFilter(since: Timestamp(microseconds: 6_000_000))) == [5, 6])
    #expect(numbers(StoryFilter(tasks: ["a"], engine: .uuid("e0"), kinds: [.placed])) == [5])
    #expect(history.number(ofLast: 2, StoryFilter()) == 5 && history.number(ofLast: 100, StoryFilter()) == 0)
    #expect(history.number(ofLast: 1, StoryFilter(tasks: ["b"])) == 2)
    #expect(history.story(of: "b").map(\.number) == [1, 2])
    #expect(history.story(of: "b", limit: 1).map(\.number) == [2])
  }

  @Test("notices stand where they happened among the events, and what was left out is said")
  func notices() {
    var batch = EventBatch()
    batch.notices.append((0, ClusterNotice(.controllerStarted(tasks: 5))))
    batch.tasks.append(event("a", .queued()))
    batch.notices.append((1, ClusterNotice(.engineJoined("e0", EngineID(0)))))
    batch.notices.append((1, ClusterNotice(.clientConnected(SessionID("you")))))
    batch.tasks.append(event("a", .placed(engine: "e0")))
    batch.notices.append((2, ClusterNotice(.engineLeft("e0", EngineID(0), .silent))))
    var history = EventHistory(limit: 1 << 20)
    history.note(batch)
    history.noteLeftOut(7)
    let events = all(history)
    #expect(
      events.map(\.kind) == [
        .controllerStarted, .queued, .engineRegistered, .clientConnected, .placed, .engineLost, .leftOut,
      ])
    #expect(events[0].count == 5 && events[6].count == 7)
    #expect(events[3].client == "you")
    #expect(events[5].engineID == EngineID(0) && events[5].reason == "silent")
  }

  @Test("what an engine prints is not in it")
  func output() {
    let history = noted(event("a", .output(.stream, Messages.request("x"))))
    #expect(history.end == 0)
  }

  @Test("the tasks of one map share what is read of them, and others do not get it")
  func labels() {
    func submitted(_ id: MessageID, _ label: String?, type: MessageType = .applyRequest) -> TaskEvent {
      event(
        id,
        .submitted(request: Messages.request(id, type: type, metadata: label.map { ["label": .string($0)] } ?? [:]), engine: nil))
    }
    let history = noted(
      submitted("1", "x"), submitted("2", "x"), submitted("3", "x", type: .executeRequest), submitted("4", nil), submitted("5", "y")
    )
    #expect(all(history).map(\.label) == ["x", "x", "x", nil, "y"])
    #expect(all(history).map(\.request) == [nil, nil, "execute_request", nil, nil])
  }
}

@Suite("Task events: waiting for them")
struct EventWaitsTests {
  private func wait(
    _ client: String, connection: Int32 = 5, from number: Int, _ filter: StoryFilter = StoryFilter(), until: ContinuousClock.Instant
  )
    -> EventWaits.Wait
  {
    EventWaits.Wait(filter: filter, limit: 10, deadline: until, client: Frame(client), connection: connection, number: number)
  }

  private func note(_ id: MessageID, _ history: inout EventHistory) {
    history.note(TaskEvent(id, .task, at: Timestamp(microseconds: 0), .queued()))
  }

  @Test("each is answered once: with what is for it, or when its time is over")
  func due() throws {
    var history = EventHistory(limit: 1 << 20)
    var waits = EventWaits()
    let now = ContinuousClock.now
    let any = try waits.add(wait("a", from: 0, until: now + .seconds(10)))
    let one = try waits.add(wait("b", from: 0, StoryFilter(tasks: ["t"]), until: now + .seconds(20)))
    #expect(waits.nextDeadline == now + .seconds(10))
    #expect(waits.due(history, now: now, byteLimit: .max).isEmpty)
    note("x", &history)
    let first = waits.due(history, now: now, byteLimit: .max)
    #expect(first.map(\.id) == [any] && first[0].page.events.map(\.task) == ["x"])
    // It has looked through what came.
    #expect(waits.waits[one]?.number == 1)
    note("t", &history)
    let second = waits.due(history, now: now, byteLimit: .max)
    #expect(second.map(\.id) == [one] && second[0].page.events.map(\.number) == [1])
    let late = try waits.add(wait("a", from: 2, until: now + .seconds(1)))
    let third = waits.due(history, now: now + .seconds(1), byteLimit: .max)
    #expect(third.map(\.id) == [late] && third[0].page.events.isEmpty && third[0].page.next == 2)
    #expect(waits.waits.isEmpty && waits.nextDeadline == nil)
  }

  @Test("nobody waits more often than it may, and who is gone is answered no more")
  func limits() throws {
    var waits = EventWaits()
    let later = ContinuousClock.now + .seconds(10)
    for _ in 0..<EventWaits.mostOfClient { _ = try waits.add(wait("a", from: 0, until: later)) }
    #expect(throws: RemoteError.self) { try waits.add(wait("a", from: 0, until: later)) }
    let other = try waits.add(wait("b", connection: 6, from: 0, until: later))
    #expect(waits.gone(5).count == EventWaits.mostOfClient)
    #expect(waits.waits.keys.map { $0 } == [other])
    _ = try waits.add(wait("a", from: 0, until: later))
    #expect(waits.gone(7).isEmpty)
  }

  @Test("who waits while what it waits for is dropped is told how much")
  func lost() throws {
    var history = EventHistory(limit: 2000)
    var waits = EventWaits()
    _ = try waits.add(wait("a", from: 0, StoryFilter(tasks: ["never"]), until: .now + .seconds(10)))
    for number in 0..<1000 { note(MessageID("\(number)"), &history) }
    let answers = waits.due(history, now: .now, byteLimit: .max)
    #expect(answers.count == 1 && answers.first?.page.lost == history.start)
  }
}
