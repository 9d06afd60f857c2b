#if _endian(big) || !_pointerBitWidth(_64)
  #error("Typed arrays travel as they lie in memory: little endian, Int of 64 bits.")
#endif

/// What a typed array consists of. The raw value is the extension type of the array on the wire (see docs/codecs.md).
enum ElementKind: UInt8, CaseIterable {
  case float64 = 1
  case float32 = 2
  case int64 = 3
  case int32 = 4
  case int16 = 5
  case int8 = 6
  case uint64 = 7
  case uint32 = 8
  case uint16 = 9
  /// Within the structure bytes travel as `bin`; this kind stands in references to frames only.
  case uint8 = 10
  case bool = 11

  /// The extension type of a reference to a frame beside the structure.
  static let referenceType: UInt8 = 16
  /// Kind, three zero bytes, index of the frame (4 bytes), its count of bytes (8 bytes).
  static let referenceCount = 16

  /// Bytes an element.
  var stride: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .int16, .uint16: 2
    case .int8, .uint8, .bool: 1
    }
  }
}

/// A value whose arrays are copied as they lie in memory.
protocol RawElement: BitwiseCopyable {
  static var kind: ElementKind { get }
}

extension Double: RawElement { static var kind: ElementKind { .float64 } }
extension Float: RawElement { static var kind: ElementKind { .float32 } }
extension Int: RawElement { static var kind: ElementKind { .int64 } }
extension Int64: RawElement { static var kind: ElementKind { .int64 } }
extension Int32: RawElement { static var kind: ElementKind { .int32 } }
extension Int16: RawElement { static var kind: ElementKind { .int16 } }
extension Int8: RawElement { static var kind: ElementKind { .int8 } }
extension UInt: RawElement { static var kind: ElementKind { .uint64 } }
extension UInt64: RawElement { static var kind: ElementKind { .uint64 } }
extension UInt32: RawElement { static var kind: ElementKind { .uint32 } }
extension UInt16: RawElement { static var kind: ElementKind { .uint16 } }
extension UInt8: RawElement { static var kind: ElementKind { .uint8 } }
extension Bool: RawElement { static var kind: ElementKind { .bool } }
