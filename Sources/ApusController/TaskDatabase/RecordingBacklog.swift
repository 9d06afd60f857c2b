import ApusMessaging

/// What of the stream of events is recorded while the task database is slower than the tasks: everything until so many bytes wait for it, and
/// then nothing of the tasks that come, as if they had made room for others already.
///
/// Tasks that were recorded before and end now are forgotten whole: a record that waits for ever would keep its reader waiting. Output has a
/// bound of its own before it comes here (`OutputBudget`).
struct RecordingBacklog {
  /// Bytes that may wait.
  let limit: Int
  /// Unfinished tasks of which nothing is recorded.
  private var skipped: Set<MessageID> = []
  /// Tasks that were not recorded since this was last asked.
  private var unrecorded = 0

  init(limit: Int) { self.limit = limit }

  struct Admitted {
    var events: [TaskEvent]
    /// Whose records are to go.
    var forgotten: [MessageID] = []
    var bytes: Int
    /// Those of output among them.
    var outputBytes: Int
  }

  /// - Parameter waiting: bytes that wait already.
  mutating func admit(_ events: [TaskEvent], waiting: Int) -> Admitted {
    var all = Admitted(events: events, bytes: 0, outputBytes: 0)
    for event in events { all.count(event) }
    if skipped.isEmpty, waiting + all.bytes <= limit { return all }
    var admitted = Admitted(events: [], bytes: 0, outputBytes: 0)
    for event in events { pass(event, hasRoom: waiting + admitted.bytes + event.footprint <= limit, into: &admitted) }
    return admitted
  }

  private mutating func pass(_ event: TaskEvent, hasRoom: Bool, into admitted: inout Admitted) {
    // Nothing is recorded of it, whatever room there is.
    if event.queue == .broadcast { return }
    switch event.kind {
    case .submitted:
      if !hasRoom {
        skipped.insert(event.id)
        unrecorded += 1
        return
      }
    case .finished:
      if skipped.remove(event.id) != nil { return }
      if !hasRoom {
        admitted.forget(event.id)
        unrecorded += 1
        return
      }
    case .waiting, .queued, .placed, .started, .output, .retried, .lost, .aborted: if skipped.contains(event.id) { return }
    // Of these there is nothing to record.
    case .failed, .restored, .abortRequested, .resubmitted: return
    }
    admitted.events.append(event)
    admitted.count(event)
  }

  mutating func takeUnrecorded() -> Int {
    defer { unrecorded = 0 }
    return unrecorded
  }
}

extension RecordingBacklog.Admitted {
  private static let forgottenOverhead = 128

  fileprivate mutating func count(_ event: TaskEvent) {
    let size = event.footprint
    bytes += size
    if case .output = event.kind { outputBytes += size }
  }

  fileprivate mutating func forget(_ id: MessageID) {
    forgotten.append(id)
    bytes += Self.forgottenOverhead
  }
}
