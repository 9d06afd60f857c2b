import ApusMessaging
import ApusValues
import Transport

/// Binds the values of a map, name to value.
struct PushCall: PreparedCall {
  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame] {
    guard let structure = arguments.first else { throw TaskError(.malformed, "a push without values") }
    let bytes = structure.bytes
    guard let (count, start) = Self.mapHeader(bytes) else { throw TaskError(.malformed, "a push is a map, name to value") }
    let pairs = Array(bytes[start...])
    let reader = MessagePackReader(pairs)
    var bindings: [(String, [Frame])] = []
    for _ in 0..<count {
      let name = try reader.next(String.self)
      let begin = reader.position
      try reader.skip()
      // Each value keeps all frames, so that its references stay what they are.
      bindings.append((name, [Frame(Array(pairs[begin..<reader.position]))] + arguments.dropFirst()))
    }
    guard reader.isAtEnd else { throw TaskError(.malformed, "more bytes after the values of a push") }
    for (name, frames) in bindings { kernel.namespace.bind(name, to: frames) }
    return try MessagePackEncoder().encode(nil as Bool?, outOfBand: MessagePackCodec.outOfBand)
  }

  /// - Returns: how many pairs, and where the first begins; `nil` for what is no map.
  private static func mapHeader(_ bytes: [UInt8]) -> (count: Int, start: Int)? {
    guard let first = bytes.first else { return nil }
    func number(_ width: Int) -> (Int, Int)? {
      guard bytes.count > width else { return nil }
      return (bytes[1...width].reduce(0) { $0 << 8 | Int($1) }, 1 + width)
    }
    switch first {
    case 0x80...0x8F: return (Int(first & 0x0F), 1)
    case 0xDE: return number(2)
    case 0xDF: return number(4)
    default: return nil
    }
  }
}

/// The array of values of these names.
struct PullCall: PreparedCall {
  let names: [String]

  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame] {
    guard names.count < 16 else { throw TaskError(.malformed, "at most 15 names in one pull") }
    var structure: [UInt8] = [0x90 | UInt8(names.count)]
    var arrays: ArraySlice<Frame> = []
    for name in names {
      let frames = try kernel.namespace.frames(name)
      structure += frames.first?.bytes ?? []
      guard frames.count > 1 else { continue }
      // References count a message's frames from its beginning: those of two values cannot be put behind each other as they are.
      guard arrays.isEmpty else { throw TaskError(.badValue, "several large arrays in one pull", advice: "Pull them one by one.") }
      arrays = frames.dropFirst()
    }
    return [Frame(structure)] + arrays
  }
}
