import Transport

/// A `ReplayHistory` for all sockets of a party, on whichever of its threads.
public final class SharedReplays: Sendable {
  private let history: Mutex<ReplayHistory>

  /// - Parameter capacity: signatures that are remembered at least.
  public init(capacity: Int = 65_536) { history = Mutex(ReplayHistory(capacity: capacity)) }

  /// - Returns: false if it had been recorded: the message is to be dropped.
  func record(_ signature: Frame) -> Bool { history.withLock { $0.record(signature) } }
}
