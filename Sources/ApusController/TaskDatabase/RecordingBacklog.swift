import ApusMessaging

/// What of the stream of events is recorded while the task database is slower than the tasks: everything until so many bytes wait for it, and
/// then nothing of the tasks that come, as if they had made room for others already.
///
/// Tasks that were recorded before and end now are forgotten whole: a record that waits for ever would keep its reader waiting.
struct RecordingBacklog {
  /// Bytes that may wait.
  let limit: Int
  /// Bytes that may wait before output is no longer recorded: engines print faster than a database reads.
  let outputLimit: Int
  /// Unfinished tasks of which nothing is recorded.
  private var skipped: Set<MessageID> = []
  /// Tasks, and bytes of output, that were not recorded, since this was last asked.
  private var unrecorded = Unrecorded()

  struct Unrecorded: Equatable {
    var tasks = 0
    var outputBytes = 0
  }

  /// What events cost that carry a message, and those that carry none.
  private static let messageOverhead = 1024
  private static let eventOverhead = 128

  init(limit: Int, outputLimit: Int) {
    self.limit = limit
    self.outputLimit = outputLimit
  }

  struct Admitted {
    var events: [TaskEvent]
    /// Whose records are to go.
    var forgotten: [MessageID] = []
    var bytes: Int
  }

  /// - Parameter waiting: bytes that wait already.
  mutating func admit(_ events: [TaskEvent], waiting: Int) -> Admitted {
    let bytes = events.reduce(0) { $0 + Self.size(of: $1) }
    if skipped.isEmpty, waiting + bytes <= min(limit, outputLimit) { return Admitted(events: events, bytes: bytes) }
    var admitted = Admitted(events: [], bytes: 0)
    for event in events {
      let limit = if case .output = event { outputLimit } else { limit }
      pass(event, hasRoom: waiting + admitted.bytes + Self.size(of: event) <= limit, into: &admitted)
    }
    return admitted
  }

  private mutating func pass(_ event: TaskEvent, hasRoom: Bool, into admitted: inout Admitted) {
    switch event {
    case .submitted(let id, _, _, _):
      if !hasRoom {
        skipped.insert(id)
        unrecorded.tasks += 1
        return
      }
    case .output(let id, _, let message):
      if skipped.contains(id) { return }
      if !hasRoom {
        unrecorded.outputBytes += message.byteCount
        return
      }
    case .placed(let id, _), .retried(let id, _, _): if skipped.contains(id) { return }
    case .finished(let id, _, _):
      if skipped.remove(id) != nil { return }
      if !hasRoom {
        admitted.forgotten.append(id)
        admitted.bytes += Self.eventOverhead
        unrecorded.tasks += 1
        return
      }
    }
    admitted.events.append(event)
    admitted.bytes += Self.size(of: event)
  }

  mutating func takeUnrecorded() -> Unrecorded {
    defer { unrecorded = Unrecorded() }
    return unrecorded
  }

  private static func size(of event: TaskEvent) -> Int {
    switch event {
    case .submitted(_, let message, _, _), .output(_, _, let message), .finished(_, let message, _):
      message.byteCount + messageOverhead
    case .placed, .retried: eventOverhead
    }
  }
}
