/// The one value that stands for another one.
struct SingleUnpacking: SingleValueDecodingContainer {
  let level: MessagePackLevel

  var codingPath: [any CodingKey] { [] }

  private func read<T>(_ type: T.Type, _ read: (inout Int) throws -> T) throws -> T {
    var end = level.start
    do {
      let value = try read(&end)
      level.finished(at: end)
      return value
    } catch let error as MessagePackError {
      throw error.decodingError(type)
    }
  }

  func decodeNil() -> Bool {
    var end = level.start
    guard level.reader.isNil(&end) else { return false }
    level.finished(at: end)
    return true
  }

  func decode(_ type: Bool.Type) throws -> Bool { try read(type) { try level.reader.bool(&$0) } }
  func decode(_ type: String.Type) throws -> String { try read(type) { try level.reader.text(&$0) } }
  func decode(_ type: Double.Type) throws -> Double { try read(type) { try level.reader.double(&$0) } }
  func decode(_ type: Float.Type) throws -> Float { try read(type) { try level.reader.float(&$0) } }
  func decode(_ type: Int.Type) throws -> Int { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: Int8.Type) throws -> Int8 { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: Int16.Type) throws -> Int16 { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: Int32.Type) throws -> Int32 { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: Int64.Type) throws -> Int64 { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: UInt.Type) throws -> UInt { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try read(type) { try level.reader.integer(&$0, type) } }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try read(type) { try level.reader.integer(&$0, type) } }

  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    try read(type) { try level.reader.value(type, at: &$0, depth: level.depth) }
  }
}
