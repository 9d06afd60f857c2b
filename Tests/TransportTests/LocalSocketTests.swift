import Glibc
import Testing
import Transport

@Suite("Local sockets") struct LocalSocketTests {
  /// Short, and nobody else's.
  private static func path() -> String { "/tmp/apus-test-\(UInt32.random(in: 0...UInt32.max))" }

  private func pair() throws -> (LocalSocket, LocalSocket) {
    let listener = try #require(LocalListener(path: Self.path()))
    let near = try #require(LocalSocket(connectingTo: listener.path))
    return (near, try #require(try listener.accept()))
  }

  private func frames(_ received: LocalSocket.Received) -> [Frame]? {
    if case .message(let frames) = received { return frames }
    return nil
  }

  @Test("messages arrive whole, in order, in both directions") func messages() throws {
    let (near, far) = try pair()
    let sent = [[Frame("a")], [.empty, Frame("bc"), .empty], [Frame([UInt8](repeating: 7, count: 70_000)), .emptyObject]]
    for message in sent { #expect(near.send(message) == .sent) }
    for message in sent { #expect(frames(far.receive()) == message) }
    guard case .nothing = far.receive() else { throw TestFailure("something was left") }
    #expect(far.send(sent[1]) == .sent)
    #expect(frames(near.receive()) == sent[1])
  }

  @Test("what does not fit is refused, and nothing of it arrives") func limits() throws {
    let (near, far) = try pair()
    #expect(near.send([]) == .unfit)
    #expect(near.send([Frame([UInt8](repeating: 0, count: LocalSocket.largestMessage))]) == .unfit)
    #expect(near.send([Frame](repeating: .empty, count: 70_000)) == .unfit)
    let message = [Frame([UInt8](repeating: 1, count: 50_000))]
    var sent = 0
    while sent < 10_000, near.send(message) == .sent { sent += 1 }
    #expect(sent > 0 && sent < 10_000, "the system's buffer has an end")
    var received = 0
    while frames(far.receive()) == message { received += 1 }
    #expect(received == sent)
    #expect(near.send(message) == .sent)
  }

  @Test("the end of the other side, behind what it sent") func end() throws {
    var (near, far): (LocalSocket?, LocalSocket) = try pair()
    #expect(near?.send([Frame("last")]) == .sent)
    near = nil
    #expect(frames(far.receive()) == [Frame("last")])
    guard case .closed = far.receive() else { throw TestFailure("the end was not noticed") }
    #expect(far.send([Frame("nobody")]) == .closed)
  }

  @Test("nobody of that name, and nobody waiting") func nobody() throws {
    #expect(LocalSocket(connectingTo: "apus-nobody-\(getpid())") == nil)
    #expect(LocalSocket(connectingTo: String(repeating: "x", count: 500)) == nil)
    let listener = try #require(LocalListener(path: Self.path()))
    #expect(try listener.accept() == nil)
  }

  /// Bytes that no `LocalSocket` would send.
  @Test(
    "what is no message ends the connection",
    arguments: [[0], [1], [1, 0, 0, 0], [1, 2, 0, 0, 0, 65], [1, 255, 255, 255, 255], [1, 0, 0, 0, 0, 9], [200, 0, 0, 0, 0]]
      as [[UInt8]])
  func damaged(_ bytes: [UInt8]) throws {
    let (near, far) = try pair()
    #expect(send(near.descriptor, bytes, bytes.count, 0) == bytes.count)
    guard case .closed = far.receive() else { throw TestFailure("taken for a message: \(bytes)") }
  }
}

private struct TestFailure: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}
