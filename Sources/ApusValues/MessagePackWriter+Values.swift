import Transport

extension MessagePackWriter {
  /// - Throws: `EncodingError`, or whatever the type's `encode(to:)` throws.
  public func append<T: Encodable>(_ value: T) throws {
    // Metatypes are compared because a cast (`value as? [Double]`) costs a hundred times as much. Each `unsafeBitCast` is from a
    // type to itself.
    if T.self == Int.self { return append(integer: Int64(unsafeBitCast(value, to: Int.self))) }
    if T.self == Double.self { return append(float: unsafeBitCast(value, to: Double.self)) }
    if T.self == String.self { return try append(text: unsafeBitCast(value, to: String.self)) }
    if T.self == Bool.self { return append(bool: unsafeBitCast(value, to: Bool.self)) }
    // An array is one pointer: other sizes need not be compared with twelve metatypes.
    if MemoryLayout<T>.size == 8, try appendArray(value) { return }
    guard depth < coder.maximumDepth else { throw tooDeep(value) }
    let start = count
    depth += 1
    do {
      try value.encode(to: ValuePacking(writer: self, start: start, type: T.self))
    } catch {
      failure = failure ?? error
      throw error
    }
    depth -= 1
    // A type that writes nothing is an empty map, as a type without members is.
    if count == start { append(byte: 0x80) }
  }

  private func appendArray<T>(_ value: T) throws -> Bool {
    let (id, known) = (ObjectIdentifier(T.self), RawArrayTypes.known)
    if id == known.doubles { return try append(elements: unsafeBitCast(value, to: [Double].self)) }
    if id == known.ints { return try append(elements: unsafeBitCast(value, to: [Int].self)) }
    if id == known.bytes { return try append(elements: unsafeBitCast(value, to: [UInt8].self)) }
    if id == known.floats { return try append(elements: unsafeBitCast(value, to: [Float].self)) }
    if id == known.int32s { return try append(elements: unsafeBitCast(value, to: [Int32].self)) }
    if id == known.bools { return try append(elements: unsafeBitCast(value, to: [Bool].self)) }
    if id == known.int64s { return try append(elements: unsafeBitCast(value, to: [Int64].self)) }
    if id == known.int16s { return try append(elements: unsafeBitCast(value, to: [Int16].self)) }
    if id == known.int8s { return try append(elements: unsafeBitCast(value, to: [Int8].self)) }
    if id == known.uints { return try append(elements: unsafeBitCast(value, to: [UInt].self)) }
    if id == known.uint64s { return try append(elements: unsafeBitCast(value, to: [UInt64].self)) }
    if id == known.uint32s { return try append(elements: unsafeBitCast(value, to: [UInt32].self)) }
    if id == known.uint16s { return try append(elements: unsafeBitCast(value, to: [UInt16].self)) }
    return false
  }

  // MARK: scalars

  func append(nil: Void) { append(byte: 0xC0) }
  func append(bool value: Bool) { append(byte: value ? 0xC3 : 0xC2) }
  func append(float value: Double) { append(0xCB, value.bitPattern) }
  func append(float value: Float) { append(0xCA, value.bitPattern) }

  func append(integer value: Int64) {
    if value >= 0 { return append(unsigned: UInt64(value)) }
    if value >= -32 {
      append(byte: UInt8(truncatingIfNeeded: value))
    } else if value >= Int64(Int8.min) {
      append(0xD0, Int8(truncatingIfNeeded: value))
    } else if value >= Int64(Int16.min) {
      append(0xD1, Int16(truncatingIfNeeded: value))
    } else if value >= Int64(Int32.min) {
      append(0xD2, Int32(truncatingIfNeeded: value))
    } else {
      append(0xD3, value)
    }
  }

  func append(unsigned value: UInt64) {
    if value < 0x80 {
      append(byte: UInt8(truncatingIfNeeded: value))
    } else if value <= UInt64(UInt8.max) {
      append(0xCC, UInt8(truncatingIfNeeded: value))
    } else if value <= UInt64(UInt16.max) {
      append(0xCD, UInt16(truncatingIfNeeded: value))
    } else if value <= UInt64(UInt32.max) {
      append(0xCE, UInt32(truncatingIfNeeded: value))
    } else {
      append(0xCF, value)
    }
  }

  func append(text: String) throws {
    var text = text
    try text.withUTF8 { utf8 in
      if utf8.count < 32 {
        append(byte: 0xA0 | UInt8(truncatingIfNeeded: utf8.count))
      } else {
        try append(count: utf8.count, 0xD9, 0xDA, 0xDB)
      }
      append(raw: UnsafeRawBufferPointer(utf8))
    }
  }

  /// A count of bytes in the smallest of three headers.
  private func append(count: Int, _ one: UInt8, _ two: UInt8, _ four: UInt8) throws {
    if count <= Int(UInt8.max) {
      append(one, UInt8(truncatingIfNeeded: count))
    } else if count <= Int(UInt16.max) {
      append(two, UInt16(truncatingIfNeeded: count))
    } else if count <= Int(UInt32.max) {
      append(four, UInt32(truncatingIfNeeded: count))
    } else {
      throw invalid(count, .tooLarge, "\(count) bytes in one value, more than a header can announce")
    }
  }

  // MARK: arrays

  /// - Returns: true.
  private func append<E: RawElement>(elements: [E]) throws -> Bool {
    try elements.withUnsafeBytes { bytes in
      if let sidecar, bytes.count >= sidecar.threshold {
        try refer(to: bytes, of: ArrayOwner(elements), kind: E.kind, in: sidecar)
        return
      }
      try append(header: E.kind, count: bytes.count)
      if bytes.count >= Self.largeArray {
        splices.append(Splice(position: count, content: .array(bytes, owner: ArrayOwner(elements))))
      } else {
        append(raw: bytes)
      }
    }
    return true
  }

  func append(header kind: ElementKind, count: Int) throws {
    guard kind != .uint8 else { return try append(count: count, 0xC4, 0xC5, 0xC6) }
    switch count {
    case 1: append(byte: 0xD4)
    case 2: append(byte: 0xD5)
    case 4: append(byte: 0xD6)
    case 8: append(byte: 0xD7)
    case 16: append(byte: 0xD8)
    default: try append(count: count, 0xC7, 0xC8, 0xC9)
    }
    append(byte: kind.rawValue)
  }

  private func refer(to bytes: UnsafeRawBufferPointer, of owner: AnyObject, kind: ElementKind, in sidecar: Sidecar) throws {
    sidecar.frames.append(
      Frame(lending: UnsafeMutableRawBufferPointer(mutating: bytes), owner: Unmanaged.passRetained(owner).toOpaque()) { _, owner in
        guard let owner else { return }
        Unmanaged<AnyObject>.fromOpaque(owner).release()
      })
    guard let index = UInt32(exactly: sidecar.frames.count) else { throw invalid(bytes.count, .tooLarge, "more than 2³² frames") }
    append(byte: 0xD8)
    append(byte: ElementKind.referenceType)
    reserve(ElementKind.referenceCount)
    append(kind.rawValue, UInt16(0))
    append(byte: 0)
    withUnsafeBytes(of: index.littleEndian) { append(raw: $0) }
    withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { append(raw: $0) }
  }

  // MARK: containers

  /// Opens a container of the family `fixed` (0x80 map, 0x90 array), or finds the one that the same encoder opened before.
  func open(_ fixed: UInt8, at start: Int) -> Int {
    if count == start {
      append(byte: fixed)
    } else if !isHeader(at: start, of: fixed) {
      fail(.misuse, "a container of another kind was opened before")
    }
    return start
  }

  private func isHeader(at position: Int, of fixed: UInt8) -> Bool {
    guard let byte = byte(at: position) else { return false }
    return fixed == 0x80 ? byte & 0xF0 == 0x80 || byte == 0xDE || byte == 0xDF : byte & 0xF0 == 0x90 || byte == 0xDC || byte == 0xDD
  }

  /// One element more in the container whose header is at `position`. No container within it is being written at this time: those
  /// that outlive a call (nested ones) are writers of their own.
  @inline(__always) func enlarge(at position: Int) {
    guard let header = byte(at: position), (0x80..<0xA0).contains(header), header & 0x0F < 15 else {
      return enlargeWide(at: position)
    }
    memory.storeBytes(of: header &+ 1, toByteOffset: position, as: UInt8.self)
  }

  @inline(never) private func enlargeWide(at position: Int) {
    switch byte(at: position) {
    case 0x8F, 0x9F:
      let header: UInt8 = byte(at: position) == 0x8F ? 0xDE : 0xDC
      widen(at: position + 1, by: 2)
      replace(at: position, with: header)
      replace(at: position + 1, with: UInt16(16))
    case 0xDE, 0xDC:
      let elements = number(at: position + 1, as: UInt16.self)
      guard elements == .max else { return replace(at: position + 1, with: elements + 1) }
      let header: UInt8 = byte(at: position) == 0xDE ? 0xDF : 0xDD
      widen(at: position + 3, by: 2)
      replace(at: position, with: header)
      replace(at: position + 1, with: UInt32(65_536))
    case 0xDF, 0xDD:
      let elements = number(at: position + 1, as: UInt32.self)
      guard elements < .max else { return fail(.tooLarge, "more than 2³² elements") }
      replace(at: position + 1, with: elements + 1)
    default: fail(.misuse, "a container was used after the value it belongs to was finished")
    }
  }

  /// Bytes instead of an array without elements.
  ///
  /// - Returns: false when the array has elements.
  func replaceEmptyArray(at position: Int, with bytes: UnsafeRawBufferPointer) throws -> Bool {
    guard byte(at: position) == 0x90, position == count - 1 else { return false }
    removeLast()
    try append(header: .uint8, count: bytes.count)
    append(raw: bytes)
    return true
  }

  func elementCount(at position: Int) -> Int {
    switch byte(at: position) {
    case 0xDC, 0xDE: Int(number(at: position + 1, as: UInt16.self))
    case 0xDD, 0xDF: Int(number(at: position + 1, as: UInt32.self))
    case let byte: Int((byte ?? 0) & 0x0F)
    }
  }

  // MARK: errors

  /// The writer is unusable from here on: a half-written value cannot be taken back.
  func invalid(_ value: Any, _ code: MessagePackError.Code, _ reason: String) -> EncodingError {
    let cause = MessagePackError(code, at: count, reason)
    let error = EncodingError.invalidValue(
      value, .init(codingPath: [], debugDescription: cause.description, underlyingError: cause))
    failure = failure ?? error
    return error
  }

  func tooDeep(_ value: Any) -> EncodingError { invalid(value, .tooDeep, "more than \(coder.maximumDepth) levels") }

  func fail(_ code: MessagePackError.Code, _ reason: String) { _ = invalid((), code, reason) }
}

/// Keeps an array's storage alive while somebody reads it through a pointer.
///
/// Proof for the pointers that outlive `withUnsafeBytes`: an `[E]` of `BitwiseCopyable` elements is native storage here (nothing
/// is bridged without Objective-C), which never moves; and as long as this reference exists no holder is the only one, so whoever
/// changes the array changes a copy.
final class ArrayOwner<E: RawElement> {
  private let elements: [E]
  init(_ elements: [E]) { self.elements = elements }
}
