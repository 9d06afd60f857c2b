public import Transport

/// Values one behind the other, as the arguments of a call are.
///
/// For a single value use `MessagePackDecoder`. A reader belongs to one task.
public final class MessagePackReader {
  /// The structure. Valid as long as `storage` is held: neither the bytes of a frame nor the native storage of an array move, and
  /// nobody else can change them (a frame is immutable; an array with two references is copied before it is changed).
  let bytes: UnsafeRawBufferPointer
  private let storage: Storage
  /// All frames, the structure's first; empty when the structure came as an array.
  private let frames: [Frame]
  /// The offset of the reference that a frame was first asked for by, 0 for none (a reference is never at 0 and asked for by
  /// nothing: -1).
  private var referrers: [Int] = []
  let coder: MessagePackDecoder
  /// Where the next value begins, in bytes from the start.
  @exclusivity(unchecked) public private(set) var position = 0

  private enum Storage {
    case array([UInt8])
    case frame(Frame)
  }

  public init(_ bytes: [UInt8], _ coder: MessagePackDecoder = MessagePackDecoder()) {
    self.storage = .array(bytes)
    self.bytes = bytes.withUnsafeBytes { $0 }
    self.frames = []
    self.coder = coder
  }

  /// The structure is the first frame, large arrays are in the further ones.
  public init(_ frames: [Frame], _ coder: MessagePackDecoder = MessagePackDecoder()) {
    let structure = frames.first ?? .empty
    self.storage = .frame(structure)
    self.bytes = structure.withUnsafeBytes { $0 }
    self.frames = frames
    self.coder = coder
  }

  /// Whether every value was read.
  public var isAtEnd: Bool { position >= bytes.count }

  /// - Throws: `DecodingError`, or whatever the type's `init(from:)` throws; the reader then stays in front of the value.
  public func next<T: Decodable>(_ type: T.Type) throws -> T {
    var end = position
    do {
      let value = try value(type, at: &end, depth: 0)
      position = end
      return value
    } catch let error as MessagePackError {
      throw error.decodingError(type)
    }
  }

  /// Passes over one value.
  public func skip() throws {
    var end = position
    do throws(MessagePackError) { try skip(&end) } catch { throw error.decodingError(Void.self) }
    position = end
  }

  /// The frame that a reference at `offset` stands for. Only one place may refer to a frame: else a few bytes could ask for the
  /// same large array a thousand times.
  func frame(_ index: Int, count: Int, referredToAt offset: Int) throws(MessagePackError) -> Frame {
    guard index > 0, index < frames.count else {
      throw MessagePackError(.frame, at: offset, "a reference to frame \(index) of \(frames.count)")
    }
    guard frames[index].count == count else {
      throw MessagePackError(.frame, at: offset, "frame \(index) has \(frames[index].count) bytes, not \(count)")
    }
    if referrers.isEmpty { referrers = Array(repeating: -1, count: frames.count) }
    guard referrers[index] == -1 || referrers[index] == offset else {
      throw MessagePackError(.frame, at: offset, "a second reference to frame \(index)")
    }
    referrers[index] = offset
    return frames[index]
  }

  // MARK: any value

  /// - Parameter depth: levels around the value.
  func value<T: Decodable>(_ type: T.Type, at position: inout Int, depth: Int) throws -> T {
    // As in the writer: each `unsafeBitCast` is from a type to itself.
    if T.self == Int.self { return unsafeBitCast(try integer(&position, Int.self), to: T.self) }
    if T.self == Double.self { return unsafeBitCast(try double(&position), to: T.self) }
    if T.self == String.self { return unsafeBitCast(try text(&position), to: T.self) }
    if T.self == Bool.self { return unsafeBitCast(try bool(&position), to: T.self) }
    // An array is one pointer. (No `T?` here: its metadata would be looked up for every value.)
    if MemoryLayout<T>.size == 8, let kind = RawArrayTypes.known.kind(of: ObjectIdentifier(T.self)) {
      var end = position
      if let raw = try rawElements(&end), raw.kind == kind {
        position = end
        return raw.array(as: type)
      }
    }
    let level = try MessagePackLevel(self, at: position, within: depth)
    let value = try T(from: level)
    position = try level.end()
    return value
  }
}
