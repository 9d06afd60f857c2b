import ApusMessaging

/// Facts that wait to be written, between the turn of the scheduler that made them and the commit of the journal that takes them.
struct JournalBacklog: Sendable {
  /// Those of each turn, as they were handed over: moving them together would take longer than writing them.
  private var turns: [[JournalEntry]] = []
  /// Empty ones, for turns to come.
  private var spare: [[JournalEntry]] = []
  private var count = 0
  private var bytes = 0
  /// How many hand-overs there were: whoever waits for what it handed over waits for this number.
  private var ticket = 0
  private var isWoken = false
  private(set) var isOpen = false
  private var hasOverflowed = false

  /// Whether nothing may leave the scheduler before what it follows from is on the disk.
  let holdsMessages: Bool

  /// How long facts may wait for others to be written with.
  static let delay = Duration.milliseconds(2)
  private static let batch = 2048
  private static let mostSpare = 32
  /// Bytes that may wait for a slow disk. Beyond them the journal is suspended.
  private static let limit = 256 << 20

  /// Half of that waits: clients had better wait too, with what they send.
  var isBehind: Bool { bytes > Self.limit / 2 }

  init(holdsMessages: Bool) { self.holdsMessages = holdsMessages }

  /// From now on facts are written: a snapshot is about to be handed over.
  mutating func open() { isOpen = true }

  /// What waits is dropped, and what comes.
  mutating func close() {
    isOpen = false
    turns = []
    (count, bytes) = (0, 0)
    hasOverflowed = false
  }

  /// When a commit is to take what waits.
  enum Wake {
    /// It is going to, or there is nothing.
    case not
    case later, now
  }

  /// Takes the facts and leaves none.
  /// - Returns: the ticket of everything that was handed over so far; 0 while nothing is written.
  mutating func handOver(_ new: inout JournalFacts) -> (ticket: Int, wake: Wake) {
    guard isOpen else {
      new.removeAll(keepingCapacity: new.entries.count <= Self.batch)
      return (0, .not)
    }
    guard !new.entries.isEmpty else { return (ticket, .not) }
    bytes += new.bytes
    if bytes > Self.limit { hasOverflowed = true }
    if hasOverflowed {
      new.removeAll(keepingCapacity: false)
    } else {
      count += new.entries.count
      turns.append(new.take(leaving: spare.popLast() ?? []))
    }
    ticket += 1
    if isWoken { return (ticket, count >= Self.batch && !holdsMessages ? .now : .not) }
    isWoken = true
    return (ticket, holdsMessages ? .now : .later)
  }

  struct Taken {
    /// By turns of the scheduler.
    var turns: [[JournalEntry]]
    var ticket: Int
    /// More waited than there is room for, and was dropped.
    var hasOverflowed: Bool

    /// Lets go of the entries, once they are written.
    /// - Returns: the memory that they were in.
    mutating func empty() -> [[JournalEntry]] {
      var turns: [[JournalEntry]] = []
      swap(&turns, &self.turns)
      for index in turns.indices { turns[index].removeAll(keepingCapacity: true) }
      return turns
    }
  }

  mutating func take() -> Taken {
    var taken: [[JournalEntry]] = []
    swap(&taken, &turns)
    (count, bytes) = (0, 0)
    isWoken = false
    return Taken(turns: taken, ticket: ticket, hasOverflowed: hasOverflowed)
  }

  /// Gives back memory.
  /// - Parameter empty: as of `Taken.empty`.
  mutating func recycle(_ empty: inout [[JournalEntry]]) {
    while spare.count < Self.mostSpare, let one = empty.popLast() { if one.capacity <= Self.batch { spare.append(one) } }
  }
}
