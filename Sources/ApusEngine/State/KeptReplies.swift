import ApusMessaging
import DequeModule
import Transport

/// The replies to balanced tasks that a controller with a journal has not confirmed yet: the engine sends them again to the one that comes after it.
struct KeptReplies: Sendable {
  private struct Kept: Sendable {
    var reply: Envelope
    /// How many replies to this task are not confirmed: it may have been tried here before.
    var count = 1
    /// Where it stands in the order, counted from the first one that there ever was.
    var place: Int
  }

  // Asked as seldom as can be: each id is made a number of once when its reply is kept, and once when that is confirmed.
  private var kept: [MessageID: Kept] = [:]
  /// `nil` for those that are gone.
  private var order = Deque<MessageID?>()
  private var firstPlace = 0
  private(set) var bytes = 0
  /// Bytes beyond which the oldest are let go of. Their tasks end as lost if the controller dies at that very moment.
  let limit: Int

  init(limit: Int = 256 << 20) { self.limit = limit }

  var count: Int { kept.count }

  mutating func keep(_ reply: Envelope, to id: MessageID) {
    bytes += reply.byteCount
    if let before = kept.updateValue(Kept(reply: reply, place: firstPlace + order.count), forKey: id) {
      bytes -= before.reply.byteCount
      kept[id]?.count += before.count
      order[before.place - firstPlace] = nil
    }
    order.append(id)
    while bytes > limit, kept.count > 1, let oldest = order.popFirst() {
      firstPlace += 1
      if let oldest, let removed = kept.removeValue(forKey: oldest) { bytes -= removed.reply.byteCount }
    }
    if order.count > 2 * kept.count + 64 { close() }
  }

  /// What followed from the replies to these tasks is written.
  mutating func confirm(_ ids: [MessageID]) {
    for id in ids {
      guard let one = kept.removeValue(forKey: id) else { continue }
      if one.count > 1 {
        kept[id] = Kept(reply: one.reply, count: one.count - 1, place: one.place)
      } else {
        bytes -= one.reply.byteCount
        order[one.place - firstPlace] = nil
      }
    }
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
    order.compactMap { id in id.flatMap { id in kept[id].map { (id, $0.reply) } } }
  }
}
