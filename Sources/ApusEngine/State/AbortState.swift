public import ApusMessaging

/// Which requests must not run any more. An id is remembered until its request arrives, within limits.
public struct AbortState: Sendable {
  private var ids: Set<MessageID> = []
  private var order: [MessageID] = []
  private let capacity: Int
  /// Requests that were queued at this moment are aborted; `nil`: no such wish.
  private var everythingUntil: Timestamp?

  public init(capacity: Int = 65_536) { self.capacity = max(1, capacity) }

  public var wantsEverything: Bool { everythingUntil != nil }

  public mutating func abort(_ id: MessageID) {
    guard ids.insert(id).inserted else { return }
    order.append(id)
    guard order.count > 2 * capacity else { return }
    // The oldest go: their requests ran before the abort arrived, or never come.
    for forgotten in order[..<capacity] { ids.remove(forgotten) }
    order.removeFirst(capacity)
  }

  /// - Parameter moment: the date of the abort request. What its sender submits later has a later date and stays.
  public mutating func abortEverything(until moment: Timestamp) {
    everythingUntil = max(moment, everythingUntil ?? moment)
  }

  /// Ends the wish of `abortEverything`; to be called once the queue was gone through.
  public mutating func takeEverything() -> Timestamp? {
    defer { everythingUntil = nil }
    return everythingUntil
  }

  /// Whether the request must be answered `aborted`. Asking forgets the id.
  public mutating func takes(_ id: MessageID) -> Bool {
    guard !ids.isEmpty, ids.remove(id) != nil else { return false }
    if ids.isEmpty { order.removeAll() }
    return true
  }
}
