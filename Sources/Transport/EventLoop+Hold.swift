import CZeroMQ
import Glibc

extension EventLoop {
  /// A loop that was asked to stand still between two turns.
  final class Hold: Sendable {
    /// A pause that nobody ends is over after this time.
    private static let longest = Duration.seconds(10)

    private let standing = apus_eventfd()
    private let over = apus_eventfd()

    deinit {
      close(standing)
      close(over)
    }

    /// On the loop: until `release`.
    func stand() {
      _ = eventfd_write(standing, 1)
      _ = Self.wait(for: over, until: .now + Self.longest)
    }

    /// - Returns: whether the loop stands still. If it does not in time, it will go on at once should it come to that.
    func isStanding(by deadline: ContinuousClock.Instant) -> Bool {
      if Self.wait(for: standing, until: deadline) { return true }
      release()
      return false
    }

    /// The loop goes on. Not in a forked child, whose descriptor is the parent's.
    func release() { _ = eventfd_write(over, 1) }

    private static func wait(for descriptor: Int32, until deadline: ContinuousClock.Instant) -> Bool {
      var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      while true {
        let left = (deadline - .now).components
        // Rounded up: a wait of nothing is a busy one.
        let milliseconds = left.seconds * 1000 + (left.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
        let found = poll(&item, 1, Int32(clamping: max(0, milliseconds)))
        if found > 0 { return true }
        // A signal is the business of whoever waits elsewhere.
        if found == 0 || errno != EINTR { return false }
      }
    }
  }
}
