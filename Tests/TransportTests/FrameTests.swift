import CZeroMQ
import Synchronization
import Testing

@testable import Transport

@Suite("Frames")
struct FrameTests {
  /// Around libzmq's limits: nothing, one byte, interned sizes, the largest inline message, the smallest shared one, and large ones.
  static let sizes = [0, 1, 2, 8, 9, 10, 32, 33, 34, 64, 255, 256, 8191, 8192, 8193, 100_000]

  static func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ count) } }

  @Test("bytes go in and come out", arguments: sizes)
  func roundTrip(size: Int) {
    let bytes = Self.pattern(size)
    let frame = Frame(bytes)
    #expect(frame.count == size)
    #expect(frame.isEmpty == (size == 0))
    #expect(frame.bytes == bytes)
    #expect(frame == Frame(bytes))
    #expect(frame.hashValue == Frame(bytes).hashValue)
    if size > 0 { #expect(frame != Frame(Self.pattern(size - 1))) }
  }

  @Test("the same length with another last byte is another frame")
  func inequality() {
    var other = Self.pattern(500)
    other[499] ^= 1
    #expect(Frame(Self.pattern(500)) != Frame(other))
  }

  @Test("text is UTF-8; what is not becomes U+FFFD")
  func text() {
    #expect(Frame("grüße 🐦").text == "grüße 🐦")
    #expect(Frame([0x61, 0xFF, 0x62]).text == "a\u{FFFD}b")
    #expect(Frame("").isEmpty)
  }

  @Test("sent and received over TCP and inproc", arguments: ["tcp://127.0.0.1:*", "inproc"])
  func sentAndReceived(endpoint: String) throws {
    let context = try Context()
    let pull = try Socket(.pull, in: context)
    let push = try Socket(.push, in: context)
    try push.connect(try pull.bind(endpoint == "inproc" ? "inproc://\(uniqueName())" : endpoint))
    for size in Self.sizes { try push.send([Frame(Self.pattern(size))]) }
    for size in Self.sizes {
      let received = try #require(try pull.next())
      #expect(received.map(\.bytes) == [Self.pattern(size)])
    }
  }

  @Test("frames that every message has are shared, not boxed anew")
  func interned() throws {
    let context = try Context()
    let pull = try Socket(.pull, in: context)
    let push = try Socket(.push, in: context)
    try push.connect(try pull.bind("tcp://127.0.0.1:*"))
    try push.send([Frame([]), Frame("{}"), Frame("<IDS|MSG>"), Frame("[]"), Frame("<IDS|MSH>")])
    let received = try #require(try pull.next())
    #expect(received.count == 5)
    #expect(received[0].isIdentical(to: .empty))
    #expect(received[1].isIdentical(to: .emptyObject))
    #expect(received[2].isIdentical(to: .delimiter))
    #expect(received[3].text == "[]")
    #expect(!received[3].isIdentical(to: .emptyObject))
    #expect(received[4].text == "<IDS|MSH>")
    #expect(!received[4].isIdentical(to: .delimiter))
    // Made by hand they are equal, though not identical.
    #expect(Frame("{}") == .emptyObject)
  }

  @Test("lent memory is given back once, when the last reference is gone", arguments: [1, 20, 33, 34, 5000])
  func lending(size: Int) async throws {
    let context = try Context()
    let pull = try Socket(.pull, in: context)
    let push = try Socket(.push, in: context)
    let endpoint = "inproc://\(uniqueName())"
    try pull.bind(endpoint)
    try push.connect(endpoint)
    let released = Released()
    do {
      let frame = released.lend(Self.pattern(size))
      #expect(frame.bytes == Self.pattern(size))
      try push.send([frame, frame])
      #expect(released.count == 0)
      let received = try #require(try pull.next())
      #expect(received.map(\.bytes) == [Self.pattern(size), Self.pattern(size)])
      #expect(released.count == 0)
    }
    #expect(await eventually { released.count > 0 })
    try await Task.sleep(for: .milliseconds(5))
    #expect(released.count == 1)
  }

  @Test("lent memory survives its frame for as long as libzmq sends it")
  func lendingOutlivesTheFrame() async throws {
    let context = try Context()
    let pull = try Socket(.pull, in: context)
    let push = try Socket(.push, in: context)
    let released = Released()
    let endpoint = try pull.bind("tcp://127.0.0.1:*")
    do {
      // Not connected yet: the frame waits inside libzmq after ours has gone.
      try push.connect(endpoint)
      try push.send([released.lend(Self.pattern(300_000))])
    }
    let received = try #require(try pull.next())
    #expect(received[0].bytes == Self.pattern(300_000))
    #expect(await eventually { released.count == 1 })
  }

  @Test("one received frame is shared by many threads", arguments: [32, 33, 34, 500])
  func sharedByThreads(size: Int) async throws {
    let context = try Context()
    let pull = try Socket(.pull, in: context)
    let push = try Socket(.push, in: context)
    try push.connect(try pull.bind("tcp://127.0.0.1:*"))
    for _ in 0..<50 {
      try push.send([Frame(Self.pattern(size))])
      let frame = try #require(try pull.next())[0]
      let copies = await withTaskGroup(of: Int.self) { group in
        for _ in 0..<4 {
          group.addTask {
            var matching = 0
            for _ in 0..<50 {
              var copy = zmq_msg_t()
              frame.share(into: &copy)
              if zmq_msg_size(&copy) == size { matching += 1 }
              zmq_msg_close(&copy)
            }
            return matching
          }
        }
        return await group.reduce(0, +)
      }
      #expect(copies == 200)
      #expect(frame.bytes == Self.pattern(size))
    }
  }
}

/// Counts how often lent memory was given back.
private final class Released: Sendable {
  private let counter = Atomic<Int>(0)
  var count: Int { counter.load(ordering: .acquiring) }

  func lend(_ bytes: [UInt8]) -> Frame {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    memory.copyBytes(from: bytes)
    return Frame(lending: memory, owner: Unmanaged.passRetained(self).toOpaque()) { bytes, owner in
      bytes?.deallocate()
      guard let owner else { return }
      Unmanaged<Released>.fromOpaque(owner).takeRetainedValue().counter.add(1, ordering: .acquiringAndReleasing)
    }
  }
}
