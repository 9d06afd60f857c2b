import ApusMessaging
import Crypto
import TestSupport
import Testing
import Transport

@Suite("Signer")
struct SignerTests {
  let seed = SeededGenerator.seed()

  private static func hex(_ text: String) -> [UInt8] {
    let digits = Array(text.utf8).map { UInt8($0 < 58 ? $0 - 48 : $0 - 87) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  /// RFC 4231, section 4: key, data, HMAC-SHA-256. (Its fifth case is of a truncated result.)
  static let vectors: [(key: [UInt8], data: [UInt8], mac: String)] = [
    (
      [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
    (
      hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), [UInt8](repeating: 0xcd, count: 50),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
    ),
    (
      [UInt8](repeating: 0xaa, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
    (
      [UInt8](repeating: 0xaa, count: 131),
      Array(
        "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm."
          .utf8),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
    ),
  ]

  @Test("RFC 4231", arguments: vectors.indices)
  func rfc4231(index: Int) {
    let vector = Self.vectors[index]
    let signer = Signer(key: vector.key)
    #expect(signer.sign([Frame(vector.data)]).text == vector.mac)
    // Parts are hashed one after another: how the text is cut does not matter.
    let cut = vector.data.count / 3
    let parts = [Frame(Array(vector.data[..<cut])), Frame.empty, Frame(Array(vector.data[cut...]))]
    #expect(signer.sign(parts[...]).text == vector.mac)
    #expect(signer.verify(Frame(vector.mac), parts[...]))
    #expect(!signer.verify(Frame(vector.mac.uppercased()), parts[...]))
  }

  @Test("agrees with the library's HMAC on random keys and messages", arguments: [1, 31, 32, 33, 63, 64, 65, 128, 1000])
  func agreesWithLibrary(keyLength: Int) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<20 {
      let key = random.bytes(keyLength...keyLength)
      let parts = (0..<4).map { _ in Frame(random.bytes(0...300)) }
      var library = HMAC<SHA256>(key: SymmetricKey(data: key))
      for part in parts { library.update(data: part.bytes) }
      let expected = library.finalize().map { byte in
        (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }.joined()
      let signer = Signer(key: key)
      #expect(signer.sign(parts[...]).text == expected, "seed \(seed)")
      #expect(signer.verify(Frame(expected), parts[...]))
    }
  }

  @Test("every bit of the signature and of the message counts")
  func everyBit() {
    let signer = Signer(key: Array("key".utf8))
    let parts = ["{\"a\":1}", "{}", "{}", "{\"b\":2}"].map { Frame($0) }
    let signature = signer.sign(parts[...])
    #expect(signature.count == 64)
    for index in 0..<64 {
      for bit in 0..<8 {
        var bytes = signature.bytes
        bytes[index] ^= 1 << bit
        #expect(!signer.verify(Frame(bytes), parts[...]))
      }
    }
    for part in parts.indices {
      for index in 0..<parts[part].count {
        var bytes = parts[part].bytes
        bytes[index] ^= 1
        var changed = parts
        changed[part] = Frame(bytes)
        #expect(!signer.verify(signature, changed[...]))
      }
    }
    for wrong in [
      Frame.empty, Frame(Array(signature.bytes.dropLast())), Frame(signature.bytes + [48]), Frame([UInt8](repeating: 0, count: 64)),
    ] {
      #expect(!signer.verify(wrong, parts[...]))
    }
    #expect(!Signer(key: Array("Key".utf8)).verify(signature, parts[...]))
  }

  @Test("without a key nothing is signed and everything passes")
  func withoutKey() {
    let signer = Signer(key: [])
    #expect(!signer.isEnabled)
    #expect(signer.sign([Frame("a")]).isEmpty)
    #expect(signer.verify(Frame("anything"), [Frame("a")]))
  }
}

@Suite("Replay history")
struct ReplayHistoryTests {
  private func signature(_ number: Int) -> Frame {
    Signer(key: Array("k".utf8)).sign([Frame("\(number)")])
  }

  private func expectNew(_ signature: Frame, _ history: inout ReplayHistory, at location: SourceLocation = #_sourceLocation) {
    let isNew = history.record(signature)
    #expect(isNew, sourceLocation: location)
  }

  private func expectSeen(_ signature: Frame, _ history: inout ReplayHistory, at location: SourceLocation = #_sourceLocation) {
    let isNew = history.record(signature)
    #expect(!isNew, sourceLocation: location)
  }

  @Test("what was seen is told, until newer ones have taken its place")
  func bounds() {
    var history = ReplayHistory(capacity: 100)
    let signatures = (0..<1000).map(signature)
    for (index, one) in signatures.enumerated() {
      expectNew(one, &history)
      expectSeen(one, &history)
      // The newest hundred are known, whatever came before them.
      if index >= 99 { expectSeen(signatures[index - 99], &history) }
    }
    expectNew(signatures[0], &history)
    expectSeen(signatures[999], &history)
  }

  @Test("a history of one")
  func one() {
    var history = ReplayHistory(capacity: 0)
    expectNew(signature(1), &history)
    expectSeen(signature(1), &history)
    for number in 2..<5 { expectNew(signature(number), &history) }
    expectNew(signature(1), &history)
  }

  @Test("strange signatures harm nothing")
  func strange() {
    var history = ReplayHistory(capacity: 10)
    var random = SeededGenerator(seed: 1)
    for _ in 0..<1000 { _ = history.record(Frame(random.bytes(0...80))) }
  }
}
