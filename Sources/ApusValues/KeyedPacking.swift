/// The members of one value, as a map. Every copy writes to the same map: its count is in its header.
struct KeyedPacking<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let writer: MessagePackWriter
  /// Where the map's header is.
  let header: Int
  /// The members are those of a dictionary with integers as keys: they stay integers.
  let hasIntegerKeys: Bool

  var codingPath: [any CodingKey] { [] }

  @inline(__always) private func append(_ key: Key) throws {
    writer.enlarge(at: header)
    if hasIntegerKeys, let number = key.intValue { return writer.append(integer: Int64(number)) }
    try writer.append(text: key.stringValue)
  }

  func encodeNil(forKey key: Key) throws {
    try append(key)
    writer.append(nil: ())
  }

  func encode(_ value: Bool, forKey key: Key) throws {
    try append(key)
    writer.append(bool: value)
  }

  func encode(_ value: String, forKey key: Key) throws {
    try append(key)
    try writer.append(text: value)
  }

  func encode(_ value: Double, forKey key: Key) throws {
    try append(key)
    writer.append(float: value)
  }

  func encode(_ value: Float, forKey key: Key) throws {
    try append(key)
    writer.append(float: value)
  }

  func encode(_ value: Int, forKey key: Key) throws {
    try append(key)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int8, forKey key: Key) throws {
    try append(key)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int16, forKey key: Key) throws {
    try append(key)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int32, forKey key: Key) throws {
    try append(key)
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int64, forKey key: Key) throws {
    try append(key)
    writer.append(integer: value)
  }

  func encode(_ value: UInt, forKey key: Key) throws {
    try append(key)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt8, forKey key: Key) throws {
    try append(key)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt16, forKey key: Key) throws {
    try append(key)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt32, forKey key: Key) throws {
    try append(key)
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt64, forKey key: Key) throws {
    try append(key)
    writer.append(unsigned: value)
  }

  func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
    try append(key)
    do { try writer.append(value) } catch { throw CodingPath.located(error, at: key, type: T.self) }
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
    ValuePacking(writer: child(for: key), start: 0, type: Void.self).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    ValuePacking(writer: child(for: key), start: 0, type: Void.self).unkeyedContainer()
  }

  func superEncoder() -> any Encoder {
    writer.enlarge(at: header)
    do { try writer.append(text: "super") } catch { writer.failure = writer.failure ?? error }
    return ValuePacking(writer: writer.child(), start: 0, type: Void.self)
  }

  func superEncoder(forKey key: Key) -> any Encoder { ValuePacking(writer: child(for: key), start: 0, type: Void.self) }

  private func child(for key: Key) -> MessagePackWriter {
    do { try append(key) } catch { writer.failure = writer.failure ?? error }
    return writer.child()
  }
}
