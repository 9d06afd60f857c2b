import ApusMessaging
import ApusProcess
import Glibc
import Synchronization
import Transport

/// What a launcher that watches over a cluster has to say to the controller, and hears from it: as a client of it, on a thread of its own.
///
/// It asks how much there is to do: often while there is something, else once a second. What changes with every task is sampled.
final class ClusterLink: Sendable {
  /// Readable when there is news.
  let descriptor: Int32
  private let newsEnd: Int32
  private let orderDescriptor: Int32
  private let orderEnd: Int32
  private let file: ConnectionFile
  private struct Mailbox {
    var demand: ClusterDemand?
    var drain: [(ids: [Int], atOnce: Bool)] = []
    var report = JSONValue.null
    /// Somebody waits for what comes of a wish.
    var isAwaited = false
    /// Wishes that whoever decides has taken.
    var heard = JSONValue.null
    var isStopped = false
  }
  private let mailbox = Mutex(Mailbox())

  private static let idlePause = Duration.seconds(1)
  private static let busyPause = Duration.milliseconds(200)
  /// A controller that does not answer is asked again.
  private static let patience = Duration.seconds(2)

  init(_ file: ConnectionFile) throws(ClusterError) {
    self.file = file
    do throws(ProcessError) {
      (descriptor, newsEnd) = try Pipe.open()
      (orderDescriptor, orderEnd) = try Pipe.open()
    } catch { throw ClusterError(error) }
    if let refusal = DetachedThread.start({ [self] in run() }) {
      throw ClusterError(.failure, "no thread could be started: \(refusal)")
    }
  }

  deinit { for end in [descriptor, newsEnd, orderDescriptor, orderEnd] { close(end) } }

  /// - Parameter atOnce: whether the engines are to end whatever they do.
  func drain(_ ids: [Int], atOnce: Bool = false) {
    mailbox.withLock { $0.drain.append((ids, atOnce)) }
    wake(orderEnd)
  }

  /// What clients are shown of the launcher: with the next question, or at once.
  /// - Parameter isAwaited: whether a client waits for what comes of its wish: the controller is asked as often as when tasks wait.
  func say(_ report: JSONValue, atOnce: Bool, isAwaited: Bool) {
    mailbox.withLock { ($0.report, $0.isAwaited) = (report, isAwaited) }
    if atOnce { wake(orderEnd) }
  }

  func stop() {
    mailbox.withLock { $0.isStopped = true }
    wake(orderEnd)
  }

  /// The latest, if there is one that was not read.
  func read() -> ClusterDemand? {
    Self.clear(descriptor)
    return mailbox.withLock { box in
      defer { box.demand = nil }
      if let demand = box.demand { box.heard = demand.heard }
      return box.demand
    }
  }

  private func wake(_ end: Int32) {
    var byte: UInt8 = 1
    _ = write(end, &byte, 1)
  }

  private static func clear(_ descriptor: Int32) {
    var bytes = [UInt8](repeating: 0, count: 256)
    while Glibc.read(descriptor, &bytes, bytes.count) > 0 {}
  }

  // MARK: the thread

  private func run() {
    do {
      let context = try Context()
      let requests = try Socket(.dealer, in: context)
      if let key = file.curveServerKey, !key.isEmpty { try requests.useCurve(CurveKeyPair.generate(), server: key) }
      try requests.connect(file.reachableEndpoint(port: file.registration))
      var session = Session(key: file.key)
      while !mailbox.withLock({ $0.isStopped }) {
        var isBusy = false
        if let demand = try? ask(requests, &session) {
          isBusy = demand.waiting > 0
          mailbox.withLock { $0.demand = demand }
          wake(newsEnd)
        }
        // Orders go at once.
        var descriptors = [pollfd(fd: orderDescriptor, events: Int16(POLLIN), revents: 0)]
        isBusy = mailbox.withLock { $0.isAwaited } || isBusy
        _ = poll(&descriptors, 1, Int32(clamping: (isBusy ? Self.busyPause : Self.idlePause).milliseconds))
        Self.clear(orderDescriptor)
        let orders = mailbox.withLock { box in
          defer { box.drain = [] }
          return box.drain
        }
        for order in orders {
          let content: JSONValue = ["ids": .array(order.ids.map { .int($0) }), "stop": true, "at_once": .bool(order.atOnce)]
          // A controller that has been silent for an hour hears of it when it asks again.
          try? requests.send(session.message(.drainRequest, content: content).frames)
        }
      }
    } catch {
      // Without libzmq there is nothing to say: the cluster serves with the engines that it has.
    }
  }

  private func ask(_ requests: borrowing Socket, _ session: inout Session) throws -> ClusterDemand? {
    let (report, heard) = mailbox.withLock { ($0.report, $0.heard) }
    let request = session.message(.demandRequest, content: ["supervises": true, "report": report, "heard": heard])
    try requests.send(request.frames)
    let deadline = MonotonicClock.now + Self.patience
    while true {
      let left = (deadline - MonotonicClock.now).milliseconds
      guard left > 0, try requests.waitReadable(milliseconds: Int(left)) else { return nil }
      guard let frames = try requests.receive(), let reply = try? session.open(frames), reply.parentID == request.messageID else {
        continue
      }
      return (try? reply.content()).flatMap { ClusterDemand($0) }
    }
  }
}
