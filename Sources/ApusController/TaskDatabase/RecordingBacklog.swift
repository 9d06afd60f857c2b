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
    var batch: EventBatch
    /// Whose records are to go.
    var forgotten: [MessageID] = []
    var bytes = 0
    /// Those of output among them.
    var outputBytes = 0
  }

  /// - Parameter waiting: bytes that wait already.
  mutating func admit(_ batch: EventBatch, waiting: Int) -> Admitted {
    var all = Admitted(batch: batch)
    for event in batch.tasks { all.count(event) }
    for (_, notice) in batch.notices {
      if case .tasksRestored(let tasks, _) = notice.kind { for task in tasks { all.bytes += task.footprint } }
    }
    if skipped.isEmpty, waiting + all.bytes <= limit { return all }
    var admitted = Admitted(batch: EventBatch())
    batch.forEach { event in
      switch event {
      case .task(let event): pass(event, hasRoom: waiting + admitted.bytes + event.footprint <= limit, into: &admitted)
      case .notice(let notice):
        // Of others there is nothing to record.
        guard case .tasksRestored(let tasks, let queue) = notice.kind else { return }
        let passed = pass(tasks, room: limit - waiting - admitted.bytes, into: &admitted)
        if !passed.isEmpty { admitted.batch.append(ClusterNotice(.tasksRestored(passed, queue), at: notice.time)) }
      }
    }
    return admitted
  }

  /// - Returns: those that there is room for.
  private mutating func pass(_ tasks: [RestoredTask], room: Int, into admitted: inout Admitted) -> [RestoredTask] {
    var left = room
    var passed: [RestoredTask] = []
    for task in tasks {
      if task.footprint <= left {
        left -= task.footprint
        passed.append(task)
      } else {
        skipped.insert(task.id)
        unrecorded += 1
      }
    }
    admitted.bytes += room - left
    return passed
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
    admitted.batch.tasks.append(event)
    admitted.count(event)
  }

  var leavesOut: Bool { unrecorded > 0 }

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
