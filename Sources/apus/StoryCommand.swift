import ApusClient
import ApusCluster
import ApusMessaging
import UnixSignals

/// `apus story`.
struct StoryCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    let filter = try context.storyFilter()
    let limit = try context.configuration.integer("limit", of: context.command.application) ?? 1000
    let follows = try context.configuration.bool("follow", of: context.command.application) ?? false
    let isJSON = try context.printsJSON
    let connection = try ClusterConnection(context)
    return try await connection.withClient { client in
      let start = try await client.storyPage(filter, from: .end)
      var lines = StoryLines(isStyled: context.output.isOutputColoured)
      let events = try await client.story(filter, last: limit > 0 ? limit : nil).filter { !follows || $0.number < start.end }
      if isJSON, !follows {
        context.output.print(String(decoding: JSONValue.array(events.map(\.json)).encoded(pretty: true), as: UTF8.self) + "\n")
        return .success
      }
      // Before the first line: whoever has seen it may end this.
      let signals = follows ? await UnixSignalsSequence(trapping: .sigint, .sigterm) : nil
      for event in events { show(event, &lines, isJSON: isJSON) }
      if let signals { try await follow(client, filter, from: start, lines, until: signals, isJSON: isJSON) }
      return .success
    }
  }

  private func follow(
    _ client: Client, _ filter: StoryFilter, from start: StoryPage, _ lines: StoryLines, until signals: UnixSignalsSequence,
    isJSON: Bool
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in signals { return } }
      group.addTask {
        var lines = lines
        for try await event in client.storyEvents(filter, from: .number(start.end, log: start.log)) {
          show(event, &lines, isJSON: isJSON)
        }
      }
      // Whichever comes first: the signal, or what went wrong.
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func show(_ event: StoryEvent, _ lines: inout StoryLines, isJSON: Bool) {
    context.output.print(isJSON ? event.json.text + "\n" : lines.line(event))
  }
}
