import ApusMessaging
import Foundation
import TestSupport
import Testing
import Transport

@testable import ApusController

/// Peers that do not read: nothing of theirs is lost that must not be, and memory has its bound.
@Suite("Readers that stopped", .timeLimit(.minutes(1 * patience)))
struct SlowReaderTests {
  private let directory = FileManager.default.temporaryDirectory.appendingPathComponent("apus-spool-\(UUID().uuidString)").path

  /// A client that reads no further than its own small queue.
  private func connected(_ context: Context, to endpoint: String, _ kind: Socket.Kind = .dealer) throws -> Socket {
    let client = try Socket(kind, in: context)
    try client.set(.receiveHighWaterMark, 4)
    if kind == .sub { try client.set(.subscribe, []) }
    try client.connect(endpoint)
    return client
  }

  private func wait(_ socket: borrowing Socket) throws {
    let isReadable = try socket.waitReadable(milliseconds: 5000 * patience)
    #expect(isReadable)
  }

  private func next(_ client: borrowing Socket) throws -> [Frame]? {
    try client.waitReadable(milliseconds: 5000 * patience) ? try client.receive() : nil
  }

  /// The identity by which the router knows the client, which has said something then.
  private func greeted(by client: borrowing Socket, _ socket: borrowing BoundedRouter) throws -> Frame {
    try client.send([Frame("hello")])
    try wait(socket.socket)
    let hello = try socket.socket.receive()
    return try #require(hello?.first)
  }

  @Test(
    "results of a client that does not read wait, at first in memory and then in a file, and come in their order",
    arguments: [2000, 300_000])
  func results(_ size: Int) throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let (ours, theirs) = (try Context(), try Context())
    var socket = try BoundedRouter(try Socket(.router, in: ours), spoolDirectory: directory, logger: LogLines().logger)
    let endpoint = try socket.socket.bind("tcp://127.0.0.1:*")
    let client = try connected(theirs, to: endpoint)
    let identity = try greeted(by: client, socket)
    // More than the system's own buffers, libzmq's queues, and what may wait in memory.
    let count = size > 10_000 ? 600 : 40_000
    let filling = Frame([UInt8](repeating: 7, count: size))
    for number in 0..<count { socket.send(identity, nil, [Frame("\(number)"), filling][...]) }
    let (hasWaiting, bytes) = (socket.hasWaiting, socket.waitingBytes)
    #expect(hasWaiting && bytes.memory <= BoundedRouter.memoryLimit && bytes.files > 0)
    try read(count, size, from: client, &socket)
    let (isLeft, left) = (socket.hasWaiting, socket.waitingBytes)
    #expect(!isLeft && left == (0, 0))
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty, "the file has no name")
  }

  @Test("what has left is told, also of what had to wait in a file: not what was refused, nor what waits")
  func departures() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let (ours, theirs) = (try Context(), try Context())
    var socket = try BoundedRouter(try Socket(.router, in: ours), spoolDirectory: directory, logger: LogLines().logger)
    let endpoint = try socket.socket.bind("tcp://127.0.0.1:*")
    let client = try connected(theirs, to: endpoint)
    let identity = try greeted(by: client, socket)
    let departed = DepartedReplies()
    socket.send(Frame("nobody"), nil, [Frame("x"), Frame("{}")][...], whenLeft: { departed.left(.init(id: "refused")) })
    // The first ones leave, and the last ones wait here: nobody reads.
    let filling = Frame([UInt8](repeating: 7, count: 200_000))
    var count = 0
    while count < 10_000, socket.waitingBytes.files < 1 << 20 {
      let id = MessageID("\(count)")
      socket.send(identity, nil, [Frame("x"), filling][...], whenLeft: { departed.left(.init(id: id)) })
      count += 1
    }
    let (isWaiting, last) = (socket.waitingBytes.files > 0, MessageID("\(count - 1)"))
    #expect(isWaiting)
    var told = Set((departed.look().replies + departed.look().replies).map(\.id))
    let isTold = told.contains(last)
    #expect(!isTold)
    // It reads, and all of them leave.
    for _ in 0..<10_000 * patience where told.count < count {
      _ = try client.waitReadable(milliseconds: 1)
      while try client.receive() != nil {}
      socket.deliverWaiting()
      told.formUnion(departed.look().replies.map(\.id))
    }
    let (all, expected) = (told, Set((0..<count).map { MessageID("\($0)") }))
    #expect(all == expected)
  }

  @Test("where the disk is full they wait in memory, in their order, and are counted right")
  func fullDisk() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let (ours, theirs) = (try Context(), try Context())
    var socket = try BoundedRouter(
      try Socket(.router, in: ours), spoolDirectory: directory, spoolLimit: 2_000_000, logger: LogLines().logger)
    let endpoint = try socket.socket.bind("tcp://127.0.0.1:*")
    let client = try connected(theirs, to: endpoint)
    let identity = try greeted(by: client, socket)
    let filling = Frame([UInt8](repeating: 7, count: 300_000))
    for number in 0..<600 { socket.send(identity, nil, [Frame("\(number)"), filling][...]) }
    let bytes = socket.waitingBytes
    #expect(bytes.memory > BoundedRouter.memoryLimit && bytes.files <= 2_000_000)
    try read(600, 300_000, from: client, &socket)
    let left = socket.waitingBytes
    #expect(left == (0, 0))
  }

  /// All of them, each in its place.
  private func read(_ count: Int, _ size: Int, from client: borrowing Socket, _ socket: inout BoundedRouter) throws {
    for number in 0..<count {
      var message: [Frame]?
      for _ in 0..<5000 * patience where message == nil {
        message = try client.receive()
        if message != nil { break }
        socket.deliverWaiting()
        _ = try client.waitReadable(milliseconds: 2)
      }
      guard message?.first?.text == "\(number)", message?.last?.count == size else {
        Issue.record("\(message?.first?.text ?? "nothing") came in the place of \(number)")
        return
      }
    }
    socket.deliverWaiting()
    socket.deliverWaiting()
  }

  @Test("what waited for a client that is gone is forgotten, and another is served meanwhile")
  func gone() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let (ours, theirs) = (try Context(), try Context())
    var socket = try BoundedRouter(try Socket(.router, in: ours), spoolDirectory: directory, logger: LogLines().logger)
    let endpoint = try socket.socket.bind("tcp://127.0.0.1:*")
    var stopped: Socket? = try connected(theirs, to: endpoint)
    let good = try connected(theirs, to: endpoint)
    try stopped?.send([Frame("stopped")])
    try good.send([Frame("good")])
    var identities: [String: Frame] = [:]
    while identities.count < 2 {
      try wait(socket.socket)
      if let frames = try socket.socket.receive() { identities[frames[1].text] = frames[0] }
    }
    let large = Frame([UInt8](repeating: 1, count: 1 << 20))
    for _ in 0..<150 { socket.send(try #require(identities["stopped"]), nil, [large][...]) }
    let hasWaiting = socket.hasWaiting
    #expect(hasWaiting)
    socket.send(try #require(identities["good"]), nil, [Frame("for you")][...])
    let answer = try next(good)
    #expect(answer?.first?.text == "for you")
    stopped = nil
    _ = consume stopped
    for _ in 0..<2000 * patience where socket.hasWaiting {
      socket.deliverWaiting()
      _ = try socket.socket.waitReadable(milliseconds: 2)
      _ = try socket.socket.receive()
    }
    let isLeft = socket.hasWaiting
    #expect(!isLeft)
  }

  @Test("requests for an engine that is not connected yet, or does not read, wait for it in bounds, and go with it")
  func engine() throws {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let (ours, theirs) = (try Context(), try Context())
    let lines = LogLines()
    var socket = try EngineSocket(try Socket(.router, in: ours), spoolDirectory: directory, logger: lines.logger)
    let endpoint = try socket.socket.bind("tcp://127.0.0.1:*")
    let filling = Frame([UInt8](repeating: 7, count: 1 << 20))
    // Nobody by that name: ipyparallel drops it too.
    socket.send(to: "stranger", nil, [filling][...])
    let waitsForStranger = socket.hasWaiting
    #expect(!waitsForStranger)
    socket.engineRegistered("engine")
    for number in 0..<150 { socket.send(to: "engine", nil, [Frame("\(number)"), filling][...]) }
    #expect(lines.all.contains { $0.contains("an engine does not read its requests: they wait in a file") })
    let engine = try Socket(.dealer, in: theirs)
    try engine.set(.identity, Array("engine".utf8))
    try engine.set(.receiveHighWaterMark, 4)
    try engine.connect(endpoint)
    for number in 0..<150 {
      var message: [Frame]?
      for _ in 0..<5000 * patience where message == nil {
        socket.deliverWaiting()
        _ = try socket.socket.receive()
        message = try engine.waitReadable(milliseconds: 2) ? try engine.receive() : nil
      }
      #expect(message?.first?.text == "\(number)")
    }
    // Again, and it is lost meanwhile.
    for number in 0..<300 { socket.send(to: "engine", nil, [Frame("\(number)"), filling][...]) }
    let waits = socket.hasWaiting
    #expect(waits)
    socket.engineLost("engine")
    let isLeft = socket.hasWaiting
    #expect(!isLeft)
  }

  @Test("a subscriber that does not read misses some, which is counted until it reads again; the others miss nothing")
  func output() throws {
    let (ours, theirs) = (try Context(), try Context())
    let lines = LogLines()
    var socket = try PublisherSocket(try Socket(.xpub, in: ours), of: "output", limit: 100, logger: lines.logger)
    // Of the second subscription to the same it tells too.
    try socket.socket.set(.xpubVerbose, 1)
    let endpoint = try socket.socket.bind("tcp://127.0.0.1:*")
    let stopped = try connected(theirs, to: endpoint, .sub)
    let good = try Socket(.sub, in: theirs)
    try good.set(.subscribe, [])
    try good.connect(endpoint)
    for _ in 0..<2 {
      try wait(socket.socket)
      _ = socket.receive()
    }
    let text = Frame([UInt8](repeating: 65, count: 60_000))
    for number in 0..<1000 {
      socket.send([Frame("\(number)"), text])
      let heard = try next(good)
      #expect(heard?.first?.text == "\(number)" && heard?.count == 2)
    }
    // Its queue, the system's, and what libzmq holds between the two.
    let missed = socket.missedInAll
    #expect((200...900).contains(missed.messages) && missed.bytes >= 60_000 * missed.messages)
    #expect(lines.all.contains { $0.contains("a subscriber does not read") })
    #expect(!lines.all.contains { $0.contains("read again") })
    // It reads what waits for it, and nothing counts as missed any more.
    for _ in 0..<200 * patience where !lines.all.contains(where: { $0.contains("read again") }) {
      while try stopped.waitReadable(milliseconds: 10), try stopped.receive() != nil {}
      socket.send([Frame("more")])
      _ = try next(good)
    }
    #expect(lines.all.contains { $0.contains("all subscribers read again") })
    let count = socket.missedInAll.messages
    socket.send([Frame("last")])
    let countAfter = socket.missedInAll.messages
    #expect(count == countAfter)
  }
}
