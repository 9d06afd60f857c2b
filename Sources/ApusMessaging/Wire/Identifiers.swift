/// Names one request for ever: `<session>_<pid>_<counter>` where Python made it, opaque to us.
public struct MessageID: Hashable, Sendable, CustomStringConvertible {
  public let text: String
  public init(_ text: String) { self.text = text }
  public var description: String { text }
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
