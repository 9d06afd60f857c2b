import ApusMessaging

/// Aborts that have overtaken their tasks, or that are of tasks which never come here: the latest of them.
struct EarlyAborts {
  private var ids: Set<MessageID> = []
  private var order: [MessageID] = []
  private let capacity: Int

  /// - Parameter capacity: so many are remembered at least.
  init(capacity: Int = 1 << 14) { self.capacity = max(1, capacity) }

  mutating func note(_ id: MessageID) {
    guard ids.insert(id).inserted else { return }
    order.append(id)
    guard order.count > 2 * capacity else { return }
    for forgotten in order[..<capacity] { ids.remove(forgotten) }
    order.removeFirst(capacity)
  }

  /// - Returns: whether the task was aborted before it came. Asking forgets it.
  mutating func takes(_ id: MessageID) -> Bool {
    guard !ids.isEmpty, ids.remove(id) != nil else { return false }
    if ids.isEmpty { order.removeAll() }
    return true
  }
}
