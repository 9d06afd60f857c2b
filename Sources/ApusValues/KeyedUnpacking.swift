/// The members of a map. All state is the level's.
struct KeyedUnpacking<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let level: MessagePackLevel

  var codingPath: [any CodingKey] { [] }
  var allKeys: [Key] { level.allKeys() }
  func contains(_ key: Key) -> Bool { level.find(key) != nil }

  func decodeNil(forKey key: Key) throws -> Bool {
    try level.member(key, Optional<Never>.self, consumesOnlyIf: { $0 }) { level.reader.isNil(&$0) }
  }
  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try level.member(key, type) { try level.reader.bool(&$0) } }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try level.member(key, type) { try level.reader.text(&$0) } }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
    try level.member(key, type) { try level.reader.double(&$0) }
  }
  func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try level.member(key, type) { try level.reader.float(&$0) } }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 {
    try level.member(key, type) { try level.reader.integer(&$0, type) }
  }

  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
    try level.member(key, type) { try level.reader.value(type, at: &$0, depth: level.depth) }
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
    try level.nested(key) { try $0.container(keyedBy: type) }
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try level.nested(key) { try $0.unkeyedContainer() }
  }

  func superDecoder() throws -> any Decoder { try level.nested(SuperKey()) { $0 } }

  func superDecoder(forKey key: Key) throws -> any Decoder { try level.nested(key) { $0 } }
}

/// Where a superclass's part is when the type has no key for it.
private struct SuperKey: CodingKey {
  var stringValue: String { "super" }
  var intValue: Int? { nil }
  init() {}
  init?(stringValue: String) { nil }
  init?(intValue: Int) { nil }
}
