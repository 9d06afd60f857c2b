public import Transport

/// Reads what `MessagePackEncoder`, the Python package's `apus.msgpack`, or any other MessagePack library wrote.
///
/// The bytes may come from anywhere: lengths are checked before memory is taken for them, levels are counted, text must be UTF-8.
/// Numbers may have any width on the wire; integers are taken as floating point values, never the other way round. A typed array
/// is read as an array of any element type that can hold its numbers, and an ordinary array as an array of numbers. Of a map's
/// equal keys any one may be taken; keys that nobody asks for are passed over.
///
/// - Note: `codingPath` is empty within `init(from:)`; the errors that leave the decoder carry the whole path.
public struct MessagePackDecoder: Sendable {
  /// Values within values; deeper ones throw.
  public var maximumDepth = 200
  /// What `init(from:)` finds in `Decoder.userInfo`.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// - Throws: `DecodingError` (its `underlyingError` is a `MessagePackError` where the bytes are to blame), and whatever
  ///   `init(from:)` throws.
  public func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws -> T {
    try whole(type, MessagePackReader(bytes, self))
  }

  /// The structure is the first frame, large arrays are in the further ones. Arrays are copied once, out of their frame.
  public func decode<T: Decodable>(_ type: T.Type, from frames: [Frame]) throws -> T {
    try whole(type, MessagePackReader(frames, self))
  }

  private func whole<T: Decodable>(_ type: T.Type, _ reader: MessagePackReader) throws -> T {
    let value = try reader.next(type)
    guard reader.isAtEnd else {
      throw MessagePackError(.trailingBytes, at: reader.position, "more bytes after the value").decodingError(type)
    }
    return value
  }
}
