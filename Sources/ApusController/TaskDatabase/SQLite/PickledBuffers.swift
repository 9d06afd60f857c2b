import Foundation
import Transport

/// Message buffers as ipyparallel's SQLite databases hold them: a Python list of `bytes`, pickled.
///
/// Only the opcodes that such a list needs are read; everything else is refused, so nothing in a file can make anything run.
enum PickledBuffers {
  /// Bytes that `encode` makes of buffers, at most.
  static func encodedCount(_ buffers: ArraySlice<Frame>) -> Int { buffers.reduce(5) { $0 + $1.count + 9 } }

  /// Protocol 4, which every Python 3 reads. - Returns: `nil` for no buffers: the column is null then.
  static func encode(_ buffers: ArraySlice<Frame>) -> Data? {
    if buffers.isEmpty { return nil }
    var pickle = Data(capacity: encodedCount(buffers))
    pickle.append(contentsOf: [Code.proto, 4, Code.emptyList, Code.mark])
    for buffer in buffers {
      if let count = UInt32(exactly: buffer.count) {
        pickle.append(Code.bytes)
        withUnsafeBytes(of: count.littleEndian) { pickle.append(contentsOf: $0) }
      } else {
        pickle.append(Code.bytes8)
        withUnsafeBytes(of: UInt64(buffer.count).littleEndian) { pickle.append(contentsOf: $0) }
      }
      buffer.withUnsafeBytes { bytes in
        if let start = bytes.bindMemory(to: UInt8.self).baseAddress { pickle.append(start, count: bytes.count) }
      }
    }
    pickle.append(contentsOf: [Code.appends, Code.stop])
    return pickle
  }

  /// - Returns: `nil` if this is not the pickle of a list of bytes.
  static func decode(_ pickle: Data) -> [Frame]? {
    pickle.withUnsafeBytes { bytes in
      var reader = Reader(bytes: bytes)
      return reader.list()
    }
  }

  private enum Code {
    static let mark = UInt8(ascii: "(")
    static let stop = UInt8(ascii: ".")
    static let emptyList = UInt8(ascii: "]")
    static let append = UInt8(ascii: "a")
    static let appends = UInt8(ascii: "e")
    static let shortBytes = UInt8(ascii: "C")
    static let bytes = UInt8(ascii: "B")
    static let bytes8: UInt8 = 0x8E
    static let byteArray8: UInt8 = 0x96
    static let proto: UInt8 = 0x80
    static let frame: UInt8 = 0x95
    static let memoize: UInt8 = 0x94
    static let put = UInt8(ascii: "q")
    static let longPut = UInt8(ascii: "r")
    static let get = UInt8(ascii: "h")
    static let longGet = UInt8(ascii: "j")
  }

  private struct Reader {
    let bytes: UnsafeRawBufferPointer
    private var index = 0
    /// What has been read: the list comes first, then its elements.
    private var elements: [Frame] = []
    private var pending: [Frame] = []
    private var hasList = false
    private var isMarked = false
    /// `nil` is the list.
    private var memo: [Int: Frame?] = [:]

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func list() -> [Frame]? {
      while let code = number(1) {
        switch UInt8(truncatingIfNeeded: code) {
        case Code.proto: guard let version = number(1), version <= 5 else { return nil }
        case Code.frame: guard number(8) != nil else { return nil }
        case Code.emptyList:
          guard !hasList else { return nil }
          hasList = true
        case Code.mark:
          guard hasList, !isMarked, pending.isEmpty else { return nil }
          isMarked = true
        case Code.shortBytes: guard push(countedBy: 1) else { return nil }
        case Code.bytes: guard push(countedBy: 4) else { return nil }
        case Code.bytes8, Code.byteArray8: guard push(countedBy: 8) else { return nil }
        case Code.memoize: memo[memo.count] = .some(pending.last)
        case Code.put: guard remember(1) else { return nil }
        case Code.longPut: guard remember(4) else { return nil }
        case Code.get: guard recall(1) else { return nil }
        case Code.longGet: guard recall(4) else { return nil }
        case Code.append:
          guard hasList, !isMarked, pending.count == 1 else { return nil }
          elements += pending
          pending = []
        case Code.appends:
          guard isMarked else { return nil }
          elements += pending
          pending = []
          isMarked = false
        case Code.stop: return hasList && !isMarked && pending.isEmpty && index == bytes.count ? elements : nil
        default: return nil
        }
      }
      return nil
    }

    /// A little-endian number of that many bytes.
    private mutating func number(_ width: Int) -> Int? {
      guard bytes.count - index >= width else { return nil }
      var value: UInt64 = 0
      for offset in 0..<width { value |= UInt64(bytes[index + offset]) << (8 * UInt64(offset)) }
      index += width
      return Int(exactly: value)
    }

    private mutating func push(countedBy width: Int) -> Bool {
      guard hasList, let count = number(width), count <= bytes.count - index else { return false }
      pending.append(Frame(UnsafeRawBufferPointer(rebasing: bytes[index..<index + count])))
      index += count
      return true
    }

    private mutating func remember(_ width: Int) -> Bool {
      guard let slot = number(width) else { return false }
      memo[slot] = .some(pending.last)
      return true
    }

    private mutating func recall(_ width: Int) -> Bool {
      guard let slot = number(width), case .some(.some(let frame)) = memo[slot] else { return false }
      pending.append(frame)
      return true
    }
  }
}
