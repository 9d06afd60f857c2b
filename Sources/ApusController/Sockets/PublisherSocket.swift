import ApusMessaging
import Logging
import Transport

/// An XPUB whose subscribers may stop reading: so many messages wait for each of them, and then it misses some, while the others miss nothing.
///
/// libzmq counts messages and not bytes. Engines publish text in pieces of some 32 KiB (`OutputBuffer.limit`), so `limit` messages are 160 MB at most,
/// unless somebody publishes larger things one by one.
///
/// Nor does it say what a subscriber misses: one whose queue is full is left out until it has read half of that. So everything counts as missed
/// that is published from the first message that did not fit until hardly anything waits in any subscriber's connection.
struct PublisherSocket: ~Copyable {
  let socket: Socket
  private let what: String
  private let logger: Logger
  private var connections: Set<ConnectedSocket> = []
  /// From so many on it is looked which are still there.
  private var connectionLimit = fewConnections
  /// While a subscriber is behind.
  private var missed: (messages: Int, bytes: Int)?
  private var lastSaid = ContinuousClock.now - interval
  private var nextLook = ContinuousClock.now

  /// Messages that wait for one subscriber.
  static let limit: Int32 = 5000
  private static let fewConnections = 256
  /// Between two lines about it.
  private static let interval = Duration.seconds(10)
  /// Bytes that are on their way to somebody who reads, at most moments.
  private static let packet = 4096
  /// Between two looks whether the subscribers have caught up.
  private static let lookInterval = Duration.milliseconds(500)

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

  /// Messages, and their bytes, that one subscriber or another has missed, at most.
  private(set) var missedInAll = (messages: 0, bytes: 0)

  /// The next subscription, or the end of one.
  mutating func receive() -> [Frame]? {
    var descriptor: Int32 = -1
    guard let frames = (try? socket.receive(source: &descriptor)) ?? nil else { return nil }
    if descriptor >= 0, let connection = ConnectedSocket(descriptor) { connections.insert(connection) }
    if connections.count > connectionLimit {
      connections = connections.filter(\.isThere)
      connectionLimit = max(Self.fewConnections, 2 * connections.count)
    }
    return frames
  }

  mutating func send(_ frames: [Frame]) {
    if missed != nil { look(now: .now) }
    do {
      try socket.send(frames)
    } catch {
      guard error.isFull else { return }
      // There may be room that libzmq has not looked for: a subscriber that reads must not miss anything by that.
      socket.refresh()
      if (try? socket.send(frames)) == nil {
        // For all but those whose queue is full.
        try? socket.set(.xpubNoDrop, 0)
        try? socket.send(frames)
        try? socket.set(.xpubNoDrop, 1)
        if missed == nil { missed = (0, 0) }
      }
    }
    guard let before = missed else { return }
    let size = frames.reduce(0) { $0 + $1.count }
    missed = (before.messages + 1, before.bytes + size)
    missedInAll = (missedInAll.messages + 1, missedInAll.bytes + size)
    say(now: .now)
  }

  /// Whether all have caught up.
  private mutating func look(now: ContinuousClock.Instant) {
    guard let missed, now >= nextLook else { return }
    nextLook = now + Self.lookInterval
    connections = connections.filter(\.isThere)
    guard connections.allSatisfy({ $0.unsentBytes < Self.packet }) else { return }
    self.missed = nil
    logger.notice(
      "all subscribers read again",
      metadata: ["of": "\(what)", "messages_missed_at_most": "\(missed.messages)", "bytes": "\(missed.bytes)"])
  }

  private mutating func say(now: ContinuousClock.Instant) {
    guard let missed, now - lastSaid >= Self.interval else { return }
    lastSaid = now
    logger.warning(
      "a subscriber does not read: it misses what is published",
      metadata: ["of": "\(what)", "messages": "\(missed.messages)", "bytes": "\(missed.bytes)"])
  }
}
