import Transport

/// The bytes of a typed array, in the structure or in a frame of their own.
struct RawElements {
  let kind: ElementKind
  let bytes: UnsafeRawBufferPointer
  /// Keeps the bytes alive when they are not the reader's.
  let frame: Frame?

  var count: Int { bytes.count / kind.stride }

  /// - Precondition: the kind is the element's; its count of bytes was checked when the array was read.
  func array<E: RawElement>(_: E.Type) -> [E] {
    defer { withExtendedLifetime(frame) {} }
    let count = count
    return [E](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let start = buffer.baseAddress, let source = bytes.baseAddress {
        UnsafeMutableRawPointer(start).copyMemory(from: source, byteCount: count * kind.stride)
      }
      initialized = count
    }
  }

  /// - Precondition: the type is an array of elements of this kind. Each `unsafeBitCast` is from a type to itself.
  func array<T>(as type: T.Type) -> T {
    let (id, known) = (ObjectIdentifier(T.self), RawArrayTypes.known)
    if id == known.doubles { return unsafeBitCast(array(Double.self), to: T.self) }
    if id == known.ints { return unsafeBitCast(array(Int.self), to: T.self) }
    if id == known.bytes { return unsafeBitCast(array(UInt8.self), to: T.self) }
    if id == known.floats { return unsafeBitCast(array(Float.self), to: T.self) }
    if id == known.int32s { return unsafeBitCast(array(Int32.self), to: T.self) }
    if id == known.bools { return unsafeBitCast(array(Bool.self), to: T.self) }
    if id == known.int64s { return unsafeBitCast(array(Int64.self), to: T.self) }
    if id == known.int16s { return unsafeBitCast(array(Int16.self), to: T.self) }
    if id == known.int8s { return unsafeBitCast(array(Int8.self), to: T.self) }
    if id == known.uints { return unsafeBitCast(array(UInt.self), to: T.self) }
    if id == known.uint64s { return unsafeBitCast(array(UInt64.self), to: T.self) }
    if id == known.uint32s { return unsafeBitCast(array(UInt32.self), to: T.self) }
    return unsafeBitCast(array(UInt16.self), to: T.self)
  }

  /// One element, from an array of its own kind or of any other that it can hold.
  @inline(__always) func element<E: RawElement & Decodable>(_ index: Int, _ type: E.Type, _ reader: MessagePackReader) throws -> E {
    guard E.kind == kind, index >= 0, index < count else { return try value(index, type, reader, depth: 0) }
    defer { withExtendedLifetime(frame) {} }
    return bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<E>.stride, as: E.self)
  }

  /// One element as whatever the type makes of a number: through a MessagePack of its own, which is slow and right.
  func value<T: Decodable>(_ index: Int, _ type: T.Type, _ reader: MessagePackReader, depth: Int) throws -> T {
    var position = 0
    return try MessagePackReader(packed(index), reader.coder).value(type, at: &position, depth: depth)
  }

  func level(_ index: Int, _ reader: MessagePackReader, depth: Int) throws(MessagePackError) -> MessagePackLevel {
    try MessagePackLevel(MessagePackReader(packed(index), reader.coder), at: 0, within: depth)
  }

  private func packed(_ index: Int) -> [UInt8] {
    defer { withExtendedLifetime(frame) {} }
    guard index >= 0, index < count else { return [] }
    let offset = index * kind.stride
    func element<E: BitwiseCopyable>(_: E.Type) -> E { bytes.loadUnaligned(fromByteOffset: offset, as: E.self) }
    func number<I: FixedWidthInteger & BitwiseCopyable>(_ header: UInt8, _ value: I) -> [UInt8] {
      [header] + withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
    switch kind {
    case .float64: return number(0xCB, element(UInt64.self))
    case .float32: return number(0xCA, element(UInt32.self))
    case .int64: return number(0xD3, element(Int64.self))
    case .int32: return number(0xD2, element(Int32.self))
    case .int16: return number(0xD1, element(Int16.self))
    case .int8: return number(0xD0, element(Int8.self))
    case .uint64: return number(0xCF, element(UInt64.self))
    case .uint32: return number(0xCE, element(UInt32.self))
    case .uint16: return number(0xCD, element(UInt16.self))
    case .uint8: return number(0xCC, element(UInt8.self))
    case .bool: return [element(Bool.self) ? 0xC3 : 0xC2]
    }
  }
}

extension MessagePackReader {
  /// The typed array or the bytes at `position`; nil (and `position` unchanged) when there is something else.
  func rawElements(_ position: inout Int) throws(MessagePackError) -> RawElements? {
    let header = try header(position)
    let start = position
    let (count, width): (Int, Int)
    switch header {
    case 0xC4, 0xC7: (count, width) = (Int(try big(start + 1, UInt8.self)), 1)
    case 0xC5, 0xC8: (count, width) = (Int(try big(start + 1, UInt16.self)), 2)
    case 0xC6, 0xC9: (count, width) = (Int(try big(start + 1, UInt32.self)), 4)
    case 0xD4...0xD8: (count, width) = (1 << Int(header - 0xD4), 0)
    default: return nil
    }
    guard header > 0xC6 else {
      let body = try slice(start + 1 + width, count, of: start)
      position = start + 1 + width + count
      return RawElements(kind: .uint8, bytes: body, frame: nil)
    }
    let type = try big(start + 1 + width, UInt8.self)
    let body = try slice(start + 2 + width, count, of: start)
    if type == ElementKind.referenceType {
      let elements = try reference(body, at: start)
      position = start + 2 + width + count
      return elements
    }
    guard let kind = ElementKind(rawValue: type) else { return nil }
    try check(kind, body, at: start)
    position = start + 2 + width + count
    return RawElements(kind: kind, bytes: body, frame: nil)
  }

  private func slice(_ start: Int, _ count: Int, of value: Int) throws(MessagePackError) -> UnsafeRawBufferPointer {
    guard start <= bytes.count, count <= bytes.count - start else { throw truncated(value) }
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
  }

  private func reference(_ body: UnsafeRawBufferPointer, at offset: Int) throws(MessagePackError) -> RawElements {
    guard body.count == ElementKind.referenceCount, let kind = ElementKind(rawValue: body[0]), body[1] == 0, body[2] == 0,
      body[3] == 0,
      let count = Int(exactly: UInt64(littleEndian: body.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    else { throw MessagePackError(.frame, at: offset, "a malformed reference to a frame") }
    let index = Int(UInt32(littleEndian: body.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    let frame = try frame(index, count: count, referredToAt: offset)
    let bytes = frame.withUnsafeBytes { $0 }
    try check(kind, bytes, at: offset)
    return RawElements(kind: kind, bytes: bytes, frame: frame)
  }

  private func check(_ kind: ElementKind, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(MessagePackError) {
    guard bytes.count % kind.stride == 0 else {
      throw MessagePackError(.malformedArray, at: offset, "\(bytes.count) bytes of elements of \(kind.stride) bytes")
    }
    // A Bool of any other byte would not be a value of Swift's.
    guard kind != .bool || bytes.allSatisfy({ $0 <= 1 }) else {
      throw MessagePackError(.malformedArray, at: offset, "a Boolean that is neither 0 nor 1")
    }
  }
}
