import ApusMessaging
import Synchronization
import Transport

/// The way of facts from the scheduler's loop to its journal's: handed over at the end of each turn, written together.
final class JournalFeed: Sendable {
  private struct State {
    var backlog: JournalBacklog
    var wake = Wake()
  }

  /// In a struct: a bare closure in a `Mutex` gains a thunk at each access.
  private struct Wake { var call: (@Sendable () -> Void)? }

  /// Whether nothing may leave the scheduler before what it follows from is on the disk.
  let holdsMessages: Bool
  private let loop: EventLoop
  private let state: Mutex<State>

  /// - Parameter loop: the scheduler's.
  init(loop: EventLoop, holdsMessages: Bool) {
    self.loop = loop
    self.holdsMessages = holdsMessages
    state = Mutex(State(backlog: JournalBacklog(holdsMessages: holdsMessages)))
  }

  /// Before the first hand-over.
  func onEntries(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake.call = wake } }

  /// From now on facts are written: a snapshot is about to be handed over, or what was read is gone on with.
  func open() { state.withLock { $0.backlog.open() } }

  /// Whether facts are written, as far as is known here.
  var isOpen: Bool { state.withLock { $0.backlog.isOpen } }

  /// Whether so much waits for the disk that clients had better wait too.
  var isBehind: Bool { state.withLock { $0.backlog.isBehind } }

  /// What waits is dropped, and what comes.
  func close() { state.withLock { $0.backlog.close() } }

  /// On the scheduler's loop. Takes the facts and leaves none.
  /// - Returns: the ticket of everything that was handed over so far; 0 while nothing is written.
  func handOver(_ facts: inout JournalFacts) -> Int {
    // The array is the caller's alone again when this returns.
    var handed = JournalFacts()
    swap(&handed, &facts)
    let (ticket, wake) = state.withLock { $0.backlog.handOver(&handed) }
    swap(&handed, &facts)
    switch wake {
    case .not: break
    case .now: self.wake()
    case .later: loop.schedule(after: JournalBacklog.delay) { self.wake() }
    }
    return ticket
  }

  private func wake() { state.withLock { $0.wake.call }?() }

  /// On the journal's loop.
  func take() -> JournalBacklog.Taken { state.withLock { $0.backlog.take() } }

  /// Gives back the memory of what was taken.
  func recycle(_ taken: inout JournalBacklog.Taken) {
    var turns = taken.empty()
    state.withLock { $0.backlog.recycle(&turns) }
  }
}
