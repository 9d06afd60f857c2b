/// How far the taking back of tasks goes. What has not begun ends as aborted in any case.
public struct Cancellation: Sendable, Hashable {
  /// What runs is interrupted, in Python by a `KeyboardInterrupt`. (Engines of ipyparallel let it run.)
  public var interrupts: Bool
  /// What still runs so long after the interrupt ends with its engine's process, which starts anew without its names; `nil` waits for it
  /// for ever. Tasks that were behind it run elsewhere.
  public var killAfter: Duration?

  public init(interrupts: Bool = true, killAfter: Duration? = nil) {
    self.interrupts = interrupts
    self.killAfter = killAfter
  }

  /// Leaves alone what has begun.
  public static let unbegun = Cancellation(interrupts: false)
  /// Interrupts what runs.
  public static let interrupting = Cancellation()
}
