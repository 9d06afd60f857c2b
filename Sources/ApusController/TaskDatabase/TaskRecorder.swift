import ApusMessaging
import Logging

/// Writes the stream of task events into the task database.
///
/// Not `Sendable`: lives where the database lives.
final class TaskRecorder {
  let database: any TaskDatabase
  private let logger: Logger
  private var hasFailed = false
  /// Tasks that have ended lately: what their engines' output says late is nothing new, and must not bring a record back that was purged.
  private var ended = FinishedTasks(capacity: 1 << 16)

  init(_ database: any TaskDatabase, logger: Logger) {
    self.database = database
    self.logger = logger
  }

  func record(_ batch: EventBatch) {
    if batch.notices.isEmpty { return batch.tasks.forEach(record) }
    batch.forEach { event in
      switch event {
      case .task(let event): record(event)
      case .notice(let notice):
        // Of others there is nothing to record.
        if case .tasksRestored(let tasks, let queue) = notice.kind { record(tasks, in: queue) }
      }
    }
  }

  private func record(_ restored: [RestoredTask], in queue: TaskQueue?) {
    guard database.keepsRecords else { return }
    for task in restored {
      perform {
        try change(task.id) {
          $0.take(task.request)
          $0.queue = queue
        }
      }
    }
  }

  func record(_ event: TaskEvent) {
    // Broadcasts have no records, as in ipyparallel; what their engines publish has.
    guard database.keepsRecords, event.queue != .broadcast else { return }
    perform {
      switch event.kind {
      case .submitted(let request, let engine):
        try change(event.id) {
          $0.request = request
          $0.queue = event.queue
          if let engine { $0.engine = engine }
        }
      case .placed(let engine): try change(event.id) { $0.engine = engine }
      case .output(let kind, let message):
        if ended[event.id] != nil, (try database.record(event.id)) == nil { return }
        try change(event.id) { $0.append(kind, message) }
      case .finished(let reply, let engine, _):
        ended.record(event.id, succeeded: true, engine: nil)
        try change(event.id) {
          $0.reply = reply
          $0.received = event.time
          if let engine { $0.engine = engine }
        }
      case .waiting, .queued, .started, .retried, .failed, .lost, .restored, .abortRequested, .aborted,
        .resubmitted:
        break
      }
    }
  }

  private func change(_ id: MessageID, _ body: (TaskRecord) -> Void) throws(TaskDatabaseError) {
    let record = try database.open(id)
    body(record)
    try database.save(record)
  }

  func replace(_ old: MessageID, by new: MessageID) { perform { try change(old) { $0.resubmitted = new } } }

  func forget(_ ids: [MessageID]) { perform { try database.remove(ids) } }

  func flush() {
    // Only a flush tells whether a file can be written again: `save` waits for it once a write has failed.
    guard perform({ try database.flush() }), hasFailed else { return }
    hasFailed = false
    logger.notice("the task database works again")
  }

  /// A database that fails stops nothing: tasks run on, and it is said once until it works again.
  @discardableResult
  private func perform(_ body: () throws -> Void) -> Bool {
    do {
      try body()
      return true
    } catch {
      if !hasFailed { logger.error("the task database does not record", metadata: ["error": "\(error)"]) }
      hasFailed = true
      return false
    }
  }
}
