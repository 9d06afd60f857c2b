import ApusMessaging
import DequeModule
import Transport

/// Replays a journal into what the scheduler knew. No files and no clock: segments come as bytes, in the order of their numbers.
struct Restorer {
  /// In the order of submission. Those that have ended are `nil` until they are swept out.
  private var tasks: [RestatedTask?] = []
  private var indexes: [MessageID: Int] = [:]
  private var alive = 0
  /// How tasks ended, the latest last: for dependencies that name them.
  private var outcomes: [MessageID: JournalOutcome] = [:]
  private var outcomeOrder = Deque<MessageID>()
  private var results = Deque<JournalResult>()
  private var resultBytes = 0
  private var snapshot: Snapshot?
  /// Sentences about what could not be read.
  private(set) var damages: [String] = []
  /// Bytes at the end of segments that were cut off in the middle of a write: what happens when the power fails.
  private(set) var tornBytes = 0

  private let outcomeLimit: Int
  /// Results older than this, counted from the last, have been delivered or will not be.
  static let resultAge = 60 * 1_000_000
  static let resultBytesLimit = 64 << 20

  /// A snapshot that is being read: it counts when its end is there.
  private struct Snapshot {
    var tasks: [RestatedTask] = []
  }

  /// - Parameter outcomeLimit: tasks that have ended and that dependencies may name.
  init(outcomeLimit: Int = 1 << 18) { self.outcomeLimit = outcomeLimit }

  // MARK: reading

  /// - Parameter name: of the segment, for sentences.
  mutating func read(segment bytes: UnsafeRawBufferPointer, name: String) {
    var unknown = 0
    let found = JournalBlock.read(bytes) { block in unknown += JournalCodec.read(block) { apply($0) } }
    for damage in found {
      if damage.isTail {
        tornBytes += damage.count
      } else {
        damages.append("\(name): \(damage.count) bytes from \(damage.offset) on are damaged, and what they said is left out")
      }
    }
    if unknown > 0 { damages.append("\(name): \(unknown) records of a kind that this version does not know") }
  }

  private mutating func apply(_ record: JournalCodec.Record) {
    switch record {
    case .submitted(let id, let message): submitted(RestatedTask(id: id, message: message))
    case .placed(let id, let engine): change(id) { $0.engine = engine }
    case .retried(let id, let engine, let reason):
      change(id) { task in
        task.engine = nil
        // What never came there was no attempt.
        if reason != .undelivered { task.attempt += 1 }
        switch reason {
        case .failed, .engineLost:
          task.spentRetries += 1
          task.refused.insert(engine)
        case .unmetDependency:
          task.refused.insert(engine)
          task.declined.insert(engine)
        case .undelivered: break
        }
      }
    case .finished(let result): finished(result)
    case .outcome(let id, let outcome): note(id, outcome)
    case .snapshotBegins: snapshot = Snapshot()
    case .restated(let task): if snapshot != nil { snapshot?.tasks.append(task) } else { submitted(task) }
    case .snapshotEnds(let count): endSnapshot(count)
    }
  }

  private mutating func submitted(_ task: RestatedTask) {
    // A message that came twice was one task.
    guard indexes[task.id] == nil, outcomes[task.id] == nil else { return }
    indexes[task.id] = tasks.count
    tasks.append(task)
    alive += 1
  }

  private mutating func change(_ id: MessageID, _ body: (inout RestatedTask) -> Void) {
    guard let index = indexes[id], var task = tasks[index] else { return }
    body(&task)
    tasks[index] = task
  }

  private mutating func finished(_ result: JournalResult) {
    var result = result
    if let index = indexes.removeValue(forKey: result.id), let task = tasks[index] {
      result.client = task.message.identities.first
      // Stock clients sign each message for everybody to see.
      result.isOwnClient = task.message.isSealed || task.message.signature.isEmpty
      tasks[index] = nil
      alive -= 1
      if tasks.count > 2 * alive + 1024 { sweep() }
    }
    note(result.id, JournalOutcome(succeeded: result.outcome == .ok, engine: result.engine))
    results.append(result)
    resultBytes += result.reply.byteCount
    while let first = results.first,
      resultBytes > Self.resultBytesLimit || result.time.microseconds - first.time.microseconds > Self.resultAge
    {
      resultBytes -= first.reply.byteCount
      results.removeFirst()
    }
  }

  private mutating func note(_ id: MessageID, _ outcome: JournalOutcome) {
    if outcomes.updateValue(outcome, forKey: id) == nil { outcomeOrder.append(id) }
    while outcomeOrder.count > outcomeLimit { outcomes[outcomeOrder.removeFirst()] = nil }
  }

  private mutating func sweep() {
    tasks.removeAll { $0 == nil }
    for (index, task) in tasks.enumerated() { if let task { indexes[task.id] = index } }
  }

  /// What it leaves out has ended, unless a part of it could not be read.
  private mutating func endSnapshot(_ count: Int) {
    guard let read = snapshot.take() else { return }
    let before = read.tasks.count < count ? tasks : []
    if read.tasks.count < count {
      damages.append("a snapshot of \(count) tasks of which \(read.tasks.count) can be read: the others are as they were before it")
    }
    tasks = []
    indexes = [:]
    alive = 0
    let restated = Set(read.tasks.map(\.id))
    for case let task? in before where !restated.contains(task.id) { submitted(task) }
    for task in read.tasks { submitted(task) }
  }

  // MARK: the result

  struct Restored: Sendable {
    /// In the order of submission.
    var tasks: [RestatedTask] = []
    /// The latest last.
    var outcomes: [(id: MessageID, outcome: JournalOutcome)] = []
    var results: [JournalResult] = []
    var isEmpty: Bool { tasks.isEmpty && outcomes.isEmpty && results.isEmpty }
  }

  /// After the last segment.
  mutating func finish() -> Restored {
    // One that was cut off says nothing new: the segments before it are still there.
    if let cut = snapshot.take() { for task in cut.tasks { submitted(task) } }
    return Restored(
      tasks: tasks.compactMap { $0 }, outcomes: outcomeOrder.compactMap { id in outcomes[id].map { (id, $0) } },
      results: Array(results))
  }
}
