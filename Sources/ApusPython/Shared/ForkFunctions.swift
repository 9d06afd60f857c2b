@preconcurrency import CPython
import Transport

/// What Python calls around each fork, in this order: `fork` before, then `fork_over` in the parent and `forked` in the child.
///
/// They are registered as they are (`os.register_at_fork`): between a call from C and its function no signal's handler can run, so none is
/// left out.
enum ForkFunctions {
  static let table: [(StaticString, FastFunction)] = [("fork", fork), ("fork_over", forkIsOver), ("forked", forked)]

  /// fork(): the loops of the engine and of the clients stand still until `fork_over`, and other threads that fork wait.
  private static let fork: FastFunction = { _, _, _ in
    Python.unlocked { ForkPause.process.begin() }
    return Python.none()
  }

  /// fork_over(): in the parent, whether the fork succeeded or not.
  private static let forkIsOver: FastFunction = { _, _, _ in
    ForkPause.process.end()
    return Python.none()
  }

  /// forked(): in the child, where there is neither engine nor client: they stay with the parent, and nothing of theirs is touched.
  private static let forked: FastFunction = { _, _, _ in
    ForkPause.process.abandon()
    EngineRuntime.abandon()
    ClientRegistry.abandon()
    return Python.none()
  }
}
