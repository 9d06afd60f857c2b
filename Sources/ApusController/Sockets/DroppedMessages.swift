import ApusMessaging
import Logging

/// The messages that one socket drops, in the controller's log.
struct DroppedMessages {
  private var log = RejectionLog()
  private let logger: Logger
  private let socket: String

  init(_ socket: String, logger: Logger) {
    self.socket = socket
    self.logger = logger
  }

  mutating func note(_ reason: String, now: ContinuousClock.Instant = .now) {
    guard let count = log.dropped(reason, now: now) else { return }
    logger.warning("dropped messages", metadata: ["socket": "\(socket)", "reason": "\(reason)", "count": "\(count)"])
  }
}
