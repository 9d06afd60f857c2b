public import Transport

/// Writes `Encodable` values as MessagePack, the form in which Swift values travel (codec `msgpack`; the bytes are described in
/// docs/codecs.md).
///
/// Every header is the smallest that fits, so equal values of one type have equal bytes. Arrays of numbers, bytes and `Bool` are
/// not encoded element by element: they are copied as they lie in memory, and Python sees them as NumPy arrays. `[UInt8]` is `bin`.
///
///     let bytes = try MessagePackEncoder().encode(["mean": 0.5])
///     let frames = try MessagePackEncoder().encode(measurements, outOfBand: 65_536)
///
/// - Note: `codingPath` is empty within `encode(to:)`; the errors that leave the encoder carry the whole path.
public struct MessagePackEncoder: Sendable {
  /// Values within values; deeper ones throw, so that a cycle does not overflow the stack.
  public var maximumDepth = 200
  /// What `encode(to:)` finds in `Encoder.userInfo`.
  public var userInfo: [CodingUserInfoKey: any Sendable] = [:]

  public init() {}

  /// - Throws: `EncodingError` (its `underlyingError` is a `MessagePackError`) for what has no MessagePack, and whatever
  ///   `encode(to:)` throws.
  public func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
    let writer = MessagePackWriter(self)
    try writer.append(value)
    return try writer.bytes()
  }

  /// Leaves large arrays where they are: the first frame is the structure, each further one lends the memory of an array of
  /// numbers or bytes of at least `threshold` bytes, without copying it.
  ///
  /// - Parameter threshold: in bytes; smaller arrays stay in the structure.
  public func encode<T: Encodable>(_ value: T, outOfBand threshold: Int) throws -> [Frame] {
    let writer = MessagePackWriter(self, outOfBand: threshold)
    try writer.append(value)
    return try writer.frames()
  }
}
