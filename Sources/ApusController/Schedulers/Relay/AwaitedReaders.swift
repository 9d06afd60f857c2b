import ApusMessaging
import DequeModule
import Transport

/// Output for clients that are about to listen.
///
/// A stock client asks the hub, then connects to all ports at once and says no more. What it asks first may be answered before its subscription to
/// output has arrived, which comes over another connection, and libzmq publishes to nobody what was for it. So what engines say to such a client waits
/// here until as many subscriptions have come as clients are expected: no subscription tells whose it is.
///
/// Pure state: its methods are events, and give back what is to be published now.
struct AwaitedReaders {
  typealias Instant = ContinuousClock.Instant

  private struct Expected {
    let session: SessionID
    let deadline: Instant
    var messages: [[Frame]] = []
  }

  /// In order: all are expected equally long.
  private var expected = Deque<Expected>()
  private var subscriptions = 0
  private(set) var held = (messages: 0, bytes: 0)

  /// So long a client takes to subscribe on a machine that has much to do. Whoever does not want to hear has lost nothing by the wait.
  static let patience = Duration.seconds(2)
  /// Of clients expected at once, and of what waits for all of them.
  static let mostClients = 256
  static let mostMessages = 2000
  static let mostBytes = 16 << 20

  var isEmpty: Bool { expected.isEmpty }
  var nextDeadline: Instant? { expected.first?.deadline }

  /// It has asked the hub where to connect.
  mutating func expect(_ session: SessionID, now: Instant) {
    guard expected.count < Self.mostClients, !expected.contains(where: { $0.session == session }) else { return }
    expected.append(Expected(session: session, deadline: now + Self.patience))
  }

  /// - Parameter session: the client's to whom the message is.
  /// - Returns: what is to be published now: nothing if it waits, and all if too much does.
  mutating func pass(_ message: [Frame], for session: SessionID?) -> [[Frame]] {
    guard let session, let index = expected.firstIndex(where: { $0.session == session }) else { return [message] }
    expected[index].messages.append(message)
    held.messages += 1
    held.bytes += message.reduce(0) { $0 + $1.count }
    return held.messages > Self.mostMessages || held.bytes > Self.mostBytes ? release(expected.count) : []
  }

  /// Some client has subscribed to all output.
  mutating func subscribed() -> [[Frame]] {
    guard !expected.isEmpty else { return [] }
    subscriptions += 1
    return subscriptions >= expected.count ? release(expected.count) : []
  }

  /// Its connection to the hub has ended: it was looking whether a controller is there, or has given up.
  mutating func forget(_ session: SessionID) -> [[Frame]] {
    guard let index = expected.firstIndex(where: { $0.session == session }) else { return [] }
    let messages = expected.remove(at: index).messages
    account(for: messages)
    // One of those that came may have been its own.
    subscriptions = expected.isEmpty ? 0 : max(0, subscriptions - 1)
    return messages
  }

  mutating func expire(now: Instant) -> [[Frame]] {
    var released: [[Frame]] = []
    while let first = expected.first, first.deadline <= now {
      released += release(1)
      // One of those that came may have been its own.
      subscriptions = max(0, subscriptions - 1)
    }
    if !expected.isEmpty, subscriptions >= expected.count { released += release(expected.count) }
    return released
  }

  /// - Returns: of the first so many clients.
  private mutating func release(_ count: Int) -> [[Frame]] {
    let messages = expected.prefix(count).flatMap(\.messages)
    expected.removeFirst(count)
    if expected.isEmpty { subscriptions = 0 }
    account(for: messages)
    return messages
  }

  private mutating func account(for released: [[Frame]]) {
    held.messages -= released.count
    for message in released { held.bytes -= message.reduce(0) { $0 + $1.count } }
  }
}
