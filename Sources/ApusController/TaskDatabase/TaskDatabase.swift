public import ApusMessaging

/// What is known of tasks. Three implementations pass one suite: in memory, SQLite, none.
///
/// Not `Sendable`: a database lives on the loop of its `TaskStore`. Times are arguments.
public protocol TaskDatabase: AnyObject {
  /// Whether anything is kept: queries on a database that keeps nothing are answered with `NoData`.
  var keepsRecords: Bool { get }

  /// The record of a task, for changing; made if it is not there. `save` it afterwards.
  func open(_ id: MessageID) throws(TaskDatabaseError) -> TaskRecord
  /// Takes note of a changed record. Never drops an unfinished task to make room.
  func save(_ record: TaskRecord) throws(TaskDatabaseError)

  /// - Returns: `nil` for unknown ids, and for those that made room for newer ones.
  func record(_ id: MessageID) throws(TaskDatabaseError) -> TaskRecord?
  /// Records that match, oldest first.
  func find(_ query: TaskQuery) throws(TaskDatabaseError) -> [TaskRecord]
  /// Ids of all records that have been submitted, by time of submission.
  func history() throws(TaskDatabaseError) -> [MessageID]
  func remove(_ ids: [MessageID]) throws(TaskDatabaseError)
  /// Every finished record, and output of tasks that nobody knows.
  func removeFinished() throws(TaskDatabaseError)
  /// Finished records of an engine.
  func removeFinished(of engine: EngineUUID) throws(TaskDatabaseError)

  /// Writes out what is buffered. Called every two seconds and before closing.
  func flush() throws(TaskDatabaseError)
}

/// What a task database could not do.
public struct TaskDatabaseError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// Nothing is kept, so nothing can be found.
    case noData = "NoData"
    /// The query has an operator or a field that does not exist.
    case invalidQuery = "KeyError"
    /// The file cannot be opened, or a write failed: a full disk, say.
    case storage = "IOError"
  }

  public let code: Code
  public let reason: String
  public init(_ code: Code, _ reason: String) {
    self.code = code
    self.reason = reason
  }
  public var description: String { reason }
}
