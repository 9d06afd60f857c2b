import ApusMessaging
import Synchronization
import Transport

/// Replies that have left for stock clients, on their way from libzmq's threads to the journal: who restores it does not send them again.
///
/// They rest here from one look to the next but one: what libzmq has let go of may be in a buffer of its own, and is written to the connection
/// right after, unless the controller dies before.
final class DepartedReplies: Sendable {
  struct Reply: Equatable {
    let id: MessageID
    var client = Frame.empty
    /// As of `ReturningClients.handed`.
    var round = 0
  }

  private struct State {
    var recent: [Reply] = []
    /// Those that were recent at the last look.
    var earlier: [Reply] = []
    /// Somebody is going to look.
    var isWatched = false
    var wake: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())

  /// - Parameter wake: called, on any thread, for the first that leaves while nobody is going to look.
  func onFirst(_ wake: @escaping @Sendable () -> Void) {
    let isDue = state.withLock { state in
      state.wake = wake
      return state.isWatched
    }
    // One has left already.
    if isDue { wake() }
  }

  func left(_ reply: Reply) {
    let wake = state.withLock { state in
      state.recent.append(reply)
      defer { state.isWatched = true }
      return state.isWatched ? nil : state.wake
    }
    wake?()
  }

  /// - Returns: those that had left at the last look; and whether there are others, for which it is to be looked again.
  func look() -> (replies: [Reply], isToBeContinued: Bool) {
    state.withLock { state in
      let replies = state.earlier
      state.earlier = state.recent
      state.recent = []
      state.isWatched = !state.earlier.isEmpty
      return (replies, state.isWatched)
    }
  }
}
