import Glibc
import Synchronization

/// SIGINT and SIGTERM: what is under way comes to its end, and what has been found is said.
enum Interruption {
  private static let hasCome = Atomic(false)

  static var isWanted: Bool { hasCome.load(ordering: .relaxed) }

  /// Any number of them: `timeout` sends its own twice. SIGQUIT ends the process at once.
  static func listen() {
    // A handler is no place to make it.
    _ = isWanted
    for number in [SIGINT, SIGTERM] {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { _ in Interruption.hasCome.store(true, ordering: .relaxed) }
      action.sa_flags = SA_RESTART
      sigaction(number, &action, nil)
    }
  }
}
