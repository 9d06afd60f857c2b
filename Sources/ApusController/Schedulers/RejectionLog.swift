import ApusMessaging
import Logging

/// Says once, and then at most every ten seconds with a count, that messages are dropped: whoever floods a socket does not fill a disk.
struct RejectionLog {
  private struct Count {
    var dropped = 0
    var lastSaid: ContinuousClock.Instant
  }

  private var counts: [String: Count] = [:]
  private let logger: Logger
  private let socket: String
  private static let interval = Duration.seconds(10)

  init(_ socket: String, logger: Logger) {
    self.socket = socket
    self.logger = logger
  }

  mutating func note(_ reason: String, now: ContinuousClock.Instant = .now) {
    // Reasons are few and our own; the limit is against a mistake, not against a peer.
    guard counts[reason] != nil || counts.count < 64 else { return }
    if var count = counts[reason] {
      count.dropped += 1
      if now - count.lastSaid >= Self.interval {
        say(reason, count.dropped)
        count = Count(lastSaid: now)
      }
      counts[reason] = count
    } else {
      counts[reason] = Count(lastSaid: now)
      say(reason, 1)
    }
  }

  private func say(_ reason: String, _ count: Int) {
    logger.warning("dropped messages", metadata: ["socket": "\(socket)", "reason": "\(reason)", "count": "\(count)"])
  }
}
