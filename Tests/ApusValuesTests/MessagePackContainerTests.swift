import ApusValues
import Foundation
import Testing

/// Everything that `Codable` allows beside what the compiler writes.
@Suite("MessagePack: containers")
struct MessagePackContainerTests {
  let encoder = MessagePackEncoder()
  let decoder = MessagePackDecoder()

  enum Key: String, CodingKey { case a, b, c, d }

  /// Two nested containers that are filled in turns, in the middle of their parent.
  struct Interleaved: Codable, Equatable {
    var left: [Int]
    var right: [String: Int]

    init(left: [Int], right: [String: Int]) { (self.left, self.right) = (left, right) }

    func encode(to encoder: any Encoder) throws {
      var outer = encoder.container(keyedBy: Key.self)
      try outer.encode("first", forKey: .a)
      var numbers = outer.nestedUnkeyedContainer(forKey: .b)
      var named = outer.nestedContainer(keyedBy: AnyKey.self, forKey: .c)
      try outer.encode("last", forKey: .d)
      for (number, entry) in zip(left, right.sorted { $0.key < $1.key }) {
        try numbers.encode(number)
        try named.encode(entry.value, forKey: AnyKey(stringValue: entry.key))
      }
    }

    init(from decoder: any Decoder) throws {
      let outer = try decoder.container(keyedBy: Key.self)
      // Backwards, and opened before they are read.
      guard try outer.decode(String.self, forKey: .d) == "last", try outer.decode(String.self, forKey: .a) == "first" else {
        throw DecodingError.dataCorruptedError(forKey: .a, in: outer, debugDescription: "another text")
      }
      let named = try outer.nestedContainer(keyedBy: AnyKey.self, forKey: .c)
      var numbers = try outer.nestedUnkeyedContainer(forKey: .b)
      left = []
      right = [:]
      for key in named.allKeys {
        left.append(try numbers.decode(Int.self))
        right[key.stringValue] = try named.decode(Int.self, forKey: key)
      }
    }
  }

  struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  @Test("nested containers may be written in turns", arguments: [0, 1, 3, 15, 16, 40, 300])
  func interleaved(count: Int) throws {
    let value = Interleaved(
      left: Array(0..<count), right: Dictionary(uniqueKeysWithValues: (0..<count).map { ("key \(1000 + $0)", $0) }))
    #expect(try decoder.decode(Interleaved.self, from: encoder.encode(value)) == value)
    #expect(try decoder.decode([Interleaved].self, from: encoder.encode([value, value])) == [value, value])
    #expect(try decoder.decode(["x": value].self_, from: encoder.encode(["x": value])) == ["x": value])
  }

  class Animal: Codable {
    var legs: Int
    init(legs: Int) { self.legs = legs }
  }

  final class Bird: Animal {
    var song: String
    private enum Keys: CodingKey { case song }
    init(legs: Int, song: String) {
      self.song = song
      super.init(legs: legs)
    }
    required init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Keys.self)
      song = try container.decode(String.self, forKey: .song)
      try super.init(from: container.superDecoder())
    }
    override func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Keys.self)
      try super.encode(to: container.superEncoder())
      try container.encode(song, forKey: .song)
    }
  }

  /// Shares the map with its superclass.
  final class Fish: Animal {
    var depth: Double
    private enum Keys: CodingKey { case depth }
    init(legs: Int, depth: Double) {
      self.depth = depth
      super.init(legs: legs)
    }
    required init(from decoder: any Decoder) throws {
      depth = try decoder.container(keyedBy: Keys.self).decode(Double.self, forKey: .depth)
      try super.init(from: decoder)
    }
    override func encode(to encoder: any Encoder) throws {
      try super.encode(to: encoder)
      var container = encoder.container(keyedBy: Keys.self)
      try container.encode(depth, forKey: .depth)
    }
  }

  @Test("superclasses, in a member of their own or in the same map")
  func superclasses() throws {
    let birds = try decoder.decode([Bird].self, from: encoder.encode([Bird(legs: 2, song: "srii"), Bird(legs: 1, song: "")]))
    #expect(birds.map(\.legs) == [2, 1])
    #expect(birds.map(\.song) == ["srii", ""])
    let bytes = try encoder.encode(Fish(legs: 0, depth: 3.5))
    #expect(bytes.first == 0x82)
    let fish = try decoder.decode(Fish.self, from: bytes)
    #expect(fish.legs == 0)
    #expect(fish.depth == 3.5)
  }

  struct Lists: Codable, Equatable {
    var text: String
    init(_ text: String) { self.text = text }
    func encode(to encoder: any Encoder) throws {
      var list = encoder.unkeyedContainer()
      try list.encodeNil()
      var inner = list.nestedUnkeyedContainer()
      try text.encode(to: list.superEncoder())
      try inner.encode(Float(1))
      var map = list.nestedContainer(keyedBy: Key.self)
      try map.encodeNil(forKey: .a)
      try map.encode(UInt8(9), forKey: .b)
      #expect(list.count == 4)
    }
    init(from decoder: any Decoder) throws {
      var list = try decoder.unkeyedContainer()
      #expect(list.count == 4)
      #expect(try list.decodeNil())
      #expect(try !list.decodeNil())
      var inner = try list.nestedUnkeyedContainer()
      #expect(try inner.decode(Float.self) == 1)
      #expect(inner.isAtEnd)
      text = try String(from: list.superDecoder())
      let map = try list.nestedContainer(keyedBy: Key.self)
      #expect(try map.decodeNil(forKey: .a))
      #expect(try map.decode(Int.self, forKey: .b) == 9)
      #expect(map.contains(.a) && !map.contains(.c))
      #expect(list.isAtEnd)
      #expect(throws: DecodingError.self) { try list.decode(Int.self) }
      #expect(throws: DecodingError.self) { try list.decodeNil() }
    }
  }

  @Test("lists by hand")
  func lists() throws {
    #expect(try decoder.decode([Lists].self, from: encoder.encode([Lists("a"), Lists("b")])) == [Lists("a"), Lists("b")])
  }

  /// Reads one member, leaves the others.
  struct OnlyC: Decodable, Equatable {
    var c: Int
  }

  @Test("members that nobody asks for, in any order")
  func order() throws {
    struct Full: Encodable { var a = [1.5], b = ["x": [1, 2]], c = 3, d = "text" }
    let three = [OnlyC(c: 3), OnlyC(c: 3), OnlyC(c: 3)]
    #expect(try decoder.decode([OnlyC].self, from: encoder.encode([Full(), Full(), Full()])) == three)
    struct Backwards: Decodable { var d: String, c: Int, b: [String: [Int]], a: [Double] }
    let back = try decoder.decode([Backwards].self, from: encoder.encode([Full(), Full()]))
    #expect(back.map(\.a) == [[1.5], [1.5]])
    #expect(back.map(\.b) == [["x": [1, 2]], ["x": [1, 2]]])
    // Keys of other types are passed over.
    #expect(try decoder.decode(OnlyC.self, from: [0x83, 0xC0, 0x01, 0x93, 1, 2, 3, 0xC2, 0xA1, 0x63, 0x03]) == OnlyC(c: 3))
  }

  struct Choice: Decodable, Equatable {
    var text: String
    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        text = "nil"
      } else if let number = try? container.decode(Int.self) {
        text = "number \(number)"
      } else if let list = try? container.decode([Double].self) {
        text = "list of \(list.count)"
      } else {
        text = try container.decode(String.self)
      }
    }
  }

  @Test("a value that tries one type after the other")
  func choices() throws {
    struct Mixed: Encodable {
      func encode(to encoder: any Encoder) throws {
        var list = encoder.unkeyedContainer()
        try list.encode(1)
        try list.encode([1.5, 2])
        try list.encode("x")
        try list.encodeNil()
        try list.encode((0..<10_000).map(Double.init))
      }
    }
    let expected = ["number 1", "list of 2", "x", "nil", "list of 10000"]
    #expect(try decoder.decode([Choice].self, from: encoder.encode(Mixed())).map(\.text) == expected)
    #expect(try decoder.decode([Choice].self, from: encoder.encode(Mixed(), outOfBand: 1000)).map(\.text) == expected)
  }

  @Test("Foundation's Data is bytes")
  func data() throws {
    let data = Data((0..<1000).map { UInt8(truncatingIfNeeded: $0) })
    let bytes = try encoder.encode(data)
    #expect(bytes.count == 1003)
    #expect(bytes.prefix(3) == [0xC5, 0x03, 0xE8])
    #expect(try decoder.decode(Data.self, from: bytes) == data)
    #expect(try decoder.decode([String: Data].self, from: encoder.encode(["a": data, "b": Data()])) == ["a": data, "b": Data()])
    #expect(try decoder.decode([UInt8].self, from: bytes) == Array(data))
    #expect(try decoder.decode(Date.self, from: encoder.encode(Date(timeIntervalSince1970: 5))) == Date(timeIntervalSince1970: 5))
    #expect(try decoder.decode(URL.self, from: encoder.encode(URL(filePath: "/a"))) == URL(filePath: "/a"))
  }

  @Test("user information reaches both ends")
  func userInformation() throws {
    struct Informed: Codable {
      init() {}
      func encode(to encoder: any Encoder) throws { try ((encoder.userInfo[infoKey] as? Int) ?? 0).encode(to: encoder) }
      init(from decoder: any Decoder) throws { #expect(decoder.userInfo[infoKey] as? Int == 6) }
    }
    var (encoder, decoder) = (encoder, decoder)
    encoder.userInfo[infoKey] = 5
    decoder.userInfo[infoKey] = 6
    let bytes = try encoder.encode([Informed()])
    #expect(bytes == [0x91, 0x05])
    _ = try decoder.decode([Informed].self, from: bytes)
  }

  struct Misuse: Encodable {
    let way: Int
    func encode(to encoder: any Encoder) throws {
      switch way {
      case 0:
        var single = encoder.singleValueContainer()
        try single.encode(1)
        try single.encode(2)
      case 1:
        var keyed = encoder.container(keyedBy: Key.self)
        try keyed.encode(1, forKey: .a)
        var list = encoder.unkeyedContainer()
        try list.encode(1)
      case 2:
        var single = encoder.singleValueContainer()
        try single.encode([1.5])
        _ = encoder.unkeyedContainer()
      default:
        var keyed = encoder.container(keyedBy: Key.self)
        try? keyed.encode(Misuse(way: 0), forKey: .a)
        try keyed.encode(1, forKey: .b)
      }
    }
  }

  @Test("a type that breaks the rules gets an error, not wrong bytes", arguments: 0...3)
  func misuse(way: Int) {
    #expect {
      try encoder.encode([Misuse(way: way)])
    } throws: { error in
      guard case EncodingError.invalidValue(_, let context) = error else { return false }
      return (context.underlyingError as? MessagePackError)?.code == .misuse
    }
  }

  @Test("a type that writes nothing is an empty map")
  func nothing() throws {
    struct Nothing: Codable { func encode(to encoder: any Encoder) {} }
    #expect(try encoder.encode([Nothing(), Nothing()]) == [0x92, 0x80, 0x80])
  }
}

private let infoKey: CodingUserInfoKey = CodingUserInfoKey(rawValue: "apus.test")!

extension Dictionary {
  /// The type of a literal.
  fileprivate var self_: Self.Type { Self.self }
}
