import ApusMessaging
import DequeModule
import Transport

/// Replays a journal into what the scheduler knew. No files and no clock: segments come as bytes, in the order of their numbers.
struct Restorer {
  private var tasks = Tasks()
  /// How tasks ended, the latest last: for dependencies that name them.
  private var outcomes: [MessageID: JournalOutcome] = [:]
  private var outcomeOrder = Deque<MessageID>()
  /// The same of those that had ended before the last snapshot.
  private var ended: [EndedTasks] = []
  private var results = Deque<JournalResult>()
  /// When each of them ended, the last time.
  private var resultTimes: [MessageID: Timestamp] = [:]
  /// Which of them have left.
  private var delivered: Set<MessageID> = []
  private var resultBytes = 0
  /// A snapshot that is being read: it counts when its end is there.
  private var snapshot: Snapshot?
  private var bytes = 0
  /// Bytes that are going to be read, and tasks that are to be expected in them.
  private let expectedBytes: Int
  private var expectedTasks = 0
  /// Sentences about what could not be read.
  private(set) var damages: [String] = []
  /// The segments that they are about.
  private var damaged: [String] = []
  /// The last one of which the disk did not give everything.
  private var unreadable: String?
  /// Bytes at the end of segments that were cut off in the middle of a write: what happens when the power fails.
  private(set) var tornBytes = 0

  private let outcomeLimit: Int
  /// Results older than this, counted from the last, have been delivered or will not be.
  static let resultAge = 60 * 1_000_000
  static let resultBytesLimit = 64 << 20
  /// Room is made at once for no more tasks than that.
  private static let mostExpected = 1 << 22

  private struct Snapshot {
    var tasks = Tasks()
    var ended: [EndedTasks] = []
    /// How many were restated, whatever became of them.
    var count = 0
  }

  /// Tasks that have not ended, in the order of submission.
  private struct Tasks {
    private(set) var list: [RestatedTask] = []
    private var indexes: [MessageID: Int] = [:]
    /// Places of tasks that have ended, until they are swept out.
    private var gaps: Set<Int> = []

    mutating func makeRoom(for count: Int) {
      indexes.reserveCapacity(indexes.count + count)
      list.reserveCapacity(list.count + count)
    }

    func contains(_ id: MessageID) -> Bool { indexes[id] != nil }

    /// A message that came twice is one task.
    mutating func add(_ task: consuming RestatedTask) {
      // One look-up whether it is there or not.
      if Self.note(list.count, &indexes[task.id]) { list.append(task) }
    }

    private static func note(_ place: Int, _ index: inout Int?) -> Bool {
      if index != nil { return false }
      index = place
      return true
    }

    mutating func change(_ id: MessageID, _ body: (inout RestatedTask.Course) -> Void) {
      if let index = indexes[id] { body(&list[index].course) }
    }

    mutating func remove(_ id: MessageID) -> RestatedTask? {
      guard let index = indexes.removeValue(forKey: id) else { return nil }
      gaps.insert(index)
      let task = list[index]
      list[index].request = .released
      if list.count > 2 * indexes.count + 1024 { sweep() }
      return task
    }

    private mutating func sweep() {
      list = take()
      for (index, task) in list.enumerated() { indexes[task.id] = index }
    }

    /// Leaves nothing behind.
    mutating func take() -> [RestatedTask] {
      var taken: [RestatedTask] = []
      swap(&taken, &list)
      if !gaps.isEmpty { taken = taken.enumerated().filter { !gaps.contains($0.offset) }.map(\.element) }
      gaps = []
      return taken
    }
  }

  /// - Parameters:
  ///   - outcomeLimit: tasks that have ended and that dependencies may name.
  ///   - expected: bytes that are going to be read, so that room can be made for all at once.
  init(outcomeLimit: Int = 1 << 18, expecting expected: Int = 0) {
    self.outcomeLimit = outcomeLimit
    expectedBytes = expected
  }

  // MARK: reading

  /// - Parameter name: of the segment, for sentences.
  mutating func read(segment bytes: UnsafeRawBufferPointer, name: String) {
    read(JournalSegment(bytes, name: name))
  }

  /// - Parameter segment: a whole one, or a part of it.
  mutating func read(_ segment: consuming JournalSegment) {
    var segment = segment
    if bytes == 0, segment.byteCount > 0 {
      expectedTasks = min(Self.mostExpected, segment.taskCount * (expectedBytes / segment.byteCount + 1))
      tasks.makeRoom(for: expectedTasks)
    }
    bytes += segment.byteCount
    // From the end, so that each is moved and not copied: counting the references of a million takes longer than everything else.
    segment.records.reverse()
    while let record = segment.records.popLast() { apply(record) }
    for damage in segment.damages {
      if damage.isTail {
        tornBytes += damage.count
      } else {
        note(
          "\(segment.name): \(damage.count) bytes from \(damage.offset) on are damaged, and what they said is left out",
          of: segment.name)
      }
    }
    if segment.unknown > 0 {
      note(
        "\(segment.name): \(segment.unknown) records cannot be read: another version wrote them, or they lean on what is damaged",
        of: segment.name)
    }
  }

  /// A segment that is there, and cannot be read, or something of it.
  mutating func leaveOut(_ error: FileError) {
    // Of one segment it is said once.
    if unreadable == error.path { return }
    unreadable = error.path
    note("\(error): what cannot be read is left out", of: error.path)
  }

  private mutating func note(_ damage: String, of segment: String) {
    damages.append(damage)
    if damaged.last != segment { damaged.append(segment) }
  }

  private mutating func apply(_ record: consuming JournalCodec.Record) {
    switch consume record {
    case .submitted(let task): submitted(task)
    case .placed(let id, let engine): tasks.change(id) { ($0.engine, $0.restsSince) = (engine, nil) }
    case .unwanted(let id): tasks.change(id) { $0.spentRetries = Int(Int32.max) }
    case .retried(let id, let engine, let reason, let time):
      tasks.change(id) { task in
        task.engine = nil
        // What never came there was no attempt.
        if reason != .undelivered { task.attempt += 1 }
        switch reason {
        case .failed, .engineLost, .overtaken:
          task.spentRetries += 1
          task.refused.insert(engine)
          task.restsSince = time
        case .unmetDependency:
          task.refused.insert(engine)
          task.declined.insert(engine)
        case .undelivered: break
        }
      }
    case .finished(let result): finished(result)
    case .outcome(let id, let outcome):
      note(id, outcome)
      // What said so first may be lost with the end of a segment.
      _ = tasks.remove(id)
      _ = snapshot?.tasks.remove(id)
    case .delivered(let ids): for id in ids where resultTimes[id] != nil { delivered.insert(id) }
    case .missed(let ids): delivered.subtract(ids)
    case .ended(let part): snapshot?.ended.append(part)
    case .snapshotBegins:
      snapshot = Snapshot()
      snapshot?.tasks.makeRoom(for: expectedTasks)
    case .restated(let task):
      guard snapshot != nil else { return submitted(task) }
      snapshot?.count += 1
      snapshot?.tasks.add(task)
    case .snapshotEnds(let count): endSnapshot(count)
    }
  }

  private mutating func submitted(_ task: consuming RestatedTask) { if outcomes[task.id] == nil { tasks.add(task) } }

  private mutating func finished(_ result: JournalResult) {
    var result = result
    if let task = tasks.remove(result.id) {
      result.client = task.request.client
      result.isOwnClient = task.request.isOwn
    }
    note(result.id, JournalOutcome(succeeded: result.outcome == .ok, engine: result.engine))
    // Each snapshot has those again that clients may not have got.
    if let known = resultTimes[result.id], known >= result.time { return }
    if result.reply.byteCount > Self.resultBytesLimit / 2 {
      // It would take the place of all others: as in `Recovery`. Clients of Apus ask for it, and are told so; others would wait for ever.
      guard result.client != nil, !result.isOwnClient else { return }
      result.reply = Self.lost(result.reply)
    }
    resultTimes[result.id] = result.time
    results.append(result)
    resultBytes += result.reply.byteCount
    while let first = results.first,
      resultBytes > Self.resultBytesLimit || result.time.microseconds - first.time.microseconds > Self.resultAge
    {
      resultBytes -= first.reply.byteCount
      if resultTimes[first.id] == first.time {
        resultTimes[first.id] = nil
        delivered.remove(first.id)
      }
      results.removeFirst()
    }
  }

  /// What is said in its place.
  private static func lost(_ reply: Envelope) -> Envelope {
    let reason = "the task has ended, and its result of \(reply.byteCount) bytes was lost: the controller was restarted"
    let type = reply.messageType ?? .applyReply
    return Envelope(
      signature: .empty, header: Frame(["msg_type": .string(type.text)]), parentHeader: reply.parentHeaderFrame,
      metadata: .emptyObject,
      content: Frame(RemoteError(name: RemoteError.resultLost, value: reason, traceback: [reason]).content))
  }

  private mutating func note(_ id: MessageID, _ outcome: JournalOutcome) {
    if outcomes.updateValue(outcome, forKey: id) == nil { outcomeOrder.append(id) }
    while outcomeOrder.count > outcomeLimit { outcomes[outcomeOrder.removeFirst()] = nil }
  }

  /// What it leaves out has ended, unless a part of it could not be read.
  private mutating func endSnapshot(_ count: Int) {
    guard var read = snapshot.take() else { return }
    if !read.ended.isEmpty { ended = read.ended }
    guard read.count < count else { return tasks = read.tasks }
    damages.append("a snapshot of \(count) tasks of which \(read.count) can be read: the others are as they were before it")
    var before = Tasks()
    for task in tasks.take() where !read.tasks.contains(task.id) { before.add(task) }
    for task in read.tasks.take() { before.add(task) }
    tasks = before
  }

  // MARK: the result

  struct Restored: Sendable {
    /// In the order of submission.
    var tasks: [RestatedTask] = []
    /// The latest last.
    var outcomes: [(id: MessageID, outcome: JournalOutcome)] = []
    var results: [JournalResult] = []
    /// What was read, and the part of it that the tasks take.
    var bytes = (all: 0, tasks: 0)
    /// Nothing but a tail is missing: what is written behind it goes on with it.
    var isWhole = true
    /// The segments of which something could not be read; `nil` where nothing is damaged.
    var damaged: [String]?
    /// Of tasks that had ended before the last snapshot, the latest last.
    var ended: [EndedTasks] = []
    var isEmpty: Bool { tasks.isEmpty && outcomes.isEmpty && results.isEmpty && ended.isEmpty }
  }

  /// After the last segment.
  mutating func finish() -> Restored {
    let isWhole = damages.isEmpty && snapshot == nil
    // One that was cut off says nothing new: the segments before it are still there.
    if var cut = snapshot.take() {
      for task in cut.tasks.take() { submitted(task) }
      ended += cut.ended
    }
    var tasks = tasks.take()
    Self.openSparse(&tasks)
    for index in results.indices { results[index].isDelivered = delivered.contains(results[index].id) }
    var taskBytes = 0
    // By the index, without a copy of each.
    for index in tasks.indices { taskBytes += tasks[index].bytesRead }
    return Restored(
      tasks: tasks, outcomes: outcomeOrder.compactMap { id in outcomes[id].map { (id, $0) } },
      results: Array(results), bytes: (bytes, taskBytes), isWhole: isWhole,
      damaged: damages.isEmpty ? nil : damaged, ended: ended)
  }

  /// Where most of the tasks of a part have ended, the others shall not keep it in memory.
  private static func openSparse(_ tasks: inout [RestatedTask]) {
    typealias Amount = StoredRequests.Amount
    var counts: [ObjectIdentifier: (kept: Amount, all: Amount)] = [:]
    // Those of one part follow each other.
    var last: (part: ObjectIdentifier, kept: Amount, all: Amount)?
    func note() {
      if let last { counts[last.part, default: (Amount(), last.all)].kept.add(last.kept) }
    }
    for index in tasks.indices {
      guard case .stored(let request) = tasks[index].request else { continue }
      if request.part != last?.part {
        note()
        last = (request.part, Amount(), request.partAmount)
      }
      last?.kept.add(request.amount)
    }
    note()
    let sparse = Set(counts.filter { $0.value.kept.isLittle(of: $0.value.all) }.keys)
    if sparse.isEmpty { return }
    for index in tasks.indices {
      if case .stored(let request) = tasks[index].request, sparse.contains(request.part) { tasks[index].request.open() }
    }
  }
}
