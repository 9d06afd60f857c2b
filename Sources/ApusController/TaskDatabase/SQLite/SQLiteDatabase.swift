public import ApusMessaging
import Foundation
import GRDB
import Glibc

/// Keeps records in a file that stock ipyparallel reads and writes too.
///
/// Unfinished tasks stay in memory as well, where they change most. Changes are written in one transaction at `flush`, or when many are
/// pending. While the file cannot be written (a full disk) nothing stops: changes wait in memory, within bounds, for the next `flush`.
public final class SQLiteDatabase: TaskDatabase {
  public struct Configuration: Hashable, Sendable {
    /// The file; made if it is not there, readable by its owner only.
    public var path: String
    /// A table of another form under this name is left alone: `_1` and so on is appended.
    public var table = "ipython-tasks"
    /// Changed records that are written at once, without waiting for `flush`.
    public var pendingLimit = 1000
    /// Bytes in changed records that are written at once.
    public var pendingSizeLimit = 16 << 20
    /// What waits in memory while the file cannot be written: finished tasks beyond it are lost, the first finished first.
    public var memory: MemoryDatabase.Configuration

    public init(path: String) {
      self.path = path
      memory = MemoryDatabase.Configuration()
      memory.recordLimit = 100_000
    }
  }

  public let configuration: Configuration
  private let file: DatabaseQueue
  private let table: TaskTable
  /// Unfinished tasks, and finished ones whose rows are not written yet.
  private let recent: MemoryDatabase
  private var pending: [TaskRecord] = []
  private var pendingBytes = 0
  /// Whether the last write failed: the next one is tried at `flush`.
  private var isFailing = false

  /// - Throws: `storage` if the file cannot be opened, or is something else.
  public init(_ configuration: Configuration) throws(TaskDatabaseError) {
    self.configuration = configuration
    recent = MemoryDatabase(configuration.memory)
    do {
      (file, table) = try Self.open(configuration)
    } catch {
      throw TaskDatabaseError(
        .storage,
        "the task database \(configuration.path) cannot be opened: \(Self.reason(error)). Choose another file with --SQLiteDB.location=DIR or "
          + "--SQLiteDB.filename=NAME, or keep tasks in memory with --dictdb")
    }
  }

  private static func open(_ configuration: Configuration) throws -> (DatabaseQueue, TaskTable) {
    // Tasks are their owner's business; the files that SQLite makes beside this one get its permissions.
    let descriptor = Glibc.open(configuration.path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if descriptor >= 0 { close(descriptor) }
    var options = GRDB.Configuration()
    options.label = "tasks"
    options.busyMode = .timeout(0.5)
    options.journalMode = .wal
    let file: DatabaseQueue
    do {
      file = try DatabaseQueue(path: configuration.path, configuration: options)
    } catch {
      // Network file systems have no shared memory, which the write-ahead log needs.
      options.journalMode = .default
      file = try DatabaseQueue(path: configuration.path, configuration: options)
    }
    return (file, try file.write { try TaskTable(configuration.table, in: $0) })
  }

  /// The table in use: the configured name, perhaps with a suffix.
  public var tableName: String { table.name }

  public var keepsRecords: Bool { true }

  // MARK: changing

  public func open(_ id: MessageID) -> TaskRecord {
    if let record = recent.record(id) { return record }
    // A file that cannot be read must not stop the task; the next write reports what is wrong with it.
    if let record = try? read({ try table.load(id, in: $0) }) { return record }
    return recent.open(id)
  }

  public func save(_ record: TaskRecord) throws(TaskDatabaseError) {
    let growth = recent.note(record)
    guard record.marks.contains(.kept) else { return }
    if record.marks.insert(.pending).inserted {
      pending.append(record)
      pendingBytes += record.byteCount
    } else {
      pendingBytes += growth
    }
    if isFailing {
      recent.cull()
      // Those that were culled must not pile up here.
      if pending.count > 2 * recent.count + configuration.pendingLimit { pending.removeAll { !$0.marks.contains(.kept) } }
    } else if pending.count >= configuration.pendingLimit || pendingBytes >= configuration.pendingSizeLimit {
      try write()
    }
  }

  public func flush() throws(TaskDatabaseError) { try write() }

  private func write() throws(TaskDatabaseError) {
    if pending.isEmpty { return }
    var tooLarge: [MessageID] = []
    do {
      try file.write { database in
        for record in pending where record.marks.contains(.kept) {
          if TaskRow.byteCount(record) > TaskTable.rowLimit {
            tooLarge.append(record.id)
          } else {
            try table.write(record, in: database)
          }
        }
      }
    } catch {
      isFailing = true
      recent.cull()
      throw TaskDatabaseError(
        .storage,
        "the task database \(configuration.path) cannot be written: \(Self.reason(error)). \(pending.count) changes wait in memory and are tried "
          + "again")
    }
    isFailing = false
    finishWriting()
    if !tooLarge.isEmpty {
      throw TaskDatabaseError(
        .storage,
        "not in the task database, because SQLite holds no more than 1 GB in a row: \(tooLarge.map(\.text).joined(separator: ", "))"
      )
    }
  }

  private func finishWriting() {
    var done: [MessageID] = []
    for record in pending {
      record.marks.remove(.pending)
      guard record.marks.contains(.kept) else { continue }
      if TaskRow.byteCount(record) <= TaskTable.rowLimit {
        record.marks.insert(.rowWritten)
        if record.hasRequest { record.marks.insert(.requestWritten) }
        if record.reply != nil { record.marks.insert(.replyWritten) }
      }
      if record.isDroppable { done.append(record.id) }
    }
    pending.removeAll(keepingCapacity: pending.count <= configuration.pendingLimit)
    pendingBytes = 0
    recent.remove(done)
  }

  // MARK: asking

  public func record(_ id: MessageID) throws(TaskDatabaseError) -> TaskRecord? {
    if let record = recent.record(id) { return record }
    return try read { try table.load(id, in: $0) }
  }

  public func find(_ query: TaskQuery) throws(TaskDatabaseError) -> [TaskRecord] {
    let fresh = recent.find(query)
    if let ids = query.ids, fresh.count == ids.count { return fresh }
    let stored = try read { try table.find(query, in: $0, except: { recent.record($0) != nil }) }
    return Self.merged(stored, fresh) { $0.submitted?.microseconds ?? Int.max }
  }

  public func history() throws(TaskDatabaseError) -> [MessageID] {
    let stored = try read { try table.submissions(in: $0) }.filter { recent.record($0.id) == nil }
    let fresh = recent.find(.all).filter(\.hasRequest).map { ($0.id, $0.submitted?.microseconds ?? Int.max) }
    return Self.merged(stored, fresh) { $0.submitted }.map(\.id)
  }

  /// Two sorted lists as one; of equals, those of the first come first.
  private static func merged<Element>(_ a: [Element], _ b: [Element], by key: (Element) -> Int) -> [Element] {
    if b.isEmpty { return a }
    if a.isEmpty { return b }
    var result: [Element] = []
    result.reserveCapacity(a.count + b.count)
    var rest = b[...]
    for element in a {
      let limit = key(element)
      while let next = rest.first, key(next) < limit { result.append(rest.removeFirst()) }
      result.append(element)
    }
    return result + rest
  }

  // MARK: removing

  public func remove(_ ids: [MessageID]) throws(TaskDatabaseError) {
    recent.remove(ids)
    try change { try table.remove(ids, in: $0) }
  }

  public func removeFinished() throws(TaskDatabaseError) {
    // Rows of tasks that have finished since must say so before the file is asked which have.
    try write()
    try change { try table.removeFinished(in: $0) }
  }

  public func removeFinished(of engine: EngineUUID) throws(TaskDatabaseError) {
    try write()
    try change { try table.removeFinished(of: engine, in: $0) }
  }

  // MARK: the file

  private func read<Value>(_ body: (Database) throws -> Value) throws(TaskDatabaseError) -> Value {
    // "Unsafe" is what others could write meanwhile: each question here is a single statement. Plain `read` forbids writing first, by a
    // pragma that makes SQLite compile every statement anew.
    do { return try file.unsafeRead(body) } catch let error as TaskDatabaseError { throw error } catch {
      throw TaskDatabaseError(.storage, "the task database \(configuration.path) cannot be read: \(Self.reason(error))")
    }
  }

  private func change(_ body: (Database) throws -> Void) throws(TaskDatabaseError) {
    do { try file.write(body) } catch let error as TaskDatabaseError { throw error } catch {
      throw TaskDatabaseError(.storage, "the task database \(configuration.path) cannot be changed: \(Self.reason(error))")
    }
  }

  /// SQLite's own words, without the statement.
  private static func reason(_ error: any Error) -> String {
    guard let error = error as? DatabaseError else { return "\(error)" }
    return error.message ?? "\(error.resultCode)"
  }
}
