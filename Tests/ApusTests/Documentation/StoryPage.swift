import Apus
import TestSupport
import Testing

/// The code of docs/explain.md; compiled, and not run: it goes on for ever.
enum StoryPage {
  static func story(_ client: Client) async throws {
    let ended = StoryFilter(kinds: [.finished], since: Timestamp("2026-01-31T09:00:00Z"))
    for event in try await client.story(ended) where event.outcome != "ok" { print(event.sentence()) }
    for try await event in client.storyEvents(StoryFilter(engine: .id(EngineID(0)))) { print(event.kind, event.task ?? "") }
  }
}

@Suite("Story: Apus's own client", .timeLimit(.minutes(1 * patience)))
struct ClientStoryTests {
  @Test("explanations, the log, events as they happen, and a trace") func whole() async throws {
    try await withThreads(2) { client in
      let view = client.loadBalancedView()
      let squares = try await view.map(0..<4) { $0 * $0 }
      #expect(squares == [0, 1, 4, 9])
      let story = try await client.story(StoryFilter(kinds: [.finished]))
      #expect(story.count >= 1 && story.allSatisfy { $0.outcome == "ok" && $0.engineID != nil })
      let task = try #require(story.first?.task)
      let explained = try await client.explain(task)
      #expect(explained.status == "ended" && explained.facts["outcome"] == "ok")
      #expect(try await client.explain(engine: EngineID(0)).status == "registered")
      #expect(try await client.explain("nobody").status == "unknown")
      // A page at a time it is the same.
      var page = try await client.storyPage(limit: 1)
      var events = page.events
      while page.hasMore {
        page = try await client.storyPage(from: StoryPosition(after: page), limit: 1)
        events += page.events
      }
      let whole = try await client.story()
      #expect(Array(whole.prefix(events.count)) == events)
      #expect(TraceDocument(whole, until: .now()).json["traceEvents"]?.arrayValue?.contains { $0["ph"] == "X" } == true)
      // What comes is told at once.
      let end = page.end
      async let next = first(client.storyEvents(StoryFilter(kinds: [.finished]), from: .number(end, log: page.log)))
      _ = try await view.apply(2.0) { $0 * 2 }
      #expect(try await next?.kind == .finished)
    }
  }

  private func first(_ events: AsyncThrowingStream<StoryEvent, any Error>) async throws -> StoryEvent? {
    for try await event in events { return event }
    return nil
  }
}
