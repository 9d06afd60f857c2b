/// Names one request for ever: `<session>_<pid>_<counter>` where Python made it, opaque to us.
///
/// Every party looks a message up several times by its id, so its bytes are hashed once, when it is made.
public struct MessageID: Hashable, Sendable, CustomStringConvertible {
  public let text: String
  private let code: UInt64

  public init(_ text: String) {
    var text = text
    code = text.withUTF8 { Self.code(UnsafeRawBufferPointer($0), Self.seed) }
    self.text = text
  }

  public var description: String { text }
  public static func == (a: MessageID, b: MessageID) -> Bool { a.code == b.code && a.text == b.text }
  public func hash(into hasher: inout Hasher) { hasher.combine(code) }

  /// What tables ask for; the standard library's own types answer it the same way. The code is as good as what a hasher would make of it, at a
  /// fifth of the price; each table has another seed, so that one can be filled from another in its order.
  public func _rawHashValue(seed: Int) -> Int {
    let product = (code ^ UInt64(bitPattern: Int64(seed))).multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
    return Int(truncatingIfNeeded: product.high ^ product.low)
  }

  /// A number for the text that other processes find as well, given the same seed.
  public func code(seed: UInt64) -> UInt64 {
    var text = text
    return text.withUTF8 { Self.code(UnsafeRawBufferPointer($0), seed) }
  }

  /// Eight bytes at a time, mixed by a multiplication of full width. In tables it starts from another number in each process, so that
  /// nobody can choose ids that collide.
  private static func code(_ bytes: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt64 {
    var code = seed ^ UInt64(truncatingIfNeeded: bytes.count)
    func mix(_ word: UInt64) {
      let product = (code ^ word).multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
      code = product.high ^ product.low
    }
    var index = 0
    while index + 8 <= bytes.count {
      mix(bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      index += 8
    }
    var rest: UInt64 = 0
    while index < bytes.count {
      rest = rest << 8 | UInt64(bytes[index])
      index += 1
    }
    mix(rest)
    return code
  }

  private static let seed = UInt64.random(in: 0...UInt64.max)
}

extension MessageID: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self.init(value) }
}

/// An engine's number: what users index with. Never used twice in one controller's life.
public struct EngineID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let number: Int
  public init(_ number: Int) { self.number = number }
  public static func < (a: EngineID, b: EngineID) -> Bool { a.number < b.number }
  public var description: String { String(number) }
}

/// An engine's name on the wire: its session's id and the identity of all its sockets.
public struct EngineUUID: Hashable, Sendable, CustomStringConvertible {
  public let text: String
  public init(_ text: String) { self.text = text }
  public var description: String { text }

  /// - Parameter value: from outside.
  /// - Returns: `nil` for what can be no identity of a socket.
  public init?(told value: JSONValue?) {
    guard let text = value?.stringValue, (1...200).contains(text.utf8.count) else { return nil }
    self.init(text)
  }
}

extension EngineUUID: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self.init(value) }
}

/// The id of a `Session`; for an engine it equals its UUID.
public struct SessionID: Hashable, Sendable, CustomStringConvertible {
  public let text: String
  public init(_ text: String) { self.text = text }
  public var description: String { text }

  /// 16 random bytes as 8 digits, a dash, 24 digits: the form of ipyparallel's session ids and keys.
  public static func random() -> SessionID {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    var random = SystemRandomNumberGenerator()
    for index in 0..<32 {
      if index == 8 { text.append(UInt8(ascii: "-")) }
      text.append(digits[Int(random.next() & 15)])
    }
    return SessionID(String(decoding: text, as: UTF8.self))
  }
}
