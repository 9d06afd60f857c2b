import Transport

/// Forking while a client's loop works would copy whatever the loop holds at that moment into the child, where nobody lets go of it: locks
/// of the Swift runtime among them. So the loops stand still while a process forks.
extension BlockingClient {
  /// A loop that stands still.
  public final class Hold: Sendable {
    private let end = BlockingSignal()

    fileprivate func wait() { while case .interrupted = end.wait() {} }

    /// The loop goes on. Not in the child, whose copy of the descriptor is the parent's.
    public func release() { end.signal() }
  }

  /// Waits until the loop has come to rest between two turns.
  /// - Returns: `nil` if it does not in time, or has ended.
  public func hold() -> Hold? {
    let hold = Hold()
    let isHeld = BlockingSignal()
    client.loop.execute {
      isHeld.signal()
      hold.wait()
    }
    let deadline = ContinuousClock.now + Self.patience
    while true {
      switch isHeld.wait(until: deadline) {
      case .events: return hold
      case .interrupted: continue
      case .timedOut, .over:
        // Should it come to that later, it goes on at once.
        hold.release()
        return nil
      }
    }
  }

  /// A loop that is this long about one turn is stuck anyway.
  private static let patience = Duration.milliseconds(500)
}
