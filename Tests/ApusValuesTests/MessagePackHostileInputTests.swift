import ApusValues
import TestSupport
import Testing
import Transport

@Suite("MessagePack: input from outside never traps")
struct MessagePackHostileInputTests {
  let encoder = MessagePackEncoder()
  let decoder = MessagePackDecoder()

  func code<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) -> MessagePackError.Code? {
    do {
      _ = try decoder.decode(type, from: bytes)
      return nil
    } catch DecodingError.dataCorrupted(let context), DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(
      _, let context)
    {
      return (context.underlyingError as? MessagePackError)?.code
    } catch {
      return nil
    }
  }

  @Test("lengths that promise more than there is are refused before memory is taken")
  func lengths() {
    for header: UInt8 in [0xDB, 0xDD, 0xDF, 0xC6, 0xC9] {
      let bytes: [UInt8] = [header, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x01]
      #expect(code(String.self, bytes) != nil)
      #expect(code([String].self, bytes) != nil)
      #expect(code([Double].self, bytes) != nil)
      #expect(code([UInt8].self, bytes) != nil)
      #expect(code([String: Int].self, bytes) != nil)
      #expect(code(Reading.self, bytes) != nil)
      #expect(throws: DecodingError.self) { try MessagePackReader(bytes).skip() }
    }
    #expect(code(String.self, [0xDB, 0xFF, 0xFF, 0xFF, 0xFF]) == .truncated)
    #expect(code([String].self, [0xDD, 0xFF, 0xFF, 0xFF, 0xFF]) == .truncated)
    #expect(code([Double].self, [0xC9, 0xFF, 0xFF, 0xFF, 0xF8, 0x01]) == .truncated)
  }

  @Test("every error has its code")
  func codes() {
    #expect(code(Int.self, []) == .truncated)
    #expect(code(Int.self, [0xCD, 1]) == .truncated)
    #expect(code(Int.self, [0xC1]) == .reserved)
    #expect(code([Int].self, [0x91, 0xC1]) == .reserved)
    #expect(code(Int.self, [0xA1, 0x61]) == .mismatch)
    #expect(code(Int.self, [0xC0]) == .mismatch)
    #expect(code(Int.self, [0xCB, 0, 0, 0, 0, 0, 0, 0, 0]) == .mismatch)
    #expect(code(UInt8.self, [0xCD, 1, 0]) == .outOfRange)
    #expect(code(UInt.self, [0xFF]) == .outOfRange)
    #expect(code(Int.self, [0xCF, 0xFF, 0, 0, 0, 0, 0, 0, 0]) == .outOfRange)
    #expect(code(String.self, [0xA1, 0x80]) == .illFormedText)
    #expect(code(String.self, [0xA3, 0xED, 0xA0, 0x80]) == .illFormedText)
    #expect(code([String: Int].self, [0x81, 0xA1, 0x80, 0x01]) == .illFormedText)
    #expect(code(Int.self, [0x01, 0x01]) == .trailingBytes)
    #expect(code([Double].self, [0xC7, 0x03, 0x01, 0, 0, 0]) == .malformedArray)
    #expect(code([Bool].self, [0xD5, 0x0B, 0, 2]) == .malformedArray)
    #expect(code([Double].self, [0xD8, 0x10, 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]) == .frame)
    #expect(code(String.self, [0xD8, 0x10, 1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]) == .mismatch)
  }

  @Test("errors say where")
  func places() throws {
    struct Outer: Decodable { var list: [Reading] }
    let good = try encoder.encode(["list": [Reading(id: 1, value: 1, name: "", isValid: true)]])
    var bytes = good
    bytes[bytes.count - 1] = 0x05
    #expect {
      try decoder.decode(Outer.self, from: bytes)
    } throws: { error in
      guard case DecodingError.typeMismatch(_, let context) = error else { return false }
      return context.codingPath.map(\.stringValue) == ["list", "0", "isValid"]
        && context.debugDescription.contains("byte \(bytes.count - 1)")
    }
    #expect {
      try decoder.decode([Outer].self, from: [0x91, 0x81, 0xA4, 0x6C, 0x69, 0x73, 0x74, 0x91, 0x80])
    } throws: { error in
      guard case DecodingError.keyNotFound(let key, let context) = error else { return false }
      return key.stringValue == "id" && context.codingPath.map(\.stringValue) == ["0", "list", "0"]
    }
    #expect {
      try decoder.decode([String].self, from: [0x91, 0xC0])
    } throws: { error in
      guard case DecodingError.valueNotFound(_, let context) = error else { return false }
      return context.codingPath.map(\.intValue) == [0]
    }
  }

  @Test("levels are counted, not trusted")
  func depth() throws {
    indirect enum Chain: Codable {
      case end
      case link(Chain)

      init(from decoder: any Decoder) throws {
        var list = try decoder.unkeyedContainer()
        self = list.isAtEnd ? .end : .link(try list.decode(Chain.self))
      }
      func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        if case .link(let next) = self { try list.encode(next) }
      }
    }
    func nested(_ levels: Int) -> [UInt8] { Array(repeating: 0x91, count: levels - 1) + [0x90] }
    let deepest = try decoder.decode(Chain.self, from: nested(200))
    #expect(try encoder.encode(deepest) == nested(200))
    #expect(code(Chain.self, nested(201)) == .tooDeep)
    #expect(code(Chain.self, nested(1_000_000)) == .tooDeep)
    #expect(throws: EncodingError.self) { try encoder.encode([deepest]) }
    // Passing over needs no stack.
    #expect(code([String: Int].self, [0x81, 0xA1, 0x61] + nested(1_000_000)) == .mismatch)
    try MessagePackReader(nested(1_000_000)).skip()
    // Nested containers count as well.
    struct Hole: Encodable {
      func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        for _ in 0..<300 { list = list.nestedUnkeyedContainer() }
      }
    }
    #expect(throws: EncodingError.self) { try encoder.encode(Hole()) }
  }

  @Test("a frame belongs to one reference")
  func references() throws {
    let large = (0..<1000).map(Double.init)
    let frames = try encoder.encode([large, large, [1]], outOfBand: 1000)
    #expect(frames.map(\.count) == [frames[0].count, 8000, 8000])
    #expect(try decoder.decode([[Double]].self, from: frames) == [large, large, [1]])
    // The second reference asks for the first frame.
    var structure = frames[0].bytes
    structure[1 + 18 + 2 + 4] = 1
    #expect(throws: DecodingError.self) { try decoder.decode([[Double]].self, from: [Frame(structure), frames[1], frames[2]]) }
    #expect(throws: DecodingError.self) { try decoder.decode([[Double]].self, from: [frames[0], frames[1]]) }
    #expect(throws: DecodingError.self) { try decoder.decode([[Double]].self, from: [frames[0], frames[1], .empty]) }
    #expect(throws: DecodingError.self) { try decoder.decode([[Double]].self, from: [Frame]()) }
    // A frame that nobody refers to is no harm, and the same member may be read again.
    #expect(try decoder.decode([[Double]].self, from: frames + [.empty]) == [large, large, [1]])
  }

  @Test("every beginning of a message, and damaged messages")
  func damage() throws {
    let seed = SeededGenerator.seed()
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<60 {
      let tree = generator.messagePackTree()
      let frames = try encoder.encode(tree, outOfBand: 40)
      let whole = frames[0].bytes
      for count in stride(from: 0, to: whole.count, by: max(1, whole.count / 50)) {
        #expect(throws: DecodingError.self, "APUS_SEED=\(seed)") {
          try decoder.decode(Tree.self, from: [Frame(Array(whole[..<count]))] + frames.dropFirst())
        }
      }
      for _ in 0..<60 {
        let bytes = generator.messagePackMutation(of: whole)
        let damaged = [Frame(bytes)] + frames.dropFirst()
        harmless(Tree.self, damaged, seed)
        harmless([String: Tree].self, damaged, seed)
        harmless([Int: [Double]].self, damaged, seed)
        harmless(Sparse.self, damaged, seed)
        harmless([Shape].self, damaged, seed)
        harmless([Bool].self, damaged, seed)
        harmless(Narrow.self, damaged, seed)
      }
    }
    for _ in 0..<3000 {
      let noise = [Frame(generator.bytes(0...40))]
      harmless(Tree.self, noise, seed)
      harmless([String: [Bool]].self, noise, seed)
      harmless([[UInt16?]].self, noise, seed)
      try? MessagePackReader(noise).skip()
    }
  }

  /// A value or a `DecodingError`.
  func harmless<T: Decodable>(_ type: T.Type, _ frames: [Frame], _ seed: UInt64) {
    do {
      _ = try decoder.decode(type, from: frames)
    } catch is DecodingError {
    } catch {
      Issue.record("\(error), APUS_SEED=\(seed)")
    }
  }
}
