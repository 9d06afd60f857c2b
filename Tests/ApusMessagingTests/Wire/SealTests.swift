import ApusMessaging
import TestSupport
import Testing
import Transport

/// What a seal holds together: each change of each part, and of the place where it is said, makes it nobody's.
@Suite("Seals") struct SealTests {
  private var signing: Session { Session(key: "key") }

  private func message(_ buffers: [Frame], _ scope: MessageScope = .request(.mux)) -> Envelope {
    var sender = signing
    return sender.message(
      .applyRequest, content: ["a": 1], metadata: ["m": true], identities: [Frame("client")], buffers: buffers, sealedFor: scope)
  }

  private func open(
    _ frames: [Frame], _ scope: MessageScope? = .request(.mux), key: String = "key", readsBuffers: Bool = true
  ) -> Session.Rejection? {
    do throws(Session.Rejection) {
      _ = try Session(key: key).open(frames, sealedFor: scope, readsBuffers: readsBuffers)
      return nil
    } catch { return error }
  }

  static let samples: [[Frame]] = [
    [], [.empty], [Frame("x")], [Frame("ab"), Frame("c"), .empty], [Frame([UInt8](repeating: 7, count: 3_000_000)), Frame("tail")],
    [shared(1), Frame("between"), shared(2), Frame("tail")],
  ]

  /// What goes with many messages, and is read once for all of them.
  private static func shared(_ byte: UInt8) -> Frame { SharedMemory.copy(of: Frame([UInt8](repeating: byte, count: 1 << 20))) }

  @Test("it holds where it was made for, once", arguments: SealTests.samples.indices)
  func holds(_ index: Int) throws {
    let message = message(Self.samples[index])
    #expect(message.isSealed)
    let receiver = Session(key: "key")
    _ = try receiver.open(message.frames, sealedFor: .request(.mux), readsBuffers: true)
    #expect(throws: Session.Rejection.replayed) {
      try receiver.open(message.routed(to: [Frame("x")]).frames, sealedFor: .request(.mux), readsBuffers: true)
    }
    #expect(open(message.frames, readsBuffers: false) == nil)
  }

  @Test(
    "on another channel, in the other direction, to a party that takes none, or by another key it is forged",
    arguments: SealTests.samples.indices)
  func scope(_ index: Int) {
    let frames = message(Self.samples[index]).frames
    for scope: MessageScope? in [.request(.task), .request(.control), .request(.hub), .request(.broadcast), .reply(.mux), nil] {
      #expect(open(frames, scope) == .forged)
    }
    #expect(open(frames, key: "other") == .forged)
  }

  @Test("buffers cannot be changed, left out, added, divided or taken from another message")
  func buffers() {
    let good = message([Frame("ab"), Frame("c")])
    let start = good.delimiter + 6
    func with(_ buffers: [Frame]) -> [Frame] { Array(good.frames[..<start]) + buffers }
    for buffers: [Frame] in [
      [], [Frame("ab")], [Frame("ab"), Frame("d")], [Frame("a"), Frame("bc")], [Frame("abc")], [Frame("c"), Frame("ab")],
      [Frame("ab"), Frame("c"), .empty],
    ] { #expect(open(with(buffers)) == .forged, "\(buffers.map(\.text))") }
    // The digest of other buffers, with them.
    let other = message([Frame("evil"), Frame("c")])
    let head = good.signature.bytes.prefix(66)
    var spliced = with([Frame("evil"), Frame("c")])
    spliced[good.delimiter + 1] = Frame(Array(head) + other.signature.bytes.dropFirst(66))
    #expect(open(spliced) == .forged)
  }

  @Test("shared buffers, whose digests are computed once, are as safe as others")
  func sharedBuffers() throws {
    let (a, b) = (Self.shared(1), Self.shared(2))
    try #require(a.sharedMemory != nil)
    let good = message([a, Frame("x"), b])
    let start = good.delimiter + 6
    func with(_ buffers: [Frame], _ seal: Frame? = nil) -> [Frame] {
      var frames = Array(good.frames[..<start]) + buffers
      if let seal { frames[good.delimiter + 1] = seal }
      return frames
    }
    // Who reads them has no memory in common with who sealed them.
    let copies = [Frame(a.bytes), Frame("x"), Frame(b.bytes)]
    #expect(open(with(copies)) == nil)
    #expect(open(message([b, a]).frames) == nil, "in another message, at another place")
    #expect(open(with([b, Frame("x"), a])) == .forged)
    #expect(open(with([a, Frame("y"), b])) == .forged)
    #expect(open(with([Frame([UInt8](repeating: 3, count: 1 << 20)), Frame("x"), b])) == .forged)
    let seal = good.signature.bytes
    #expect(seal.count == message([Frame("x")]).signature.count + 64)
    // Their nonces can be neither left out, exchanged nor doubled.
    let (first, second) = (seal.suffix(64).prefix(32), seal.suffix(32))
    for changed in [seal.dropLast(64) + [], seal.dropLast(32) + [], seal.dropLast(64) + second + first, seal + second] {
      #expect(open(with(copies, Frame(Array(changed)))) == .forged)
    }
  }

  @Test("a message with buffers is not one without, and the other way round")
  func presence() {
    let bare = message([])
    #expect(open(bare.frames + [Frame("x")]) == .forged)
    let full = message([Frame("x")])
    var cut = Array(full.frames.dropLast())
    #expect(open(cut) == .forged)
    cut[full.delimiter + 1] = Frame(Array(full.signature.bytes.prefix(66)))
    #expect(open(cut) == .forged)
  }

  @Test("bytes do not move from one dictionary to the next")
  func lengths() {
    var frames = message([]).frames
    let (metadata, content) = (frames[5].bytes, frames[6].bytes)
    frames[5] = Frame(metadata + content.prefix(1))
    frames[6] = Frame(Array(content.dropFirst()))
    #expect(open(frames) == .forged)
  }

  @Test("for somebody else it is signed as everybody does")
  func plain() throws {
    let message = message([Frame("x")])
    let frames = Array(message.payload(signedBy: signing.signer))
    #expect(try Session(key: "key").open(frames).buffers.first == Frame("x"))
  }

  @Test("damage of every kind is refused, and nothing traps")
  func noise() {
    let seed = SeededGenerator.seed()
    var random = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      var frames = message([Frame("one"), Frame("two")]).frames
      let index = Int.random(in: 2..<frames.count, using: &random)
      let changed = Frame(random.chance(20) ? random.bytes(0...150) : random.mutation(of: frames[index].bytes))
      guard changed != frames[index] else { continue }
      frames[index] = changed
      #expect(open(frames) != nil, "APUS_SEED=\(seed)")
    }
  }
}
