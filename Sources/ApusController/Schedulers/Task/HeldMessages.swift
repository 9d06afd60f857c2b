import DequeModule

/// What leaves only when the facts that it follows from are on the disk.
struct HeldMessages<Message> {
  private var held = Deque<(ticket: Int, messages: [Message])>()
  private var written = 0

  /// Takes the messages of a turn, if they may not leave yet.
  /// - Parameter ticket: of the facts of this turn, and all before.
  /// - Returns: false if they may leave.
  mutating func hold(_ messages: inout [Message], until ticket: Int) -> Bool {
    // Never past those of an earlier turn: where nothing is written any more, they leave a moment later.
    guard ticket > written || !held.isEmpty else { return false }
    if !messages.isEmpty { held.append((max(ticket, held.last?.ticket ?? 0), messages)) }
    messages.removeAll()
    return true
  }

  /// - Parameter ticket: what was handed over up to this is written; the largest says that nothing is going to be.
  /// - Returns: what may leave now, turn by turn.
  mutating func release(_ ticket: Int) -> [[Message]] {
    if ticket < .max { written = max(written, ticket) }
    var free: [[Message]] = []
    while let first = held.first, first.ticket <= ticket {
      free.append(first.messages)
      held.removeFirst()
    }
    return free
  }

  var count: Int { held.count }
}
