public import ApusMessaging

/// Keeps nothing: for controllers that should remember as little as possible.
public final class NoDatabase: TaskDatabase {
  public init() {}

  public var keepsRecords: Bool { false }

  public func open(_ id: MessageID) -> TaskRecord { TaskRecord(id) }
  public func save(_ record: TaskRecord) {}

  public func record(_ id: MessageID) throws(TaskDatabaseError) -> TaskRecord? { throw .noRecords }
  public func find(_ query: TaskQuery) throws(TaskDatabaseError) -> [TaskRecord] { throw .noRecords }
  public func history() throws(TaskDatabaseError) -> [MessageID] { throw .noRecords }

  /// Purging what is not there is done at once: clients may clean up after themselves on any controller.
  public func remove(_ ids: [MessageID]) {}
  public func removeFinished() {}
  public func removeFinished(of engine: EngineUUID) {}
  public func flush() {}
}

extension TaskDatabaseError {
  fileprivate static let noRecords = TaskDatabaseError(
    .noData,
    "this controller keeps no records of tasks; start it with --dictdb or --sqlitedb to ask for past tasks, or to resubmit them")
}
