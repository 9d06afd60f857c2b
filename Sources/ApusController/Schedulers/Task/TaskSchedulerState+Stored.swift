import ApusMessaging

/// Requests of restored tasks that are still in the journal's parts.
extension TaskSchedulerState {
  /// As `QueuedTask.openMessage`.
  mutating func open(_ task: QueuedTask) -> Envelope {
    letGo(task)
    return task.openMessage()
  }

  /// As `QueuedTask.releaseMessage`.
  mutating func release(_ task: QueuedTask) {
    letGo(task)
    task.releaseMessage()
  }

  private mutating func letGo(_ task: QueuedTask) {
    guard let stored = task.request.stored else { return }
    leftOverBytes += stored.letGo(by: .scheduler)
    guard leftOverBytes > StoredRequests.mostLeftOver else { return }
    // All tasks are looked at; but each time so many bytes are free that were read at the start, and no part comes twice.
    for other in tasks.values where other !== task {
      guard let stored = other.request.stored, stored.isLeftOver(of: .scheduler) else { continue }
      leftOverBytes += stored.letGo(by: .scheduler)
      _ = other.openMessage()
    }
  }
}
