import Dispatch

/// Where a loop stands until it is let go on.
public final class Gate: Sendable {
  private let standing = DispatchSemaphore(value: 0)
  private let opened = DispatchSemaphore(value: 0)

  public init() {}

  /// On the loop.
  public func stand() {
    standing.signal()
    opened.wait()
  }

  public func awaitStanding() { standing.wait() }
  public func open() { opened.signal() }
}
