public import ApusMessaging

/// A part of the controller's log of events.
public struct StoryPage: Sendable, Hashable {
  public var events: [StoryEvent]
  /// Where to go on: for `StoryPosition.number`.
  public var next: Int
  /// The number of the next event at that moment.
  public var end: Int
  /// Events before these that are gone: they were too old for the log.
  public var lost: Int
  /// Whether there are more already.
  public var hasMore: Bool
  /// The log's name: a controller that was started again has another.
  public var log: String
  /// Whether this log is another one than that which was read before: everything in it is new.
  public var isRestarted: Bool
}

/// Where to read in the controller's log of events.
public enum StoryPosition: Sendable, Hashable {
  /// From the oldest event that is still known.
  case beginning
  /// From this moment on.
  case end
  /// The last so many that are wanted.
  case last(Int)
  /// From the event with this number on, of the log of this name.
  case number(Int, log: String)

  /// After a page.
  public init(after page: StoryPage) { self = .number(page.next, log: page.log) }
}

/// What has happened in the cluster, and why. Only controllers of Apus know; others throw `RemoteError`.
extension Client {
  /// How long one question waits for events; then it is asked again.
  private static let storyWait = Duration.seconds(10)
  /// So many questions in a row without an answer are no end yet.
  private static let mostSilences = 5

  /// A part of the log of events, the oldest first.
  /// - Parameters:
  ///   - filter: which events; by default all.
  ///   - position: where to begin.
  ///   - limit: so many events at most; the controller has a limit of its own.
  ///   - wait: how long to wait for the first one, where there is none; the controller may answer sooner, without one.
  /// - Throws: `RemoteError` `ValueError` for a filter that makes no sense.
  public func storyPage(
    _ filter: StoryFilter = StoryFilter(), from position: StoryPosition = .beginning, limit: Int = 10_000, wait: Duration = .zero
  ) async throws -> StoryPage {
    var content: JSONObject = ["filter": filter.json, "limit": .int(max(1, limit)), "wait": .double(max(0, wait / .seconds(1)))]
    switch position {
    case .beginning: break
    case .end: content["since"] = "end"
    case .last(let count): content["last"] = .int(max(1, count))
    case .number(let number, let log):
      content["since"] = .int(max(0, number))
      content["log"] = .string(log)
    }
    let reply = try await ask(.eventsRequest, content, timeout: wait + configuration.requestTimeout).content
    guard let next = reply["next"]?.intValue, let log = reply["log"]?.stringValue else {
      throw ClientError(.badReply, "the controller's answer is no part of a log of events")
    }
    return StoryPage(
      events: (reply["events"]?.arrayValue ?? []).compactMap { StoryEvent($0) }, next: next, end: reply["end"]?.intValue ?? next,
      lost: reply["lost"]?.intValue ?? 0, hasMore: reply["more"]?.isTruthy ?? false, log: log,
      isRestarted: reply["restarted"]?.isTruthy ?? false)
  }

  /// All events up to now that are wanted, as far as the controller still has them; the oldest first.
  /// - Parameter count: only the last so many.
  public func story(_ filter: StoryFilter = StoryFilter(), last count: Int? = nil) async throws -> [StoryEvent] {
    var page = try await storyPage(filter, from: count.map { .last($0) } ?? .beginning)
    var events = page.events
    // Not for ever, where events come faster than they are read.
    let end = page.end
    while page.hasMore, page.next < end {
      page = try await storyPage(filter, from: StoryPosition(after: page))
      events += page.events.prefix { $0.number < end }
    }
    return events
  }

  /// Events as they happen, until the loop over them ends. Those of a controller that is started again follow, from its start.
  /// - Parameter position: by default from now on.
  public func storyEvents(_ filter: StoryFilter = StoryFilter(), from position: StoryPosition = .end) -> AsyncThrowingStream<
    StoryEvent, any Error
  > {
    AsyncThrowingStream { continuation in
      let reading = Task { [self] in
        var position = position
        var silences = 0
        do {
          while !Task.isCancelled {
            do {
              let page = try await storyPage(filter, from: position, wait: Self.storyWait)
              for event in page.events { continuation.yield(event) }
              position = StoryPosition(after: page)
              silences = 0
            } catch let error as ClientError where error.code == .timeout && silences < Self.mostSilences {
              // A controller that was started again meanwhile does not know of the question: it is asked anew.
              silences += 1
            }
          }
          continuation.finish()
        } catch { continuation.finish(throwing: error) }
      }
      continuation.onTermination = { _ in reading.cancel() }
    }
  }

  /// Why a task waits, where it ran, and how it ended, whoever submitted it.
  ///
  /// A task that nobody knows has the status `unknown`, and why.
  public func explain(_ task: MessageID) async throws -> Explanation { try await explanation(["task": .string(task.text)]) }

  /// Why this task waits, where it ran, and how it ended.
  public func explain(_ task: TaskHandle) async throws -> Explanation { try await explain(task.id) }

  /// What an engine does, or why it is gone.
  public func explain(engine: EngineID) async throws -> Explanation { try await explanation(["engine": .int(engine.number)]) }

  /// As above, also for one whose number is not known.
  public func explain(engine: EngineUUID) async throws -> Explanation { try await explanation(["engine": .string(engine.text)]) }

  private func explanation(_ content: JSONObject) async throws -> Explanation {
    let reply = try await ask(.explainRequest, content).content
    guard let explanation = reply["explanation"].flatMap({ Explanation($0) }) else {
      throw ClientError(.badReply, "the controller's answer is no explanation")
    }
    return explanation
  }
}
