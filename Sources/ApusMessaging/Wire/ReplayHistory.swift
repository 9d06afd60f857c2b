public import ZeroMQ

/// The signatures seen last: a message whose signature is among them is a replay.
///
/// Keeps the newest `capacity`; ipyparallel keeps as many and drops a random tenth when full, which would forget fresh ones.
public struct ReplayHistory: Sendable {
  private struct Digest: Hashable {
    let high: UInt64
    let low: UInt64
  }

  private var seen: Set<Digest> = []
  private var ring: [Digest] = []
  private var oldest = 0
  private let capacity: Int

  public init(capacity: Int = 65_536) { self.capacity = max(1, capacity) }

  /// - Returns: false if it had been recorded: the message is to be dropped.
  public mutating func record(_ signature: Frame) -> Bool {
    let digest = signature.withUnsafeBytes { bytes in
      // 128 bits of the hexadecimal text's 256: nobody finds a collision, and the table is a quarter as large.
      bytes.count >= 32
        ? Digest(high: Self.pack(bytes, at: 0), low: Self.pack(bytes, at: 16)) : Digest(high: UInt64(bytes.count), low: 0)
    }
    guard seen.insert(digest).inserted else { return false }
    if ring.count < capacity {
      ring.append(digest)
    } else {
      seen.remove(ring[oldest])
      ring[oldest] = digest
      oldest = (oldest + 1) % capacity
    }
    return true
  }

  /// Sixteen hexadecimal digits as one number.
  private static func pack(_ text: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in offset..<offset + 16 {
      let character = text[index]
      value = value << 4 | UInt64(character < 58 ? character &- 48 : character &- 87) & 15
    }
    return value
  }
}
