import Glibc

/// SplitMix64. The seed is new in every run, or `APUS_SEED`; a test that fails names it.
public struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  public static func seed() -> UInt64 {
    if let text = getenv("APUS_SEED"), let seed = UInt64(String(cString: text)) { return seed }
    return .random(in: 0...UInt64(UInt32.max))
  }

  public mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

  public mutating func bytes(_ counts: ClosedRange<Int>) -> [UInt8] {
    (0..<Int.random(in: counts, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
  }

  /// What JSON's grammar and UTF-8 care about.
  public static let jsonBytes = Array(#"{}[]",:\u0tfn-.eE/ "#.utf8) + [0, 0x1F, 0x7F, 0x80, 0xC0, 0xED, 0xF4, 0xFF, 10]

  /// The same bytes with a few of them changed, dropped, repeated or cut off.
  /// - Parameter interesting: bytes that mean something to the reader under test.
  public mutating func mutation(of bytes: [UInt8], interesting: [UInt8] = SeededGenerator.jsonBytes) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
      let index = Int.random(in: 0..<bytes.count, using: &self)
      switch Int.random(in: 0..<6, using: &self) {
      case 0: bytes[index] = UInt8.random(in: 0...255, using: &self)
      case 1: bytes[index] = interesting.randomElement(using: &self) ?? 0
      case 2: bytes.remove(at: index)
      case 3: bytes.insert(interesting.randomElement(using: &self) ?? 0, at: index)
      case 4: bytes.removeSubrange(index...)
      default:
        let end = min(bytes.count, index + Int.random(in: 1...20, using: &self))
        bytes.insert(contentsOf: bytes[index..<end], at: Int.random(in: 0...bytes.count, using: &self))
      }
    }
    return bytes
  }
}
