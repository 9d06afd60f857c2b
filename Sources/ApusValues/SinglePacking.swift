/// The one value that stands for another one.
struct SinglePacking: SingleValueEncodingContainer {
  let writer: MessagePackWriter
  let start: Int

  var codingPath: [any CodingKey] { [] }

  /// Two values in the place of one would shift everything behind them.
  @inline(__always) private func check() throws {
    guard writer.count == start else { throw writer.invalid((), .misuse, "a second value for a single value container") }
  }

  func encodeNil() throws {
    try check()
    writer.append(nil: ())
  }

  func encode(_ value: Bool) throws {
    try check()
    writer.append(bool: value)
  }

  func encode(_ value: String) throws {
    try check()
    try writer.append(text: value)
  }

  func encode(_ value: Double) throws {
    try check()
    writer.append(float: value)
  }

  func encode(_ value: Float) throws {
    try check()
    writer.append(float: value)
  }

  func encode(_ value: Int) throws {
    try check()
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int8) throws {
    try check()
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int16) throws {
    try check()
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int32) throws {
    try check()
    writer.append(integer: Int64(value))
  }

  func encode(_ value: Int64) throws {
    try check()
    writer.append(integer: value)
  }

  func encode(_ value: UInt) throws {
    try check()
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt8) throws {
    try check()
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt16) throws {
    try check()
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt32) throws {
    try check()
    writer.append(unsigned: UInt64(value))
  }

  func encode(_ value: UInt64) throws {
    try check()
    writer.append(unsigned: value)
  }

  func encode<T: Encodable>(_ value: T) throws {
    try check()
    try writer.append(value)
  }
}
