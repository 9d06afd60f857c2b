public import ApusMessaging
import DequeModule

/// Keeps records in memory, within bounds.
///
/// Finished tasks make room for newer ones, the first finished first; so does output that no task is known for. Unfinished tasks stay whatever
/// the limits say: what clients wait for is bounded where it is accepted.
public final class MemoryDatabase: TaskDatabase {
  /// ipyparallel's `DictDB` has the same names and defaults.
  public struct Configuration: Hashable, Sendable {
    /// How many records are kept beside those of unfinished tasks.
    public var recordLimit = 1024
    /// Bytes of frames and output in all records.
    public var sizeLimit = 1 << 30
    /// The share of a limit that is freed when it is exceeded, 0 to 1.
    public var cullFraction = 0.1
    public init() {}

    /// `cullFraction` of a limit, whatever people write into either.
    fileprivate func share(of limit: Int) -> Int {
      let share = cullFraction * Double(limit)
      guard share > 0 else { return 0 }
      return share < Double(limit) ? Int(share) : limit
    }
  }

  public let configuration: Configuration
  private var records: [MessageID: TaskRecord] = [:]
  /// Those that may be dropped, in the order in which they became so. May hold output whose task has come since: it is skipped.
  private var queue: Deque<TaskRecord> = []
  /// How many of `records` may be dropped.
  private var droppableCount = 0
  private var lastNumber = 0
  /// Bytes that all records keep alive.
  public private(set) var byteCount = 0
  /// Bytes of journals' parts that are kept for few requests.
  private var leftOverBytes = 0

  public init(_ configuration: Configuration = Configuration()) { self.configuration = configuration }

  public var keepsRecords: Bool { true }
  public var count: Int { records.count }

  public func open(_ id: MessageID) -> TaskRecord {
    // One look-up whether it is there or not.
    func found(in place: inout TaskRecord?) -> TaskRecord {
      if let record = place { return record }
      let record = TaskRecord(id)
      number(record)
      place = record
      return record
    }
    return found(in: &records[id])
  }

  public func save(_ record: TaskRecord) {
    note(record)
    cull()
  }

  public func record(_ id: MessageID) -> TaskRecord? { records[id] }

  public func find(_ query: TaskQuery) -> [TaskRecord] {
    if let ids = query.ids { return inOrder(ids.compactMap { records[$0] }.filter(query.matches)) }
    return inOrder(records.values.filter(query.matches))
  }

  public func history() -> [MessageID] { inOrder(records.values.filter(\.hasRequest)).map(\.id) }

  public func remove(_ ids: [MessageID]) {
    for id in ids { if let record = records[id] { drop(record) } }
    clean()
  }

  public func removeFinished() { remove(where: \.isDroppable) }
  public func removeFinished(of engine: EngineUUID) { remove { $0.isFinished && $0.engine == engine } }

  private func remove(where isMeant: (TaskRecord) -> Bool) {
    for record in records.values.filter(isMeant) { drop(record) }
    clean()
  }

  public func flush() {}

  /// By submission; what was never submitted comes last, in the order of arrival.
  private func inOrder(_ records: [TaskRecord]) -> [TaskRecord] {
    guard records.count > 1 else { return records }
    // Sorted without the records: moving numbers is four times faster than counting references.
    var places = records.enumerated().map { Place(submitted: $1.submitted?.microseconds ?? Int.max, number: $1.number, index: $0) }
    places.sort()
    return places.map { records[$0.index] }
  }

  private struct Place: Comparable {
    var submitted: Int
    var number: Int
    var index: Int
    static func < (a: Place, b: Place) -> Bool { (a.submitted, a.number) < (b.submitted, b.number) }
  }

  // MARK: bounds

  /// Takes a record in, or counts what changed in it. - Returns: by how many bytes the database grew.
  @discardableResult
  func note(_ record: TaskRecord) -> Int {
    if !record.marks.contains(.kept) {
      if record.marks.contains(.dropped) { return 0 }
      insert(record)
    }
    if record.stored != nil, record.isDroppable || record.hasMessage { open(record) }
    let growth = record.byteCount - record.countedBytes
    record.countedBytes += growth
    byteCount += growth
    if record.isDroppable != record.marks.contains(.counted) {
      record.marks.formSymmetricDifference(.counted)
      droppableCount += record.isDroppable ? 1 : -1
    }
    if record.isDroppable, !record.marks.contains(.queued) {
      record.marks.insert(.queued)
      queue.append(record)
    }
    return growth
  }

  private func number(_ record: TaskRecord) {
    lastNumber += 1
    record.number = lastNumber
    record.marks.insert(.kept)
  }

  private func insert(_ record: TaskRecord) {
    number(record)
    if let former = records.updateValue(record, forKey: record.id) { forget(former) }
  }

  private func drop(_ record: TaskRecord) {
    records.removeValue(forKey: record.id)
    forget(record)
  }

  private func forget(_ record: TaskRecord) {
    if record.stored != nil { open(record) }
    byteCount -= record.countedBytes
    record.countedBytes = 0
    if record.marks.contains(.counted) { droppableCount -= 1 }
    record.marks.subtract([.kept, .counted])
    record.marks.insert(.dropped)
  }

  /// Of a restored task that needs no part of a journal any more.
  private func open(_ record: TaskRecord) {
    leftOverBytes += record.open()
    guard leftOverBytes > StoredRequests.mostLeftOver else { return }
    // All are looked at; but each time so many bytes are free that were read at the start, and no part comes twice.
    for other in records.values where other.stored?.isLeftOver(of: .database) ?? false { leftOverBytes += other.open() }
  }

  /// Makes room if a limit is exceeded. Constant time for each dropped record.
  func cull() {
    let surplus = droppableCount - configuration.recordLimit
    if surplus > 0 {
      for _ in 0..<max(surplus, configuration.share(of: configuration.recordLimit)) where !dropOldest() { break }
      shrink()
    }
    if byteCount > configuration.sizeLimit {
      let goal = configuration.sizeLimit - configuration.share(of: configuration.sizeLimit)
      while byteCount > goal, dropOldest() {}
      shrink()
    }
  }

  private func dropOldest() -> Bool {
    while let record = queue.popFirst() {
      record.marks.remove(.queued)
      guard record.marks.contains(.counted) else { continue }
      drop(record)
      return true
    }
    return false
  }

  /// Lets go of what was dropped out of turn, and of its frames.
  private func clean() {
    queue = Deque(
      queue.filter { record in
        if !record.marks.contains(.counted) { record.marks.remove(.queued) }
        return record.marks.contains(.counted)
      })
    shrink()
  }

  /// Gives memory back after a great many tasks; costs a constant per record that was dropped since the last time.
  private func shrink() {
    guard records.capacity > 8192, records.capacity > 8 * records.count else { return }
    var smaller = [MessageID: TaskRecord](minimumCapacity: 2 * records.count)
    for (id, record) in records { smaller[id] = record }
    records = smaller
    queue = Deque(queue)
  }
}
