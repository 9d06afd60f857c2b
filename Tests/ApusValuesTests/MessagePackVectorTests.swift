import ApusValues
import Glibc
import Testing
import Transport

/// The bytes that the Python tests read and write as well, and the forms of the format that we read but never write.
@Suite("MessagePack: the bytes")
struct MessagePackVectorTests {
  let encoder = MessagePackEncoder()
  let decoder = MessagePackDecoder()

  @Test("the same bytes for the same values as in Python")
  func shared() throws {
    let vectors = try Self.vectors()
    #expect(vectors.count == 41)
    func check<T: Codable & Equatable>(_ name: String, _ value: T, outOfBand: Int? = nil) throws {
      let expected = try #require(vectors[name], "no vector \(name)")
      let frames = try outOfBand.map { try encoder.encode(value, outOfBand: $0) } ?? [Frame(encoder.encode(value))]
      #expect(frames.map(\.bytes) == expected, "\(name)")
      #expect(try decoder.decode(T.self, from: expected.map { Frame($0) }) == value, "\(name)")
    }
    try check("nil", Int?.none)
    try check("true", true)
    try check("false", false)
    try check("positive fixint", 127)
    try check("negative fixint", -32)
    try check("uint 8", 255)
    try check("uint 16", 65_535)
    try check("uint 32", 4_294_967_295)
    try check("uint 64", UInt64.max)
    try check("int 8", -128)
    try check("int 16", -32_768)
    try check("int 32", -2_147_483_648)
    try check("int 64", Int.min)
    try check("float 64", -1.5)
    try check("fixstr", "hällo")
    try check("str 8", String(repeating: "a", count: 32))
    try check("bin 8", [0, 1, 255] as [UInt8])
    try check("fixarray", ["a", "b"])
    try check("array 16", (0..<16).map { "\($0)" })
    try check("nested", [[["x"], []], [], [[]]])
    try check("fixmap", ["a": "b"])
    try check("integer keys", [5: true])
    try check("maps", ["k": ["0": String?.none]])
    try check("structure", Reading(id: -7, value: 0.25, name: "ärmel", isValid: true))
    try check("enumeration", Shape.circle(radius: 2))
    try check("unlabelled payload", Shape.named("a", 3))
    try check("doubles", [1.0, 2.0])
    try check("no doubles", [Double]())
    try check("floats", [1.5] as [Float])
    try check("ints", [1, -1, 1 << 62])
    try check("int32s", [1, -1] as [Int32])
    try check("int16s", [1, -1, 300] as [Int16])
    try check("int8s", [1, -1] as [Int8])
    try check("uint64s", [.max] as [UInt64])
    try check("uint32s", [.max, 7] as [UInt32])
    try check("uint16s", [.max] as [UInt16])
    try check("bools", [true, false, true])
    try check("rows", [[1, 2], [3]] as [[Double]])
    try check("frames", ["a": [1, 2, 3] as [Double]], outOfBand: 16)
    try check("frame of bytes", (0..<20).map { UInt8($0) }, outOfBand: 16)
    try check("two frames", [[1, 2, 3, 4], [5], [6, 7, 8, 9]] as [[Int32]], outOfBand: 16)
  }

  @Test("numbers in wider forms than needed")
  func wideNumbers() throws {
    let one: [[UInt8]] = [
      [0x01], [0xCC, 1], [0xCD, 0, 1], [0xCE, 0, 0, 0, 1], [0xCF, 0, 0, 0, 0, 0, 0, 0, 1], [0xD0, 1], [0xD1, 0, 1],
      [0xD2, 0, 0, 0, 1],
      [0xD3, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
    for bytes in one {
      #expect(try decoder.decode(Int8.self, from: bytes) == 1)
      #expect(try decoder.decode(UInt64.self, from: bytes) == 1)
      #expect(try decoder.decode(Double.self, from: bytes) == 1)
      #expect(try decoder.decode(Float?.self, from: bytes) == 1)
    }
    #expect(try decoder.decode(Int.self, from: [0xD3] + [UInt8](repeating: 0xFF, count: 8)) == -1)
    #expect(try decoder.decode(Double.self, from: [0xCA, 0xBF, 0xC0, 0, 0]) == -1.5)
  }

  @Test("text, bytes and containers in wider forms than needed")
  func wideLengths() throws {
    for bytes: [UInt8] in [[0xA1], [0xD9, 1], [0xDA, 0, 1], [0xDB, 0, 0, 0, 1]] {
      #expect(try decoder.decode(String.self, from: bytes + [0x61]) == "a")
    }
    for bytes: [UInt8] in [[0xC4, 1], [0xC5, 0, 1], [0xC6, 0, 0, 0, 1]] {
      #expect(try decoder.decode([UInt8].self, from: bytes + [7]) == [7])
    }
    for bytes: [UInt8] in [[0xD7, 1], [0xC7, 8, 1], [0xC8, 0, 8, 1], [0xC9, 0, 0, 0, 8, 1]] {
      #expect(try decoder.decode([Double].self, from: bytes + [0, 0, 0, 0, 0, 0, 0xF0, 0x3F]) == [1])
    }
    for bytes: [UInt8] in [[0x91], [0xDC, 0, 1], [0xDD, 0, 0, 0, 1]] {
      #expect(try decoder.decode([String].self, from: bytes + [0xA0]) == [""])
    }
    for bytes: [UInt8] in [[0x81], [0xDE, 0, 1], [0xDF, 0, 0, 0, 1]] {
      #expect(try decoder.decode([String: Int].self, from: bytes + [0xD9, 1, 0x61, 0xCC, 7]) == ["a": 7])
    }
  }

  @Test("extensions that nobody knows are passed over")
  func extensions() throws {
    struct One: Decodable { var a: Int }
    let extensions: [[UInt8]] = [
      [0xD4, 0xFF, 1], [0xD5, 0x7F, 1, 2], [0xD6, 0xFF, 1, 2, 3, 4], [0xD7, 0xFF] + [UInt8](repeating: 0, count: 8),
      [0xD8, 5] + [UInt8](repeating: 0, count: 16), [0xC7, 3, 0x50, 1, 2, 3], [0xC8, 0, 1, 0x50, 1], [0xC9, 0, 0, 0, 0, 0x50],
    ]
    for bytes in extensions {
      #expect(try decoder.decode(One.self, from: [0x82, 0xA1, 0x62] + bytes + [0xA1, 0x61, 0x09]).a == 9)
      #expect(throws: DecodingError.self) { try decoder.decode(String.self, from: bytes) }
    }
  }

  /// `name | structure | frame …`, in hexadecimal.
  static func vectors() throws -> [String: [[UInt8]]] {
    let path = #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 } + "/python/codecs/vectors.txt"
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var text: [UInt8] = []
    while case let byte = getc(file), byte != EOF { text.append(UInt8(truncatingIfNeeded: byte)) }
    var vectors: [String: [[UInt8]]] = [:]
    for line in String(decoding: text, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("#") {
      let fields = line.split(separator: "|").map { $0.drop { $0 == " " } }.map { $0.hasSuffix(" ") ? $0.dropLast() : $0 }
      vectors[String(fields[0])] = fields.dropFirst().map { field in
        let digits = field.compactMap { $0.hexDigitValue }
        return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
      }
    }
    return vectors
  }
}
