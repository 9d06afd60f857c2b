import ApusMessaging
import TestSupport

extension SeededGenerator {
  mutating func text(_ counts: ClosedRange<Int> = 0...12) -> String {
    let pieces: [Character] = [
      "a", "b", "z", "0", "_", "-", " ", "\"", "\\", "/", "\n", "\t", "\r", "\u{0}", "\u{1F}", "\u{7F}", "ü", "é", "e\u{301}",
      "\u{2028}",
      "中", "🐦", "👩‍👩‍👧", "\u{FFFF}", "\u{10FFFF}", "{", "}", "[", "]", ":", ",",
    ]
    return String((0..<Int.random(in: counts, using: &self)).compactMap { _ in pieces.randomElement(using: &self) })
  }

  mutating func json(depth: Int = 0) -> JSONValue {
    switch Int.random(in: 0..<(depth < 5 ? 10 : 8), using: &self) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &self))
    case 2: return .int(Int.random(in: -1000...1000, using: &self))
    case 3: return .int([Int.max, Int.min, 0, 1 << 53, -(1 << 53) - 1].randomElement(using: &self) ?? 0)
    case 4:
      let value = Double(bitPattern: UInt64.random(in: 0...UInt64.max, using: &self))
      return .double(value.isFinite ? value : 0.1)
    case 5: return .double(Double.random(in: -1000...1000, using: &self))
    case 6: return .bigInteger("\(chance(50) ? "-" : "")1234567890123456789012345\(Int.random(in: 0..<1000, using: &self))")
    case 7: return .string(text())
    case 8: return .array((0..<Int.random(in: 0..<6, using: &self)).map { _ in json(depth: depth + 1) })
    default: return .object(object(depth: depth))
    }
  }

  mutating func object(depth: Int = 0) -> JSONObject {
    // Sometimes more members than a linear search handles.
    let count = Int.random(in: 0..<(chance(5) ? 40 : 7), using: &self)
    return JSONObject(members: (0..<count).map { _ in (key: text(0...4), value: json(depth: depth + 1)) })
  }
}
