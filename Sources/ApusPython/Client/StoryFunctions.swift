@preconcurrency import CPython
import ApusMessaging

/// What clients make of a controller's events, as functions of `apus._core`.
enum StoryFunctions {
  static let table: [(StaticString, FastFunction)] = [("story_trace", trace)]

  /// story_trace(events) -> trace: both are JSON. Events that cannot be read are left out. Raises ValueError for what is no list.
  private static let trace: FastFunction = { _, arguments, count in
    guard count == 1, let arguments else { return Python.raise(apus_type_error(), "story_trace(events)") }
    guard let text = Python.text(arguments[0]) else { return nil }
    guard let events = (try? JSONValue(parsing: text))?.arrayValue else {
      return Python.raise(apus_value_error(), "the events should be a list in JSON")
    }
    let story = events.compactMap { StoryEvent($0) }
    return Python.string(TraceDocument(story, until: .now()).json.text)
  }
}
