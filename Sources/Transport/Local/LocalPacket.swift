import CZeroMQ
import Glibc

/// How a message lies in a packet of a `LocalSocket`.
///
/// A head: the number of frames (two bytes), that of the descriptors beside the packet (one), and a zero. Then the length of each
/// frame in eight bytes, whose highest bit says that it is the memory behind the next descriptors; the seven bits below say how many these
/// are, less one. All numbers are little-endian. Then the bytes of the others. What is too long for a packet is the same, written into shared memory: its packet is a head of no
/// frames, and the first descriptor is that memory's.
enum LocalPacket {
  static let largest = 96 << 10
  static let mostFrames = Int(UInt16.max)
  static let mostMemories = 64
  private static let headSize = 4
  private static let lengthSize = 8
  private static let sharedMark: UInt64 = 1 << 63
  private static let piecesShift: UInt64 = 56

  struct Writer: ~Copyable {
    private(set) var memories: [SharedMemory] = []
    private(set) var descriptorCount = 0
    private(set) var size: Int
    private var lengths: [UInt64] = []

    init(_ count: Int) {
      size = LocalPacket.headSize + LocalPacket.lengthSize * count
      lengths.reserveCapacity(count)
    }

    mutating func add(_ memory: SharedMemory) {
      memories.append(memory)
      descriptorCount += memory.descriptors.count
      let pieces = UInt64(memory.descriptors.count - 1) << LocalPacket.piecesShift
      lengths.append(UInt64(memory.count) | pieces | LocalPacket.sharedMark)
    }

    mutating func add(inline count: Int) {
      size += count
      lengths.append(UInt64(count))
    }

    private func writeHead(into bytes: inout [UInt8]) {
      bytes.removeAll(keepingCapacity: true)
      bytes.append(UInt8(truncatingIfNeeded: lengths.count))
      bytes.append(UInt8(truncatingIfNeeded: lengths.count >> 8))
      bytes.append(UInt8(descriptorCount))
      bytes.append(0)
      for length in lengths { Swift.withUnsafeBytes(of: length.littleEndian) { bytes.append(contentsOf: $0) } }
    }

    borrowing func write(_ frames: [Frame], into bytes: inout [UInt8]) {
      writeHead(into: &bytes)
      for (frame, length) in zip(frames, lengths) where length & LocalPacket.sharedMark == 0 {
        frame.withUnsafeBytes { bytes.append(contentsOf: $0) }
      }
    }

    /// The whole message becomes shared memory, and the packet a head that points there.
    /// - Returns: false if there is no memory to be had.
    mutating func pack(_ frames: [Frame], into bytes: inout [UInt8]) -> Bool {
      writeHead(into: &bytes)
      let inline = zip(frames, lengths).filter { $0.1 & LocalPacket.sharedMark == 0 }.map(\.0)
      let pack = bytes.withUnsafeBytes { head in SharedMemory(copying: [head] + inline.map(\.storage)) }
      withExtendedLifetime(inline) {}
      guard let pack else { return false }
      memories.insert(pack, at: 0)
      descriptorCount += pack.descriptors.count
      bytes.removeAll(keepingCapacity: true)
      bytes.append(contentsOf: [0, 0, UInt8(descriptorCount), 0])
      return true
    }
  }

  /// Descriptors that came beside a packet: each is taken once, and what is left is closed.
  struct Memories: ~Copyable {
    private var left: Slice<UnsafeMutableBufferPointer<Int32>>
    let passOn: Bool

    init(owning descriptors: Slice<UnsafeMutableBufferPointer<Int32>>, passOn: Bool) {
      left = descriptors
      self.passOn = passOn
    }

    var count: Int { left.count }
    mutating func next() -> Int32? { left.popFirst() }

    /// - Returns: `nil` if so many have not come.
    mutating func next(_ count: Int) -> [Int32]? {
      guard left.count >= count else { return nil }
      defer { left = left.dropFirst(count) }
      return [Int32](left.prefix(count))
    }

    deinit { for descriptor in left { close(descriptor) } }
  }

  /// - Returns: `nil` for what is no message.
  static func frames(_ bytes: UnsafeRawBufferPointer, _ memories: inout Memories) -> [Frame]? {
    guard bytes.count >= headSize, bytes[3] == 0, Int(bytes[2]) == memories.count else { return nil }
    if bytes[0] != 0 || bytes[1] != 0 { return frames(bytes, of: nil, &memories) }
    guard bytes.count == headSize, let packed = memories.next(), let (inner, mapping) = SharedMemory.map(owning: packed),
      inner.count >= headSize, inner[3] == 0, Int(inner[2]) == memories.count
    else { return nil }
    return frames(UnsafeRawBufferPointer(inner), of: mapping, &memories)
  }

  /// - Parameter mapping: whose bytes these are: frames of some size are lent from it, and not copied.
  private static func frames(_ bytes: UnsafeRawBufferPointer, of mapping: SharedMemory.Mapping?, _ memories: inout Memories)
    -> [Frame]?
  {
    let count = Int(bytes[0]) | Int(bytes[1]) << 8
    var position = headSize + lengthSize * count
    guard count > 0, bytes.count >= position else { return nil }
    var frames: [Frame] = []
    frames.reserveCapacity(count + 1)
    for index in 0..<count {
      let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: headSize + lengthSize * index, as: UInt64.self))
      if word & sharedMark != 0 {
        let length = Int(word & ((1 << piecesShift) - 1))
        let pieces = Int((word & ~sharedMark) >> piecesShift) + 1
        guard let descriptors = memories.next(pieces),
          let frame = SharedMemory.frame(owning: descriptors, count: length, keepsDescriptors: memories.passOn)
        else { return nil }
        frames.append(frame)
        continue
      }
      guard let length = Int(exactly: word), bytes.count - position >= length else { return nil }
      let part = UnsafeRawBufferPointer(rebasing: bytes[position..<position + length])
      if let mapping, length >= lentSize {
        frames.append(SharedMemory.lend(UnsafeMutableRawBufferPointer(mutating: part), of: mapping))
      } else {
        frames.append(Frame(shared: part))
      }
      position += length
    }
    return position == bytes.count && memories.count == 0 ? frames : nil
  }

  private static let lentSize = 16 << 10
}
