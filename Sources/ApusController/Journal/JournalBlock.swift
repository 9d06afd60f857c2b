/// The frame around what one commit writes: a mark, the length, a checksum, the records.
///
/// A block is good as a whole or not at all. One that was being written when the power failed ends the segment (a torn tail); behind one that was
/// damaged later, the next good block is found by its mark.
enum JournalBlock {
  /// `APJ1`.
  private static let mark: UInt32 = 0x314A_5041
  static let headerSize = 16

  /// - Parameter buffer: `headerSize` bytes for the header, then the records.
  /// - Returns: its checksum, by which a block behind it can name it.
  @discardableResult
  static func seal(_ buffer: inout [UInt8]) -> UInt64 {
    let count = buffer.count - headerSize
    let sum = buffer.withUnsafeBytes { checksum(UnsafeRawBufferPointer(rebasing: $0[headerSize...])) }
    buffer.withUnsafeMutableBytes { bytes in
      bytes.storeBytes(of: mark.littleEndian, toByteOffset: 0, as: UInt32.self)
      bytes.storeBytes(of: UInt32(truncatingIfNeeded: count).littleEndian, toByteOffset: 4, as: UInt32.self)
      bytes.storeBytes(of: (sum ^ UInt64(count)).littleEndian, toByteOffset: 8, as: UInt64.self)
    }
    return sum ^ UInt64(count)
  }

  /// The largest payload that the length has room for.
  static let largest = Int(UInt32.max) - headerSize

  /// What is wrong with a segment.
  struct Damage: Hashable, Sendable {
    let offset: Int
    let count: Int
    /// Nothing good follows: a write that was cut off.
    let isTail: Bool
  }

  /// Calls with the records of each good block, and its checksum.
  /// - Returns: what had to be left out.
  static func read(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer, UInt64) -> Void) -> [Damage] {
    var damages: [Damage] = []
    var offset = 0
    var damagedFrom: Int?
    while offset < bytes.count {
      guard let count = goodBlock(at: offset, of: bytes) else {
        if damagedFrom == nil { damagedFrom = offset }
        offset = nextMark(after: offset, of: bytes) ?? bytes.count
        continue
      }
      if let start = damagedFrom {
        damages.append(Damage(offset: start, count: offset - start, isTail: false))
        damagedFrom = nil
      }
      let records = UnsafeRawBufferPointer(rebasing: bytes[offset + headerSize..<offset + headerSize + count])
      body(records, checksum(ofBlockAt: offset, of: bytes))
      offset += headerSize + count
    }
    if let start = damagedFrom { damages.append(Damage(offset: start, count: bytes.count - start, isTail: true)) }
    return damages
  }

  /// What the first bytes of a block say of it.
  struct Header {
    /// Bytes of records.
    let count: Int
    /// Whether it is to be read behind the one before.
    let isLeaning: Bool

    /// - Parameter bytes: from the block's beginning on, a byte of its records among them where there are any.
    init?(_ bytes: UnsafeRawBufferPointer) {
      guard bytes.count >= headerSize, word(0, of: bytes) == mark else { return nil }
      count = Int(word(4, of: bytes))
      isLeaning = JournalCodec.leansOnTheOneBefore(UnsafeRawBufferPointer(rebasing: bytes[headerSize...]))
    }
  }

  /// Where a segment can be divided: behind so many bytes of blocks, as far as their lengths tell. The last one is its end.
  /// - Parameters:
  ///   - count: bytes of the segment.
  ///   - header: gives that of the block at an offset; `nil` where there is none.
  static func partition(_ count: Int, size: Int, header: (Int) -> Header?) -> [Int] {
    var ends: [Int] = []
    var (start, offset) = (0, 0)
    var next = header(0)
    while let block = next, block.count < count - offset - headerSize {
      offset += headerSize + block.count
      next = header(offset)
      // What is behind it is a block as well, or the rest would lose its beginning; and one that stands alone.
      guard offset - start >= size, count - offset > headerSize, let next, !next.isLeaning else { continue }
      ends.append(offset)
      start = offset
    }
    return ends + [count]
  }

  /// - Returns: how many bytes of records it has.
  private static func goodBlock(at offset: Int, of bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count - offset >= headerSize, word(offset, of: bytes) == mark else { return nil }
    let count = Int(word(offset + 4, of: bytes))
    guard count <= bytes.count - offset - headerSize else { return nil }
    let records = UnsafeRawBufferPointer(rebasing: bytes[offset + headerSize..<offset + headerSize + count])
    return checksum(records) ^ UInt64(count) == checksum(ofBlockAt: offset, of: bytes) ? count : nil
  }

  private static func checksum(ofBlockAt offset: Int, of bytes: UnsafeRawBufferPointer) -> UInt64 {
    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
  }

  private static func nextMark(after offset: Int, of bytes: UnsafeRawBufferPointer) -> Int? {
    let first = UInt8(truncatingIfNeeded: mark)
    var index = offset + 1
    while index + headerSize <= bytes.count {
      if bytes[index] == first, word(index, of: bytes) == mark { return index }
      index += 1
    }
    return nil
  }

  private static func word(_ offset: Int, of bytes: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// Against accidents, not against people: who can write the file can write its checksums. Four lanes of multiplications keep up with memory.
  static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    let factor: UInt64 = 0x9E37_79B9_7F4A_7C15
    var (a, b, c, d): (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)
    var index = 0
    func load(_ offset: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    func turned(_ word: UInt64) -> UInt64 { word << 29 | word >> 35 }
    while index + 32 <= bytes.count {
      a = turned((a ^ load(index)) &* factor)
      b = turned((b ^ load(index + 8)) &* factor)
      c = turned((c ^ load(index + 16)) &* factor)
      d = turned((d ^ load(index + 24)) &* factor)
      index += 32
    }
    var rest = (a &* 3) ^ turned(b &* 5) ^ turned(turned(c &* 7)) ^ (d &* 11)
    while index < bytes.count {
      rest = turned((rest ^ UInt64(bytes[index])) &* factor)
      index += 1
    }
    rest ^= rest >> 32
    return (rest &* factor) ^ (rest >> 29)
  }
}
