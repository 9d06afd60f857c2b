import ApusMessaging
import CZeroMQ
import Glibc
import Transport

/// A client that only sends load-balanced tasks and counts what comes back.
final class TaskClient {
  private let socket: LoadSocket
  private let session: SessionID
  private let signer: Signer
  private let parts = MessageParts()
  private var answered: [Bool] = []
  private var batch = 0
  private var received = 0
  private let expectedContent = Array("{\"status\":\"ok\"}".utf8)

  /// Messages that libzmq may hold on the way to the controller before sending waits.
  private static let highWaterMark: Int32 = 10_000
  /// Without any reply for this long, something is lost.
  static let patience: Int32 = 30_000
  /// Of so many replies one has its signature checked: a check of each would measure the client.
  private static let signatureSample = 64

  init(_ connection: ConnectionFile, in context: LoadContext) throws(LoadError) {
    session = .random()
    signer = Signer(key: Array(connection.key.utf8))
    socket = try LoadSocket(.dealer, in: context, highWaterMark: Self.highWaterMark)
    socket.set(ZMQ_RCVTIMEO, Self.patience)
    try socket.connect(connection, port: connection.task)
  }

  func prepare(_ count: Int, payload: Int) -> PreparedRequests {
    batch += 1
    return PreparedRequests(count, payload: payload, session: session, signer: signer, batch: batch)
  }

  /// Sends everything, with at most so many requests unanswered, and takes the replies.
  /// - Returns: seconds from the first request to the last reply.
  /// - Throws: if a reply is missing, comes twice or is not right.
  func run(_ requests: PreparedRequests, window: Int) throws(LoadError) -> Double {
    let began = Clock.seconds()
    begin(requests)
    var sent = 0
    while received < requests.count {
      let limit = min(requests.count, received + window)
      while sent < limit {
        requests.send(sent, on: socket)
        sent += 1
      }
      try receive(requests)
    }
    let seconds = Clock.seconds() - began
    try expectNothingMore()
    return seconds
  }

  /// One request at a time.
  /// - Returns: microseconds of each round trip.
  func roundTrips(_ requests: PreparedRequests) throws(LoadError) -> [Double] {
    begin(requests)
    var times: [Double] = []
    times.reserveCapacity(requests.count)
    for index in 0..<requests.count {
      let began = Clock.seconds()
      requests.send(index, on: socket)
      guard parts.receive(from: socket, wait: true) else { throw missing(requests) }
      times.append((Clock.seconds() - began) * 1e6)
      try check(requests)
    }
    return times
  }

  /// Sends everything and takes no reply.
  func sendAll(_ requests: PreparedRequests) {
    begin(requests)
    for index in 0..<requests.count { requests.send(index, on: socket) }
  }

  /// Takes the replies to `sendAll`.
  func receiveAll(_ requests: PreparedRequests) throws(LoadError) {
    while received < requests.count { try receive(requests) }
    try expectNothingMore()
  }

  private func begin(_ requests: PreparedRequests) {
    answered = [Bool](repeating: false, count: requests.count)
    received = 0
  }

  /// Waits for one reply, and takes what else is there, to a limit.
  private func receive(_ requests: PreparedRequests) throws(LoadError) {
    guard parts.receive(from: socket, wait: true) else { throw missing(requests) }
    var taken = 0
    repeat {
      try check(requests)
      taken += 1
    } while taken < 256 && received < requests.count && parts.receive(from: socket)
  }

  private func check(_ requests: PreparedRequests) throws(LoadError) {
    guard let delimiter = parts.delimiter else { throw LoadError("a reply that is no message") }
    guard let index = requests.index(ofParent: parts.bytes(delimiter + 3)) else {
      throw LoadError("a reply to no request of this round")
    }
    if answered[index] { throw LoadError("request \(index) was answered twice") }
    answered[index] = true
    received += 1
    guard parts.bytes(delimiter + 5).elementsEqual(expectedContent) else {
      throw LoadError("request \(index) failed: \(String(decoding: parts.bytes(delimiter + 5), as: UTF8.self))")
    }
    if received % Self.signatureSample == 0 {
      let signed = (delimiter + 2...delimiter + 5).map { Frame(parts.bytes($0)) }
      guard signer.verify(Frame(parts.bytes(delimiter + 1)), signed[...]) else {
        throw LoadError("the reply to request \(index) is forged")
      }
    }
  }

  private func expectNothingMore() throws(LoadError) {
    if socket.waitReadable(milliseconds: 100) { throw LoadError("more replies than requests") }
  }

  private func missing(_ requests: PreparedRequests) -> LoadError {
    LoadError("\(requests.count - received) of \(requests.count) replies are missing after \(Self.patience / 1000) s without one")
  }
}
