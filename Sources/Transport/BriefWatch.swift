import Glibc

/// Looking for a moment before sleeping: what follows from what was just done mostly comes within some hundred microseconds, and to wake a
/// thread, and the processor that went to rest under it, takes a good part of that, at every station of a round trip.
///
/// The processor is given to whoever wants it after every look. If that was somebody with real work, the watch ends: on a busy machine it
/// costs nothing, and on an idle one some hundred microseconds after the last message.
package struct BriefWatch {
  /// After that long without news the thread sleeps.
  static let span = Duration.microseconds(300)
  /// Others that had the processor this long are computing, and not only passing a message on.
  static let patience = Duration.microseconds(100)

  private let end: ContinuousClock.Instant
  private var last: ContinuousClock.Instant

  package init() {
    last = ContinuousClock.now
    end = last + Self.span
  }

  /// Lets others run.
  /// - Returns: whether to look again.
  package mutating func goesOn() -> Bool {
    sched_yield()
    let now = ContinuousClock.now
    defer { last = now }
    return now < end && now - last < Self.patience
  }
}
