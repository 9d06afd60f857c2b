import ApusMessaging
import DequeModule
import Transport

/// The replies to balanced tasks that a controller with a journal has not confirmed yet: the engine sends them again to the one that comes after it.
///
/// Those that leave in one message are kept as that message: many small frames that are let go of a while later, when the processor has long forgotten
/// them, cost more than all the rest of a reply.
struct KeptReplies: Sendable {
  private struct Kept: Sendable {
    var reply: Source
    /// How many replies to this task are not confirmed: it may have been tried here before.
    var count = 1
    /// Where it stands in the order, counted from the first one that there ever was.
    var place: Int
  }

  private enum Source: Sendable {
    case alone(Envelope)
    /// - Parameter index: among the messages of the batch.
    case batched(number: Int, index: Int)
  }

  private struct Batch: Sendable {
    /// As it left, with its hop in front; empty until then.
    var frames: [Frame] = []
    /// Until then the replies, and where they are in it.
    var replies: [(index: Int, reply: Envelope)] = []
    /// How many of its replies are kept, and were.
    var count = 0
    var all = 0
    /// Of all its replies: they go together.
    var bytes = 0
  }

  // Asked as seldom as can be: each id is made a number of once when its reply is kept, and once when that is confirmed.
  private var kept: [MessageID: Kept] = [:]
  /// Batches that have left, by their numbers.
  private var batches: [Int: Batch] = [:]
  /// The one that is being collected, and its number.
  private var open = Batch()
  private var number = 0
  /// `nil` for those that are gone.
  private var order = Deque<MessageID?>()
  private var firstPlace = 0
  /// Beyond so many batches those are looked for of which little is kept.
  private var mostBatches = Self.fewBatches
  private(set) var bytes = 0
  private static let fewBatches = 64
  /// Bytes beyond which the oldest are let go of. Their tasks end as lost if the controller dies at that very moment.
  let limit: Int

  init(limit: Int = 256 << 20) { self.limit = limit }

  var count: Int { kept.count }

  mutating func keep(_ reply: Envelope, to id: MessageID) {
    bytes += reply.byteCount
    keep(.alone(reply), to: id)
  }

  /// One that leaves with others, in the batch that `left` tells of next.
  /// - Parameter index: among the messages of that.
  mutating func keep(_ reply: Envelope, to id: MessageID, inBatchAt index: Int) {
    bytes += reply.byteCount
    open.bytes += reply.byteCount
    open.count += 1
    open.replies.append((index, reply))
    keep(.batched(number: number, index: index), to: id)
  }

  /// - Parameter frames: the batch, with its hop in front.
  mutating func left(_ frames: [Frame]) {
    if open.replies.isEmpty { return }
    if open.count > 0 {
      batches[number] = Batch(frames: frames, count: open.count, all: open.replies.count, bytes: open.bytes)
    } else {
      bytes -= open.bytes
    }
    open.replies.removeAll(keepingCapacity: true)
    (open.count, open.bytes) = (0, 0)
    number += 1
    if batches.count > mostBatches {
      takeOutFew()
      mostBatches = 2 * batches.count + Self.fewBatches
    }
  }

  /// Few replies that nobody confirms do not keep all the others of their batch in memory.
  private mutating func takeOutFew() {
    var replies: [Int: [Int: Envelope]] = [:]
    for (number, batch) in batches where 4 * batch.count < batch.all { replies[number] = self.replies(of: number) }
    if replies.isEmpty { return }
    for id in order {
      guard let id, case .batched(let number, let index) = kept[id]?.reply, let reply = replies[number]?[index] else { continue }
      kept[id]?.reply = .alone(reply)
      bytes += reply.byteCount
    }
    for number in replies.keys { bytes -= batches.removeValue(forKey: number)?.bytes ?? 0 }
  }

  private mutating func keep(_ reply: Source, to id: MessageID) {
    if let before = kept.updateValue(Kept(reply: reply, place: firstPlace + order.count), forKey: id) {
      letGo(before.reply)
      kept[id]?.count += before.count
      order[before.place - firstPlace] = nil
    }
    order.append(id)
    while bytes > limit, kept.count > 1, let oldest = order.popFirst() {
      firstPlace += 1
      if let oldest, let removed = kept.removeValue(forKey: oldest) { letGo(removed.reply) }
    }
    if order.count > 2 * kept.count + 64 { close() }
  }

  private mutating func letGo(_ reply: Source) {
    switch reply {
    case .alone(let reply): bytes -= reply.byteCount
    case .batched(let number, _): letGo(1, of: number)
    }
  }

  private mutating func letGo(_ count: Int, of number: Int) {
    if number == self.number { return open.count -= count }
    guard let batch = batches[number] else { return }
    if batch.count > count {
      batches[number]?.count = batch.count - count
    } else {
      batches[number] = nil
      bytes -= batch.bytes
    }
  }

  /// What followed from the replies to these tasks is written.
  mutating func confirm(_ ids: [MessageID]) {
    // Those of a batch mostly follow each other.
    var batch = (number: number, count: 0)
    for id in ids {
      guard let one = kept.removeValue(forKey: id) else { continue }
      if one.count > 1 {
        kept[id] = Kept(reply: one.reply, count: one.count - 1, place: one.place)
        continue
      }
      order[one.place - firstPlace] = nil
      switch one.reply {
      case .alone: letGo(one.reply)
      case .batched(batch.number, _): batch.count += 1
      case .batched(let number, _):
        letGo(batch.count, of: batch.number)
        batch = (number, 1)
      }
    }
    letGo(batch.count, of: batch.number)
    while case .some(.none) = order.first {
      order.removeFirst()
      firstPlace += 1
    }
  }

  /// Closes the gaps of the order: one that nobody confirms does not keep the places of all behind it.
  private mutating func close() {
    order.removeAll { $0 == nil }
    firstPlace = 0
    for (place, id) in order.enumerated() { if let id { kept[id]?.place = place } }
  }

  mutating func removeAll() {
    kept = [:]
    batches = [:]
    open = Batch()
    number += 1
    mostBatches = Self.fewBatches
    order = []
    bytes = 0
  }

  /// What the engine tells a controller that took the place of another.
  struct Account: Sendable {
    /// Tasks that are here, and those whose replies were kept.
    var ids: [MessageID] = []
    /// Those that are here, and how many times each had come back from an engine before.
    var waiting: [(id: MessageID, attempt: Int)] = []
    /// Tasks of which there is nothing but a failure, likewise.
    var failed: [(id: MessageID, attempt: Int)] = []
    /// In the order in which they were given.
    var replies: [Envelope] = []
  }

  /// That controller confirms each of the replies once, whatever the one before did.
  /// - Parameter waiting: requests that are here and have not been answered, with their metadata.
  mutating func account(waiting: [(id: MessageID, metadata: Frame)]) -> Account {
    var account = Account(ids: waiting.map(\.id), waiting: waiting.map { ($0.id, Self.attempt(of: $0.metadata)) })
    let here = Set(account.ids)
    for (id, reply) in all {
      kept[id]?.count = 1
      if let attempt = Self.failedAttempt(reply) {
        // It is tried here again, and nobody needs to know how it went before.
        if here.contains(id) { continue }
        account.failed.append((id, attempt))
      }
      if !here.contains(id) { account.ids.append(id) }
      account.replies.append(reply)
    }
    return account
  }

  /// How many times a task had come back from an engine, as its request or its reply says.
  static func attempt(of metadata: Frame) -> Int {
    guard metadata.count > 2, metadata.withUnsafeBytes({ HeaderScanner($0).has("attempt") }) else { return 0 }
    return (try? metadata.json())?["attempt"]?.intValue ?? 0
  }

  /// - Returns: `nil` for a result.
  private static func failedAttempt(_ reply: Envelope) -> Int? {
    let metadata = try? reply.metadata()
    if reply.replyStatus == .ok, metadata?["dependencies_met"]?.isTruthy ?? true { return nil }
    return attempt(of: reply.metadataFrame)
  }

  /// In the order in which they were given.
  var all: [(id: MessageID, reply: Envelope)] {
    var all: [(id: MessageID, reply: Envelope)] = []
    // Those of a batch follow each other.
    var opened: (number: Int, replies: [Int: Envelope]) = (-1, [:])
    for id in order {
      guard let id, let one = kept[id] else { continue }
      switch one.reply {
      case .alone(let reply): all.append((id, reply))
      case .batched(let number, let index):
        if opened.number != number { opened = (number, replies(of: number)) }
        if let reply = opened.replies[index] { all.append((id, reply)) }
      }
    }
    return all
  }

  /// - Returns: all replies of a batch, by their places in it.
  private func replies(of number: Int) -> [Int: Envelope] {
    var replies: [Int: Envelope] = [:]
    guard let batch = batches[number] else {
      for (index, reply) in open.replies { replies[index] = reply }
      return replies
    }
    var reader = MessageBatchReader(verified: batch.frames)
    while let reply = try? reader.next() { replies[replies.count] = reply }
    return replies
  }
}
