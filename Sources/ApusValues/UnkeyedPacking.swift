/// Elements one behind the other, as an array. Every copy writes to the same array: its count is in its header.
struct UnkeyedPacking: UnkeyedEncodingContainer {
  let writer: MessagePackWriter
  /// Where the array's header is.
  let header: Int

  var codingPath: [any CodingKey] { [] }
  var count: Int { writer.elementCount(at: header) }

  func encodeNil() throws {
    writer.enlarge(at: header)
    writer.append(nil: ())
  }

  func encode(_ value: Bool) throws {
    writer.enlarge(at: header)
    writer.append(bool: value)
  }

  func encode(_ value: String) throws {
    writer.enlarge(at: header)
    try writer.append(text: value)
  }

  func encode(_ value: Double) throws {
    writer.enlarge(at: header)
    writer.append(float: value)
  }

  func encode(_ value: Float) throws {
    writer.enlarge(at: header)
    writer.append(float: value)
  }

  func encode(_ value: Int) throws {
    writer.enlarge(at: header)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int8) throws {
    writer.enlarge(at: header)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int16) throws {
    writer.enlarge(at: header)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int32) throws {
    writer.enlarge(at: header)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int64) throws {
    writer.enlarge(at: header)
    writer.append(integer: value)
  }

  func encode(_ value: UInt) throws {
    writer.enlarge(at: header)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt8) throws {
    writer.enlarge(at: header)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt16) throws {
    writer.enlarge(at: header)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt32) throws {
    writer.enlarge(at: header)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt64) throws {
    writer.enlarge(at: header)
    writer.append(unsigned: value)
  }

  func encode<T: Encodable>(_ value: T) throws {
    let index = count
    writer.enlarge(at: header)
    do { try writer.append(value) } catch { throw CodingPath.located(error, at: IndexKey(index), type: T.self) }
  }

  /// Foundation's `Data` comes this way: the bytes become `bin` when nothing else is in the array.
  func encode<Bytes: Sequence>(contentsOf bytes: Bytes) throws where Bytes.Element == UInt8 {
    let isWhole = try bytes.withContiguousStorageIfAvailable {
      try writer.replaceEmptyArray(at: header, with: UnsafeRawBufferPointer($0))
    }
    guard isWhole != true else { return }
    for byte in bytes { try encode(byte) }
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    child().container(keyedBy: type)
  }

  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { child().unkeyedContainer() }

  func superEncoder() -> any Encoder { child() }

  private func child() -> ValuePacking {
    writer.enlarge(at: header)
    return ValuePacking(writer: writer.child(), start: 0, type: Void.self)
  }
}
