/// Why bytes are not the MessagePack of the value asked for, or why a value has none.
///
/// It is the `underlyingError` of the `DecodingError` or `EncodingError` that a coder throws.
public struct MessagePackError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure; more may come.
  public struct Code: Hashable, Sendable {
    enum Word: Hashable, Sendable {
      case truncated, reserved, mismatch, outOfRange, illFormedText, tooDeep, trailingBytes, malformedArray, frame, tooLarge, misuse
    }
    let word: Word

    /// The bytes end within a value, or promise more than there are.
    public static let truncated = Code(word: .truncated)
    /// The byte 0xC1, which starts no value.
    public static let reserved = Code(word: .reserved)
    /// A value of another type than the one asked for.
    public static let mismatch = Code(word: .mismatch)
    /// A number that the type asked for cannot hold.
    public static let outOfRange = Code(word: .outOfRange)
    /// Text that is not UTF-8.
    public static let illFormedText = Code(word: .illFormedText)
    /// More levels than the coder's `maximumDepth`.
    public static let tooDeep = Code(word: .tooDeep)
    /// Bytes behind the value.
    public static let trailingBytes = Code(word: .trailingBytes)
    /// A typed array whose bytes are no whole number of elements, or no elements of its kind.
    public static let malformedArray = Code(word: .malformedArray)
    /// A reference to a frame that is not there, has another size, or is referred to from another place already.
    public static let frame = Code(word: .frame)
    /// More than the 4 GiB (or 2³² elements) that a header can announce. Large arrays fit when they go out of band.
    public static let tooLarge = Code(word: .tooLarge)
    /// A type's `encode(to:)` broke the rules: two values for one container, or two kinds of container.
    public static let misuse = Code(word: .misuse)
  }

  public let code: Code
  /// Bytes from the start of the structure.
  public let offset: Int
  public let reason: String

  init(_ code: Code, at offset: Int, _ reason: String) {
    self.code = code
    self.offset = offset
    self.reason = reason
  }

  public var description: String { "\(reason) at byte \(offset)" }

  /// As the error that `Codable` code expects.
  func decodingError(_ type: Any.Type, path: [any CodingKey] = []) -> DecodingError {
    let context = DecodingError.Context(codingPath: path, debugDescription: description, underlyingError: self)
    guard code == .mismatch else { return .dataCorrupted(context) }
    return isNil ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  private var isNil: Bool { reason.hasSuffix("found nil") }
}
