import TestSupport

/// Types as users write them.
struct Reading: Codable, Hashable {
  var id: Int
  var value: Double
  var name: String
  var isValid: Bool
}

/// Optional members, integers as coding keys, members out of order in `init(from:)`.
struct Sparse: Codable, Hashable {
  var first: Int?
  var second: String?
  var third: [Double]?
  var fourth: Reading?
}

struct Narrow: Codable, Hashable {
  var i8: Int8, i16: Int16, i32: Int32, i64: Int64, u8: UInt8, u16: UInt16, u32: UInt32, u64: UInt64, uint: UInt, float: Float
}

enum Shape: Codable, Hashable {
  case circle(radius: Double)
  case polygon([Reading], closed: Bool)
  case named(String, Int)
  case nothing
}

indirect enum Tree: Codable, Hashable {
  case leaf
  case flag(Bool)
  case number(Int)
  case unsigned(UInt64)
  case real(Double)
  case text(String)
  case bytes([UInt8])
  case reals([Double])
  case counts([Int32])
  case list([Tree])
  case map([String: Tree])
  case table([Int: Tree])
  case pairs([Tree: Bool])
  case maybe(Tree?)
}

extension SeededGenerator {
  mutating func messagePackTree(depth: Int = 0) -> Tree {
    func count(_ generator: inout Self) -> Int { Int.random(in: 0...(generator.chance(10) ? 20 : 3), using: &generator) }
    switch Int.random(in: 0..<(depth < 4 ? 14 : 9), using: &self) {
    case 0: return .leaf
    case 1: return .flag(.random(using: &self))
    case 2: return .number(messagePackInteger())
    case 3: return .unsigned(UInt64(bitPattern: Int64(messagePackInteger())))
    case 4: return .real(Double(bitPattern: next() & 0xFFEF_FFFF_FFFF_FFFF))
    case 5: return .text(messagePackText())
    case 6: return .bytes(bytes(0...300))
    case 7: return .reals((0..<Int.random(in: 0...40, using: &self)).map { _ in Double.random(in: -9...9, using: &self) })
    case 8: return .counts((0..<Int.random(in: 0...9, using: &self)).map { _ in Int32.random(in: .min ... .max, using: &self) })
    case 9: return .list((0..<count(&self)).map { _ in messagePackTree(depth: depth + 1) })
    case 10:
      return .map(
        Dictionary(
          (0..<count(&self)).map { _ in (messagePackText(), messagePackTree(depth: depth + 1)) }, uniquingKeysWith: { a, _ in a }))
    case 11:
      return .table(
        Dictionary(
          (0..<count(&self)).map { _ in (messagePackInteger(), messagePackTree(depth: depth + 1)) }, uniquingKeysWith: { a, _ in a }
        ))
    case 12:
      return .pairs(
        Dictionary(
          (0..<count(&self)).map { _ in (messagePackTree(depth: depth + 2), Bool.random(using: &self)) },
          uniquingKeysWith: { a, _ in a }))
    default: return .maybe(chance(30) ? nil : messagePackTree(depth: depth + 1))
    }
  }

  mutating func messagePackInteger() -> Int {
    // All widths of the wire, and their edges.
    let bits = Int.random(in: 0...63, using: &self)
    let value = Int(truncatingIfNeeded: next() >> UInt64(63 - bits))
    return chance(50) ? value : ~value
  }

  mutating func messagePackText() -> String {
    let pieces = [
      "", "a", "key", "ü", "🐦", "\u{0}", "e\u{301}", "31 bytes of ASCII, and one more", String(repeating: "中", count: 90),
    ]
    return (0..<Int.random(in: 0...3, using: &self)).compactMap { _ in pieces.randomElement(using: &self) }.joined()
  }

  /// Cut, changed or stretched, with a taste for the format's own headers.
  mutating func messagePackMutation(of bytes: [UInt8]) -> [UInt8] {
    let interesting: [UInt8] = [
      0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCF, 0xD3,
      0xD4, 0xD8,
      0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xFF, 0x00, 0x01, 0x0A, 0x0B, 0x10, 0x7F,
    ]
    return mutation(of: bytes, interesting: interesting)
  }
}
