import ApusMessaging
import Glibc
import Testing

@testable import ApusClient
@testable import Transport

/// The client's lines, to a controller that the test plays.
@Suite("Client: local lines") struct ClientLinesTests {
  private static let key = "0123456789"

  private static let request: Request = {
    let queue = SubmissionQueue(
      ids: RequestIDs(session: SessionID("s"), processID: 1), limit: InFlightLimit(), loop: EventLoop(name: "idle"))
    let number = queue.ids.next()
    return Request(
      number: number, route: .balanced, type: .applyRequest, content: .emptyObject, metadata: .emptyObject,
      handles: [TaskHandle(number, cost: 1, engine: nil, label: nil, queue: queue)], cost: 1)
  }()

  private func with(_ body: (inout ClientLines, [LocalSocket.Lane: LocalSocket]) throws -> Void) throws {
    let folder = TemporaryDirectory()
    defer { withExtendedLifetime(folder) {} }
    let directory = folder.path
    let listener = try #require(LocalListener(path: LocalSocket.linesPath(in: directory)))
    let identity = LocalSocket.clientIdentity()
    var lines = ClientLines(in: directory, identity: identity, key: Self.key)
    var ends: [LocalSocket.Lane: LocalSocket] = [:]
    let session = Session(key: Self.key)
    while let end = try listener.accept() {
      guard case .message(let frames) = end.receive() else { continue }
      let greeting = try session.open(frames)
      let content = try greeting.content()
      #expect(greeting.messageType == LocalSocket.greeting)
      #expect(content["client"]?.stringValue == identity)
      let lane = content["lane"]?.stringValue.flatMap { LocalSocket.Lane(rawValue: $0) }
      ends[try #require(lane)] = end
    }
    try #require(ends.count == 2)
    try body(&lines, ends)
  }

  private func receive(_ end: LocalSocket?) -> [Frame]? {
    guard case .message(let frames)? = end?.receive() else { return nil }
    return frames
  }

  @Test("nothing goes by a line before the controller has taken it") func opening() throws {
    try with { lines, ends in
      let isPending = lines.isPending
      #expect(isPending)
      let early = (lines.send(task: [Frame("a")]), lines.send(request: [Frame("b")], on: LocalSocket.Lane.mux, of: Self.request))
      #expect(early == (false, false))
      lines.open(.tasks)
      let half = (
        lines.isPending, lines.send(task: [Frame("a")]),
        lines.send(request: [Frame("b")], on: LocalSocket.Lane.mux, of: Self.request)
      )
      #expect(half == (true, true, false))
      lines.open(.requests)
      let open = (lines.isPending, lines.send(request: [Frame("b")], on: LocalSocket.Lane.mux, of: Self.request))
      #expect(open == (false, true))
      #expect(receive(ends[.tasks]) == [LocalSocket.Lane.task, Frame("a")])
      #expect(receive(ends[.requests]) == [LocalSocket.Lane.mux, Frame("b")])
    }
  }

  @Test("requests wait for room in their order; tasks go another way") func order() throws {
    try with { lines, ends in
      lines.open(.tasks)
      lines.open(.requests)
      let body = Frame([UInt8](repeating: 1, count: 50_000))
      var tasks = 0
      while tasks < 10_000, lines.send(task: [body]) { tasks += 1 }
      #expect(tasks < 10_000)
      var sent = 0
      while sent < 10_000, !lines.hasWaiting {
        let isTaken = lines.send(request: [Frame("\(sent)"), body], on: LocalSocket.Lane.mux, of: Self.request)
        #expect(isTaken)
        sent += 1
      }
      // A small one would find room, and waits all the same.
      let isTaken = lines.send(request: [Frame("\(sent)")], on: LocalSocket.Lane.broadcast, of: Self.request)
      #expect(isTaken)
      var received = 0
      while received <= sent {
        if let frames = receive(ends[.requests]) {
          #expect(frames[1].text == "\(received)")
          received += 1
        } else {
          let unfit = lines.deliverWaiting()
          #expect(unfit == [])
        }
      }
      let hasWaiting = lines.hasWaiting
      #expect(!hasWaiting)
    }
  }

  @Test("what waits for a line that ends is not lost") func end() throws {
    try with { lines, ends in
      lines.open(.requests)
      let body = Frame([UInt8](repeating: 1, count: 50_000))
      while !lines.hasWaiting { _ = lines.send(request: [body], on: LocalSocket.Lane.mux, of: Self.request) }
      let left = lines.closeRequests()
      #expect(left.map(\.number) == [Self.request.number])
      let isTaken = lines.send(request: [body], on: LocalSocket.Lane.mux, of: Self.request)
      #expect(!isTaken)
    }
  }

  @Test("where nobody reads any more, requests wait for whoever finds the end of the line")
  func ended() throws {
    try with { lines, ends in
      lines.open(.requests)
      ends[.requests]?.shutDown()
      let isTaken = lines.send(request: [Frame("a")], on: LocalSocket.Lane.mux, of: Self.request)
      let unfit = lines.deliverWaiting()
      #expect(isTaken && unfit == [])
      guard case .closed? = lines.socket(.requests)?.receive() else { throw Failure() }
      let left = lines.closeRequests()
      #expect(left.count == 1)
    }
  }

  /// As those of `apus_client`, for Python, have.
  private final class Listener: TaskListener {
    func ended(_ number: TaskNumber, _ ending: TaskEnding) {}
    func printed(_ number: TaskNumber, _ message: Envelope) {}
    func outputEnded(_ number: TaskNumber) {}
  }

  @Test("what has ended while it waited does not leave any more, whoever is told of the end", arguments: [nil, Listener()])
  private func unwanted(listener: Listener?) throws {
    let queue = SubmissionQueue(
      ids: RequestIDs(session: SessionID("s"), processID: 1), limit: InFlightLimit(), loop: EventLoop(name: "idle"))
    let number = queue.ids.next()
    let handle = TaskHandle(number, cost: 1, engine: nil, label: nil, queue: queue, listener: listener)
    let request = Request(
      number: number, route: .balanced, type: .applyRequest, content: .emptyObject, metadata: .emptyObject, handles: [handle],
      cost: 1)
    try with { lines, ends in
      lines.open(.requests)
      let body = Frame([UInt8](repeating: 1, count: 50_000))
      while !lines.hasWaiting { _ = lines.send(request: [body], on: LocalSocket.Lane.mux, of: Self.request) }
      for name in ["unwanted", "last"] {
        _ = lines.send(request: [Frame(name)], on: LocalSocket.Lane.mux, of: name == "last" ? Self.request : request)
      }
      handle.finish(.failure(RemoteError.aborted))
      var last: String?
      while last != "last" {
        if let frames = receive(ends[.requests]) { last = frames.last?.text } else { _ = lines.deliverWaiting() }
        #expect(last != "unwanted")
      }
    }
  }

  private struct Failure: Error {}

  @Test("a frame for many engines is copied once") func copies() throws {
    try with { lines, ends in
      lines.open(.requests)
      let large = Frame([UInt8](repeating: 1, count: 1 << 20))
      for _ in 0..<3 {
        let isTaken = lines.send(request: [large], on: LocalSocket.Lane.mux, of: Self.request)
        #expect(isTaken)
      }
      var places: Set<UInt> = []
      for _ in 0..<3 {
        let frame = try #require(receive(ends[.requests])?.last)
        #expect(frame == large)
        var status = stat()
        fstat(try #require(frame.sharedMemory).descriptors[0], &status)
        places.insert(UInt(status.st_ino))
      }
      #expect(places.count == 1)
      lines.turnEnded()
    }
  }
}
