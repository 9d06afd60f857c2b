import ApusMessaging
import Synchronization

/// Replies that have left for stock clients, on their way from libzmq's threads to the journal: who restores it does not send them again.
final class DepartedReplies: Sendable {
  private struct State {
    var ids: [MessageID] = []
    var wake: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())

  /// - Parameter wake: called, on any thread, for the first that has left since the last look.
  func onFirst(_ wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }

  func left(_ id: MessageID) {
    let wake = state.withLock { state in
      state.ids.append(id)
      return state.ids.count == 1 ? state.wake : nil
    }
    wake?()
  }

  func take() -> [MessageID] {
    var taken: [MessageID] = []
    state.withLock { swap(&taken, &$0.ids) }
    return taken
  }
}
