import ApusMessaging
import Logging
import Transport

/// An XPUB whose subscribers may stop reading: so many messages wait for each of them, and then it misses some, while the others miss nothing.
///
/// libzmq counts messages and not bytes. Engines publish text in pieces of some 32 KiB (`OutputBuffer.limit`), so `limit` messages are 160 MB at most,
/// unless somebody publishes larger things one by one.
struct PublisherSocket: ~Copyable {
  let socket: Socket
  private let what: String
  private let logger: Logger
  private var missed = (messages: 0, bytes: 0)
  private var lastSaid = ContinuousClock.now - interval

  /// Messages that wait for one subscriber.
  static let limit: Int32 = 5000
  /// Between two lines about it.
  private static let interval = Duration.seconds(10)

  /// - Parameters:
  ///   - xpub: not bound yet.
  ///   - what: is published, for the log.
  init(_ xpub: consuming Socket, of what: String, limit: Int32 = PublisherSocket.limit, logger: Logger) throws(ZeroMQError) {
    try xpub.set(.sendHighWaterMark, limit)
    try xpub.set(.xpubNoDrop, 1)
    socket = xpub
    self.what = what
    self.logger = logger
  }

  /// Messages, and their bytes, that one subscriber or another has missed.
  private(set) var missedInAll = (messages: 0, bytes: 0)

  mutating func send(_ frames: [Frame]) {
    do {
      try socket.send(frames)
      if missed.messages > 0 { say(now: .now) }
    } catch {
      guard error.isFull else { return }
      // For all but those whose queue is full.
      try? socket.set(.xpubNoDrop, 0)
      try? socket.send(frames)
      try? socket.set(.xpubNoDrop, 1)
      let size = frames.reduce(0) { $0 + $1.count }
      missed = (missed.messages + 1, missed.bytes + size)
      missedInAll = (missedInAll.messages + 1, missedInAll.bytes + size)
      say(now: .now)
    }
  }

  private mutating func say(now: ContinuousClock.Instant) {
    guard now - lastSaid >= Self.interval else { return }
    lastSaid = now
    logger.warning(
      "a subscriber does not read: it misses what was published since",
      metadata: ["of": "\(what)", "messages": "\(missed.messages)", "bytes": "\(missed.bytes)"])
    missed = (0, 0)
  }
}
