/// The elements of an array: an ordinary one, a typed one, or the bytes of a `bin`.
struct UnkeyedUnpacking: UnkeyedDecodingContainer {
  let level: MessagePackLevel
  let elements: MessagePackLevel.Elements
  private var position: Int
  private(set) var currentIndex = 0

  init(level: MessagePackLevel, elements: MessagePackLevel.Elements) {
    self.level = level
    self.elements = elements
    self.position = elements.first
  }

  var codingPath: [any CodingKey] { [] }
  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex >= elements.count }

  /// - Parameter raw: how an element of a typed array is read.
  private mutating func next<T>(_ type: T.Type, raw: (RawElements) throws -> T, _ read: (inout Int) throws -> T) throws -> T {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        type, .init(codingPath: [IndexKey(currentIndex)], debugDescription: "the array has \(elements.count) elements"))
    }
    do {
      if let typed = elements.typed {
        let value = try raw(typed)
        currentIndex += 1
        return value
      }
      var end = position
      let value = try read(&end)
      position = end
      currentIndex += 1
      level.passed(currentIndex, at: end)
      return value
    } catch {
      throw CodingPath.located(error, at: IndexKey(currentIndex), type: type)
    }
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        Optional<Never>.self,
        .init(codingPath: [IndexKey(currentIndex)], debugDescription: "the array has \(elements.count) elements"))
    }
    guard elements.typed == nil, level.reader.isNil(&position) else { return false }
    currentIndex += 1
    level.passed(currentIndex, at: position)
    return true
  }

  mutating func decode(_ type: Bool.Type) throws -> Bool {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.bool(&$0) })
  }

  mutating func decode(_ type: Double.Type) throws -> Double {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.double(&$0) })
  }

  mutating func decode(_ type: Float.Type) throws -> Float {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.float(&$0) })
  }

  mutating func decode(_ type: Int.Type) throws -> Int {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: Int8.Type) throws -> Int8 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: Int16.Type) throws -> Int16 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: Int32.Type) throws -> Int32 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: Int64.Type) throws -> Int64 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: UInt.Type) throws -> UInt {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: UInt8.Type) throws -> UInt8 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: UInt16.Type) throws -> UInt16 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: UInt32.Type) throws -> UInt32 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: UInt64.Type) throws -> UInt64 {
    let (reader, index) = (level.reader, currentIndex)
    return try next(type, raw: { try $0.element(index, type, reader) }, { try reader.integer(&$0, type) })
  }

  mutating func decode(_ type: String.Type) throws -> String {
    let (reader, index, depth) = (level.reader, currentIndex, level.depth)
    return try next(type, raw: { try $0.value(index, type, reader, depth: depth) }, { try reader.text(&$0) })
  }

  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
    let (reader, index, depth) = (level.reader, currentIndex, level.depth)
    return try next(
      type, raw: { try $0.value(index, type, reader, depth: depth) }, { try reader.value(type, at: &$0, depth: depth) })
  }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
    try nested(KeyedDecodingContainer<Nested>.self) { try $0.container(keyedBy: type) }
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try nested((any UnkeyedDecodingContainer).self) { try $0.unkeyedContainer() }
  }

  mutating func superDecoder() throws -> any Decoder { try nested((any Decoder).self) { $0 } }

  private mutating func nested<T>(_ type: T.Type, _ open: (MessagePackLevel) throws -> T) throws -> T {
    let (level, index) = (level, currentIndex)
    return try next(
      type, raw: { try open($0.level(index, level.reader, depth: level.depth)) },
      { position in
        let inner = try MessagePackLevel(level.reader, at: position, within: level.depth)
        try level.reader.skip(&position)
        return try open(inner)
      })
  }
}
