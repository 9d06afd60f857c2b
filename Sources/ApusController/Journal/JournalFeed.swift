import Synchronization
import Transport

/// The way of facts from the scheduler's loop to its journal's: handed over at the end of each turn, written together.
final class JournalFeed: Sendable {
  private struct State {
    var entries: [JournalEntry] = []
    var spare: [JournalEntry] = []
    var bytes = 0
    /// How many hand-overs there were: whoever waits for what it handed over waits for this number.
    var ticket = 0
    var isWoken = false
    var isOpen = false
    var hasOverflowed = false
    var wake = Wake()
  }

  /// In a struct: a bare closure in a `Mutex` gains a thunk at each access.
  private struct Wake { var call: (@Sendable () -> Void)? }

  /// Whether nothing may leave the scheduler before what it follows from is on the disk.
  let holdsMessages: Bool
  private let loop: EventLoop
  private let state = Mutex(State())

  /// How long facts may wait for others to be written with.
  private static let delay = Duration.milliseconds(2)
  private static let batch = 2048
  /// Bytes that may wait for a slow disk. Beyond them the journal is suspended.
  private static let limit = 256 << 20

  /// - Parameter loop: the scheduler's.
  init(loop: EventLoop, holdsMessages: Bool) {
    self.loop = loop
    self.holdsMessages = holdsMessages
  }

  /// Before the first hand-over.
  func onEntries(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake.call = wake } }

  /// From now on facts are written: a snapshot is about to be handed over.
  func open() { state.withLock { $0.isOpen = true } }

  /// What waits is dropped, and what comes.
  func close() {
    state.withLock { state in
      state.isOpen = false
      state.entries = []
      state.bytes = 0
      state.hasOverflowed = false
    }
  }

  /// On the scheduler's loop. Takes the entries and leaves the array empty.
  /// - Returns: the ticket of everything that was handed over so far; 0 while nothing is written.
  func handOver(_ entries: inout [JournalEntry]) -> Int {
    enum Step { case nothing, later, now }
    let (ticket, step) = state.withLock { state -> (Int, Step) in
      guard state.isOpen else { return (0, .nothing) }
      guard !entries.isEmpty else { return (state.ticket, .nothing) }
      for entry in entries { state.bytes += entry.footprint }
      if state.bytes > Self.limit { state.hasOverflowed = true }
      if !state.hasOverflowed { state.entries.append(contentsOf: entries) }
      state.ticket += 1
      if state.isWoken { return (state.ticket, state.entries.count >= Self.batch && !holdsMessages ? .now : .nothing) }
      state.isWoken = true
      return (state.ticket, holdsMessages ? .now : .later)
    }
    entries.removeAll(keepingCapacity: entries.count <= Self.batch)
    switch step {
    case .nothing: break
    case .now: wake()
    case .later: loop.schedule(after: Self.delay) { self.wake() }
    }
    return ticket
  }

  private func wake() { state.withLock { $0.wake.call }?() }

  struct Taken {
    var entries: [JournalEntry]
    var ticket: Int
    /// More waited than there is room for, and was dropped.
    var hasOverflowed: Bool
  }

  /// On the journal's loop.
  func take() -> Taken {
    state.withLock { state in
      var taken: [JournalEntry] = []
      swap(&taken, &state.spare)
      swap(&taken, &state.entries)
      state.bytes = 0
      state.isWoken = false
      return Taken(entries: taken, ticket: state.ticket, hasOverflowed: state.hasOverflowed)
    }
  }

  /// Gives back the memory of what was taken.
  func recycle(_ entries: [JournalEntry]) {
    guard entries.capacity <= 4 * Self.batch else { return }
    var entries = entries
    entries.removeAll(keepingCapacity: true)
    state.withLock { $0.spare = entries }
  }
}
