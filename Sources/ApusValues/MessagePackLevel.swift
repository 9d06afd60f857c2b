/// What a type's `init(from:)` reads from: one value, and how far it was read.
///
/// Members are mostly asked for in the order in which they were written: then each key is compared once and nothing is stored. The
/// first key out of order makes an index of the map.
final class MessagePackLevel: Decoder {
  /// What an array's elements are.
  struct Elements {
    let first: Int
    let count: Int
    /// nil: ordinary values, the first one at `first`.
    let typed: RawElements?
  }

  private enum Shape {
    /// May become any other.
    case unopened
    case map
    case array(Elements)
    /// Read as one value, or a typed array: `frontier` is the end.
    case finished
  }

  private struct Entry {
    let keyStart: Int
    /// Bytes of a text; -1: an integer at `keyStart`.
    let keyCount: Int
    let value: Int
  }

  let reader: MessagePackReader
  let start: Int
  /// Levels around the values within this one.
  let depth: Int
  // None of these is ever passed `inout`: no two accesses overlap.
  @exclusivity(unchecked) private var shape = Shape.unopened
  @exclusivity(unchecked) private var first = 0
  @exclusivity(unchecked) private var pairs = 0
  /// Behind the last value that was read in order, with `left` pairs or elements to come.
  @exclusivity(unchecked) private var frontier = 0
  @exclusivity(unchecked) private var left = 0
  @exclusivity(unchecked) private var index: [Entry]?
  /// Where in the index the next key is probably found.
  @exclusivity(unchecked) private var hint = 0
  /// Met by a function that cannot throw; `end()` does.
  @exclusivity(unchecked) private var failure: MessagePackError?

  init(_ reader: MessagePackReader, at start: Int, within depth: Int) throws(MessagePackError) {
    guard depth < reader.coder.maximumDepth else {
      throw MessagePackError(.tooDeep, at: start, "more than \(reader.coder.maximumDepth) levels")
    }
    self.reader = reader
    self.start = start
    self.depth = depth + 1
  }

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { reader.coder.userInfo }

  // MARK: containers

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    if case .map = shape {
    } else {
      do throws(MessagePackError) {
        var position = start
        pairs = try reader.containerCount(&position, isMap: true)
        (shape, first, frontier, left) = (.map, position, position, pairs)
      } catch {
        throw error.decodingError([String: Any].self)
      }
    }
    return KeyedDecodingContainer(KeyedUnpacking<Key>(level: self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    if case .array(let elements) = shape { return UnkeyedUnpacking(level: self, elements: elements) }
    do throws(MessagePackError) {
      var position = start
      let elements: Elements
      if let raw = try reader.rawElements(&position) {
        elements = Elements(first: position, count: raw.count, typed: raw)
        left = 0
      } else {
        let count = try reader.containerCount(&position, isMap: false)
        elements = Elements(first: position, count: count, typed: nil)
        left = count
      }
      (shape, frontier) = (.array(elements), position)
      return UnkeyedUnpacking(level: self, elements: elements)
    } catch {
      throw error.decodingError([Any].self)
    }
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { SingleUnpacking(level: self) }

  // MARK: progress

  /// The first `count` elements of an array were read.
  func passed(_ count: Int, at position: Int) {
    guard case .array(let elements) = shape, elements.count - count < left else { return }
    (frontier, left) = (position, elements.count - count)
  }

  func finished(at position: Int) { (shape, frontier, left) = (.finished, position, 0) }

  /// Behind the whole value, whatever of it was read.
  func end() throws(MessagePackError) -> Int {
    if let failure { throw failure }
    var position = frontier
    switch shape {
    case .unopened:
      position = start
      try reader.skip(&position)
    case .map: try reader.skip(&position, values: 2 * left)
    case .array: try reader.skip(&position, values: left)
    case .finished: break
    }
    return position
  }

  // MARK: members

  /// Reads a member's value.
  ///
  /// - Parameter consumesOnlyIf: with false as its answer the member is still the next one.
  @inline(__always)
  func member<T, Key: CodingKey>(
    _ key: Key, _ type: Any.Type, consumesOnlyIf: (T) -> Bool = { _ in true }, _ read: (inout Int) throws -> T
  ) throws -> T {
    if left > 0 {
      var position = frontier
      if matches(key, &position) {
        do {
          let value = try read(&position)
          if consumesOnlyIf(value) { (frontier, left) = (position, left - 1) }
          return value
        } catch {
          throw CodingPath.located(error, at: key, type: type)
        }
      }
    }
    var position = try place(of: key)
    do { return try read(&position) } catch { throw CodingPath.located(error, at: key, type: type) }
  }

  @inline(never) private func place(of key: some CodingKey) throws -> Int {
    do throws(MessagePackError) {
      if let position = try indexed(key) { return position }
    } catch {
      throw error.decodingError([String: Any].self, path: [])
    }
    throw DecodingError.keyNotFound(
      key, .init(codingPath: [], debugDescription: "no member \"\(key.stringValue)\" in the map at byte \(start)"))
  }

  /// A nested container leaves its member where it is: passing over it would read it twice.
  func nested<T>(_ key: some CodingKey, _ open: (MessagePackLevel) throws -> T) throws -> T {
    let position = try find(key) ?? place(of: key)
    do { return try open(MessagePackLevel(reader, at: position, within: depth)) } catch {
      throw CodingPath.located(error, at: key, type: T.self)
    }
  }

  /// Where the value of a member is.
  func find(_ key: some CodingKey) -> Int? {
    if left > 0 {
      var position = frontier
      if matches(key, &position) { return position }
    }
    do throws(MessagePackError) { return try indexed(key) } catch {
      failure = failure ?? error
      return nil
    }
  }

  func allKeys<Key: CodingKey>() -> [Key] {
    do throws(MessagePackError) {
      let index = try makeIndex()
      var keys: [Key] = []
      keys.reserveCapacity(index.count)
      for entry in index {
        var position = entry.keyStart
        let key: Key?
        if entry.keyCount < 0 {
          key = (try? reader.integer(&position, Int.self)).flatMap { Key(intValue: $0) }
        } else {
          key = Key(stringValue: String(decoding: reader.bytes[position..<position + entry.keyCount], as: UTF8.self))
        }
        if let key { keys.append(key) }
      }
      return keys
    } catch {
      failure = failure ?? error
      return []
    }
  }

  /// Whether the key at `position` is this one; then `position` is moved to its value.
  @inline(__always) private func matches(_ key: some CodingKey, _ position: inout Int) -> Bool {
    var end = position
    guard let header = try? reader.header(position), header >= 0xA0, let found = try? reader.textBytes(&end) else {
      return matchesInteger(key, &position)
    }
    guard Self.isEqual(found, key.stringValue) else { return false }
    position = end
    return true
  }

  private func matchesInteger(_ key: some CodingKey, _ position: inout Int) -> Bool {
    var end = position
    guard let number = key.intValue, let found = try? reader.integer(&end, Int.self), found == number else { return false }
    position = end
    return true
  }

  @inline(__always) private static func isEqual(_ found: UnsafeRawBufferPointer, _ text: String) -> Bool {
    var text = text
    return text.withUTF8 { utf8 in
      guard utf8.count == found.count else { return false }
      for position in 0..<utf8.count where utf8[position] != found[position] { return false }
      return true
    }
  }

  // MARK: the index

  private func indexed(_ key: some CodingKey) throws(MessagePackError) -> Int? {
    let index = try makeIndex()
    guard !index.isEmpty else { return nil }
    let text = key.stringValue
    let number = key.intValue
    // From the hint on: a dictionary asks for all members in their order.
    for offset in 0..<index.count {
      let place = hint + offset < index.count ? hint + offset : hint + offset - index.count
      let entry = index[place]
      if entry.keyCount < 0 {
        var position = entry.keyStart
        guard let number, (try? reader.integer(&position, Int.self)) == number else { continue }
      } else {
        guard Self.isEqual(UnsafeRawBufferPointer(rebasing: reader.bytes[entry.keyStart..<entry.keyStart + entry.keyCount]), text)
        else { continue }
      }
      hint = place + 1 < index.count ? place + 1 : 0
      return entry.value
    }
    return nil
  }

  /// Passes over the whole map once. Keys that are neither text nor integers cannot be asked for.
  private func makeIndex() throws(MessagePackError) -> [Entry] {
    if let index { return index }
    var entries: [Entry] = []
    entries.reserveCapacity(pairs)
    var position = first
    for _ in 0..<pairs {
      let header = try reader.header(position)
      switch header {
      case 0xA0...0xBF, 0xD9...0xDB:
        let start = position
        let text = try reader.textBytes(&position)
        guard MessagePackReader.isASCII(text) || String(validating: text.bindMemory(to: UInt8.self), as: UTF8.self) != nil else {
          throw MessagePackError(.illFormedText, at: start, "a key that is not UTF-8")
        }
        entries.append(Entry(keyStart: position - text.count, keyCount: text.count, value: position))
      case 0x00...0x7F, 0xCC...0xCF, 0xD0...0xD3, 0xE0...0xFF:
        let start = position
        try reader.skip(&position)
        entries.append(Entry(keyStart: start, keyCount: -1, value: position))
      default: try reader.skip(&position)
      }
      try reader.skip(&position)
    }
    (frontier, left, index) = (position, 0, entries)
    return entries
  }
}
