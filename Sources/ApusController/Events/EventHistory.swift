import ApusMessaging
import DequeModule
import Transport

/// What has happened, as far as there is room: the newest events of tasks, engines and clients, without their messages.
///
/// It lies in blocks that are dropped whole, the oldest first, so that it takes what it may and no more. There is no index: a look through all
/// of it takes milliseconds, and an index would have to be kept for every event of every task.
struct EventHistory {
  /// Bytes that it may have.
  let limit: Int
  private(set) var byteCount = 0
  /// The number of the next event.
  private(set) var end = 0
  private var blocks = Deque<Block>()
  private let blockCapacity: Int
  private var names = EventNames()
  /// Why a task has failed that is about to be tried again.
  private var failure: (task: MessageID, detail: Detail)?

  private struct Block {
    var records: [Record] = []
    var byteCount = 0
  }

  /// What stays of an event.
  struct Record {
    var time: Timestamp
    var task: MessageID?
    /// Of `submitted` when it was sent; of `finished` when it began.
    var first: Timestamp?
    /// Of `finished` when it ended, by its engine's clock.
    var second: Timestamp?
    var engine: EventNames.Engine?
    var client: EventNames.Client?
    var detail: Detail?
    var code: Code
    var queue: TaskQueue?
  }

  /// What only some events have, or many have alike.
  final class Detail: Sendable {
    let label: String?
    let text: String?
    let other: MessageID?
    let count: Int?
    init(label: String? = nil, text: String? = nil, other: MessageID? = nil, count: Int? = nil) {
      self.label = label
      self.text = text
      self.other = other
      self.count = count
    }
    var byteCount: Int { 80 + (label?.utf8.count ?? 0) + (text?.utf8.count ?? 0) + (other?.text.utf8.count ?? 0) }
  }

  enum Code: Sendable, Hashable {
    case submitted, restored, waiting, queued, placed, started, abortRequested, aborted, resubmitted
    case retried(RetryReason)
    case lost(EngineLoss)
    case finished(TaskOutcome)
    case engineRegistered
    case engineDraining
    case engineLost(EngineLoss)
    case clientConnected, clientGone, controllerStarted, leftOut
  }

  /// What the text of an id takes beside its record: twice a task at least, once for the request and once for the reply.
  private static let textOverhead = 32
  /// What no event takes less than, one of two that share the text of their task.
  static let leastBytes = MemoryLayout<Record>.stride + textOverhead / 2
  /// Of a text from elsewhere so much is kept.
  static let longestText = 400

  init(limit: Int) {
    self.limit = limit
    // An eighth of all that there is may go at once, and not more.
    blockCapacity = min(4096, max(8, limit / 16 / MemoryLayout<Record>.stride))
  }

  var count: Int { blocks.reduce(0) { $0 + $1.records.count } }
  /// The number of the oldest event that is still here.
  var start: Int { end - count }

  // MARK: noting

  mutating func note(_ batch: EventBatch) {
    batch.forEach { event in
      switch event {
      case .task(let event): note(event)
      case .notice(let notice): note(notice)
      }
    }
  }

  mutating func note(_ event: TaskEvent) {
    var record = Record(time: event.time, task: event.id, code: .queued, queue: event.queue)
    // Others have the text of `submitted`, which is the scheduler's.
    let textBytes = event.id.text.utf8.count + Self.textOverhead
    var bytes = 0
    switch event.kind {
    case .submitted(let request, let engine):
      record.code = .submitted
      record.engine = engine.map { names.engine($0) }
      record.client = names.client(of: request)
      record.first = Timestamp.found("\"date\"", in: request.headerFrame)
      record.detail = names.detail(of: request)
      bytes = textBytes
    case .restored: record.code = .restored
    case .waiting(let count):
      record.code = .waiting
      record.detail = Detail(count: count)
    case .queued: break
    case .placed(let engine):
      record.code = .placed
      record.engine = names.engine(engine)
    case .started:
      record.code = .started
      bytes = textBytes
    // There may be a thousand times as much of it as of everything else; the task database has it.
    case .output: return
    case .failed(let reply):
      failure = Self.error(of: reply).map { (event.id, $0) }
      return
    case .retried(let engine, let reason):
      record.code = .retried(reason)
      record.engine = names.engine(engine)
      if reason == .failed, let failure, failure.task == event.id { record.detail = failure.detail }
      failure = nil
    case .lost(let engine, let cause):
      record.code = .lost(cause)
      record.engine = names.engine(engine)
    case .abortRequested(let client):
      record.code = .abortRequested
      record.client = names.client(named: client.text)
      bytes = textBytes
    case .aborted: record.code = .aborted
    case .resubmitted(let other):
      record.code = .resubmitted
      record.detail = Detail(other: other)
    case .finished(let reply, let engine, let outcome):
      record.code = .finished(outcome)
      record.engine = engine.map { names.engine($0) }
      record.first = Timestamp.found("\"started\"", in: reply.metadataFrame)
      if record.first != nil { record.second = Timestamp.found("\"date\"", in: reply.headerFrame) }
      if outcome != .ok, outcome != .aborted { record.detail = Self.error(of: reply) }
      bytes = textBytes
    }
    append(record, bytes)
  }

  mutating func note(_ notice: ClusterNotice) {
    var record = Record(time: notice.time, code: .leftOut)
    switch notice.kind {
    case .controllerStarted(let tasks):
      record.code = .controllerStarted
      record.detail = tasks.map { Detail(count: $0) }
    case .engineJoined(let uuid, let id):
      record.code = .engineRegistered
      record.engine = names.joined(uuid, id)
    case .engineDrains(let uuid):
      record.code = .engineDraining
      record.engine = names.engine(uuid)
    case .engineLeft(let uuid, let id, let cause):
      record.code = .engineLost(cause)
      record.engine = names.left(uuid, id)
    case .clientConnected(let client):
      record.code = .clientConnected
      record.client = names.client(named: client.text)
    case .clientGone(let client):
      record.code = .clientGone
      record.client = names.client(named: client.text)
    case .tasksRestored(let tasks, let queue):
      for task in tasks { for event in task.events(in: queue, at: notice.time) { note(event) } }
      return
    }
    append(record, 0)
  }

  /// So many events came faster than they could be noted.
  mutating func noteLeftOut(_ count: Int) { append(Record(time: .now(), detail: Detail(count: count), code: .leftOut), 0) }

  private mutating func append(_ record: Record, _ texts: Int) {
    // A detail that many events share is counted for each: less would have to know when the last of them goes.
    let bytes = MemoryLayout<Record>.stride + texts + (record.detail?.byteCount ?? 0)
    if blocks.last.map({ $0.records.count >= blockCapacity }) ?? true {
      var block = Block()
      block.records.reserveCapacity(blockCapacity)
      blocks.append(block)
    }
    blocks[blocks.count - 1].records.append(record)
    blocks[blocks.count - 1].byteCount += bytes
    byteCount += bytes
    end += 1
    while byteCount > limit, blocks.count > 1 { byteCount -= blocks.removeFirst().byteCount }
  }

  private static func error(of reply: Envelope) -> Detail? {
    guard let name = Envelope.string("ename", of: reply.contentFrame) else { return nil }
    let value = Envelope.string("evalue", of: reply.contentFrame) ?? ""
    let text = value.isEmpty ? name : "\(name): \(value)"
    return Detail(text: EventNames.short(text))
  }

  // MARK: looking

  /// The id of an engine that is here, or was here lately.
  func engineID(of uuid: EngineUUID) -> EngineID? { names.id(of: uuid) }

  /// - Parameter number: of the first event that is looked at; those that are gone are skipped.
  /// - Parameter body: is given each event with its number, until it returns false.
  func forEach(from number: Int = 0, _ body: (Int, Record) -> Bool) {
    var index = start
    for block in blocks {
      let next = index + block.records.count
      if next > number {
        for (offset, record) in block.records.enumerated() where index + offset >= number {
          if !body(index + offset, record) { return }
        }
      }
      index = next
    }
  }
}
