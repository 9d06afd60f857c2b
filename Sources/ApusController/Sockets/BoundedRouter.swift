import ApusMessaging
import DequeModule
import Logging
import Synchronization
import Transport

/// The side of a relay, of a scheduler or of the hub that faces clients, or engines: a ROUTER that keeps what is for a peer that does not read
/// within bounds, and loses nothing of it.
///
/// libzmq would queue messages without end for a process that was stopped. Here so much is given to it (`pipeLimit` messages, `bytesOnTheWay`),
/// and the rest waits: a part in memory, the remainder in a file that has no name (`Spool`). It goes out in its order when the peer
/// reads again. What is for a client that has gone is forgotten; what is for an engine, when it is known to be lost.
struct BoundedRouter: ~Copyable {
  let socket: Socket
  private var waiting: [Frame: Backlog] = [:]
  private let account = OutgoingBytes()
  private let spoolDirectory: String
  private let spoolLimit: Int
  private let peers: Peers
  private let logger: Logger
  /// Clients of the controller before, which may come back until then: what is for them waits.
  private var expected: (peers: Set<Frame>, until: ContinuousClock.Instant)?
  /// What those that are addressed otherwise are called.
  private var names: [Frame: Frame] = [:]
  /// Own peers of this host have lines as well.
  var side: LineSide?
  /// Stands before a message that waits for a line. It may have to wait in a file, so its bytes say it.
  private static let lineMark = Frame("<APUS|LINE>")

  /// Who is at the other end.
  enum Peers {
    case clients, engines

    fileprivate var sentence: String {
      switch self {
      case .clients: "a client does not read its results"
      case .engines: "an engine does not read its requests"
      }
    }
  }

  /// Between two attempts to deliver what waits.
  static let retryInterval = Duration.milliseconds(5)
  /// Messages that libzmq may hold for one peer; most are some KB, and batches 64 KiB.
  private static let pipeLimit: Int32 = 1000
  /// Messages from this size on are counted while libzmq has them, and so many bytes of them may be on the way to one peer.
  static let largeMessage = 64 << 10
  static let bytesOnTheWay = 64 << 20
  /// Bytes that wait in memory for one peer before a file is used.
  static let memoryLimit = 16 << 20

  private struct Waiting {
    let frames: [Frame]
    var whenLeft: Departure.Action?
  }

  private struct Backlog {
    var messages = Deque<Waiting>()
    var bytes = 0
    var spool: Spool?
    /// Of the messages in the file.
    var spooledActions = Deque<Departure.Action?>()
    var isEmpty: Bool { messages.isEmpty && spool?.isEmpty ?? true }

    /// Puts it behind what waits in memory.
    mutating func append(_ message: [Frame], _ whenLeft: Departure.Action? = nil) {
      messages.append(Waiting(frames: message, whenLeft: whenLeft))
      bytes += BoundedRouter.size(of: message)
    }

    /// The next one that is in the file comes to memory.
    /// - Returns: false if there is none.
    mutating func unspool() -> Bool {
      guard let next = spool?.next() else {
        (spool, spooledActions) = (nil, [])
        return false
      }
      append(next, spooledActions.popFirst() ?? nil)
      return true
    }

    mutating func removeFirst() { bytes -= BoundedRouter.size(of: messages.removeFirst().frames) }
  }

  private static func size(of message: [Frame]) -> Int { message.reduce(0) { $0 + $1.count } }

  /// - Parameters:
  ///   - router: not bound yet.
  ///   - peers: who connects to it.
  ///   - spoolDirectory: where a file may be made.
  ///   - spoolLimit: bytes that it may have.
  init(
    _ router: consuming Socket, facing peers: Peers = .clients, spoolDirectory: String, spoolLimit: Int = .max, logger: Logger
  ) throws(ZeroMQError) {
    try router.set(.routerMandatory, 1)
    try router.set(.sendHighWaterMark, Self.pipeLimit)
    socket = router
    self.peers = peers
    self.spoolDirectory = spoolDirectory
    self.spoolLimit = spoolLimit
    self.logger = logger
  }

  /// Whether `deliverWaiting` is to be called soon.
  var hasWaiting: Bool { !waiting.isEmpty }
  /// Bytes that wait here, and how many of them are in files.
  var waitingBytes: (memory: Int, files: Int) {
    waiting.values.reduce(into: (0, 0)) {
      $0.0 += $1.bytes
      $0.1 += $1.spool?.bytes ?? 0
    }
  }

  /// - Parameters:
  ///   - second: an identity between the peer's and the rest.
  ///   - isExpected: it waits for a peer that is not connected.
  ///   - byLine: to an engine by its line, behind all that went there before.
  ///   - isLate: to a client, behind all that it was sent by libzmq before. (What went by its line is there: it looks for that first.)
  ///   - whenLeft: called, on any thread, when libzmq is done with the message, as of `Departure`.
  mutating func send(
    _ peer: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>, isExpected: Bool = false, byLine: Bool = false,
    isLate: Bool = false,
    whenLeft: Departure.Action? = nil
  ) {
    // Replies have no order, and are never too many for a client that reads.
    if !isLate, sendByLine(client: peer, second, rest) { return }
    if waiting.isEmpty || waiting[peer] == nil {
      switch byLine ? deliverByLine(peer, second, rest) : deliver(peer, second, rest, whenLeft) {
      case .sent: return
      case .gone:
        if !isExpected, !expects(peer) {
          // What it was sent by libzmq was lost with that connection.
          if isLate { _ = sendByLine(client: peer, second, rest) }
          return
        }
      case .full: break
      }
    }
    keep((byLine ? [Self.lineMark] : []) + (second.map { [$0] } ?? []) + rest, for: peer, whenLeft)
  }

  /// - Returns: false if it has to go through libzmq.
  private func sendByLine(client: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>) -> Bool {
    guard let side, peers == .clients else { return false }
    return side.lines.reply(on: side.name, to: client, second, rest)
  }

  private enum Delivery { case sent, full, gone }

  private func deliver(
    _ peer: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>, _ whenLeft: Departure.Action? = nil
  ) -> Delivery {
    var size = 0
    for frame in rest { size += frame.count }
    var rest = rest
    if size >= Self.largeMessage {
      guard account.hasRoom(for: peer, limit: Self.bytesOnTheWay) else { return .full }
      rest = account.counted(rest, for: peer)
    }
    let departure = whenLeft.map { Departure($0) }
    if let departure { rest = departure.watching(rest) }
    do {
      try socket.send(names.isEmpty ? peer : names[peer] ?? peer, second, rest)
      departure?.wasTaken()
      return .sent
    } catch {
      // A client that has gone is no error.
      return error.isFull ? .full : .gone
    }
  }

  private func deliverByLine(_ peer: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>) -> Delivery {
    guard let side else { return deliver(peer, second, rest) }
    switch side.lines.send(inOrder: (second.map { [side.name, $0] } ?? [side.name]) + rest, to: peer) {
    case .sent: return .sent
    case .full: return .full
    case .unfit, .closed: return deliver(peer, second, rest)
    }
  }

  private mutating func keep(_ message: [Frame], for peer: Frame, _ whenLeft: Departure.Action?) {
    var backlog = waiting.removeValue(forKey: peer) ?? Backlog()
    defer { waiting[peer] = backlog }
    // What is in the file comes before what could be in memory behind it.
    if backlog.bytes + Self.size(of: message) > Self.memoryLimit || backlog.spool != nil {
      if backlog.spool == nil {
        backlog.spool = Spool(in: spoolDirectory, limit: spoolLimit)
        logger.warning(
          backlog.spool == nil
            ? "\(peers.sentence): they wait in memory, for no file can be made" : "\(peers.sentence): they wait in a file",
          metadata: ["directory": "\(spoolDirectory)"])
      }
      if backlog.spool?.append(message) ?? false {
        backlog.spooledActions.append(whenLeft)
        return
      }
      if let spool = backlog.spool, !spool.isEmpty {
        // The disk is full. The order is kept all the same: what is in the file comes to memory first.
        while backlog.unspool() {}
        logger.error("\(peers.sentence), and they cannot be written to a file: they wait in memory")
      }
      backlog.spool = nil
    }
    backlog.append(message, whenLeft)
  }

  mutating func expect(_ peers: Set<Frame>, until instant: ContinuousClock.Instant) { expected = (peers, instant) }

  /// What is for this address goes to the peer of that name from now on.
  /// - Parameter name: `nil` if that is not known any more: it waits again.
  mutating func know(_ address: Frame, as name: Frame?) { names[address] = name }

  private mutating func expects(_ peer: Frame) -> Bool {
    guard let expected, expected.peers.contains(peer) else { return false }
    if ContinuousClock.now < expected.until { return true }
    self.expected = nil
    return false
  }

  /// How many messages wait for each of these.
  func counts(of peers: [Frame]) -> [Frame: Int] {
    var counts: [Frame: Int] = [:]
    for peer in peers { counts[peer] = waiting[peer].map { $0.messages.count + $0.spooledActions.count } }
    return counts
  }

  /// What waits for this peer will never be sent.
  mutating func forget(_ peer: Frame) { waiting[peer] = nil }

  /// Tries again what waits.
  mutating func deliverWaiting() {
    for peer in Array(waiting.keys) {
      guard var backlog = waiting.removeValue(forKey: peer) else { continue }
      if drain(&backlog, to: peer), !backlog.isEmpty { waiting[peer] = backlog }
    }
  }

  /// - Returns: false if nothing of it is to be kept, because the client is gone.
  private mutating func drain(_ backlog: inout Backlog, to peer: Frame) -> Bool {
    while true {
      if backlog.messages.isEmpty {
        guard backlog.unspool() else { return true }
      }
      guard let message = backlog.messages.first else { return true }
      let frames = message.frames
      switch frames.first == Self.lineMark
        ? deliverByLine(peer, nil, frames.dropFirst()) : deliver(peer, nil, frames[...], message.whenLeft)
      {
      case .sent: backlog.removeFirst()
      case .full: return true
      case .gone: return peers == .engines || expects(peer)
      }
    }
  }
}

/// How many bytes of large messages libzmq has for each peer. It says itself when it is done with one, from its own thread.
private final class OutgoingBytes: Sendable {
  private let bytes = Mutex<[Frame: Int]>([:])

  func hasRoom(for peer: Frame, limit: Int) -> Bool { bytes.withLock { ($0[peer] ?? 0) < limit } }

  /// The same frames, the large ones lent to libzmq in a way that tells of their end.
  func counted(_ frames: ArraySlice<Frame>, for peer: Frame) -> ArraySlice<Frame> {
    var frames = frames
    for index in frames.indices where frames[index].count >= 4096 {
      let frame = frames[index]
      bytes.withLock { $0[peer, default: 0] += frame.count }
      frames[index] = frame.watched { [self] in
        bytes.withLock { bytes in
          let left = (bytes[peer] ?? 0) - frame.count
          bytes[peer] = left > 0 ? left : nil
        }
      }
    }
    return frames
  }
}
