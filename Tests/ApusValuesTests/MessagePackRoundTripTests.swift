import ApusValues
import TestSupport
import Testing
import Transport

@Suite("MessagePack: what is encoded is decoded")
struct MessagePackRoundTripTests {
  let encoder = MessagePackEncoder()
  let decoder = MessagePackDecoder()

  func check<T: Codable & Equatable>(_ value: T, _ place: SourceLocation = #_sourceLocation) throws {
    #expect(try decoder.decode(T.self, from: encoder.encode(value)) == value, sourceLocation: place)
    for threshold in [0, 1000] {
      #expect(try decoder.decode(T.self, from: encoder.encode(value, outOfBand: threshold)) == value, sourceLocation: place)
    }
  }

  @Test("scalars, at the edges of their widths")
  func scalars() throws {
    for shift in 0..<64 {
      for value in [UInt64(1) << UInt64(shift), (UInt64(1) << UInt64(shift)) - 1, ~(UInt64(1) << UInt64(shift))] {
        try check(value)
        try check(Int(truncatingIfNeeded: value))
        try check(-Int(truncatingIfNeeded: value >> 1))
        try check(UInt32(truncatingIfNeeded: value))
        try check(Int16(truncatingIfNeeded: value))
      }
    }
    try check([Int.min, Int.max])
    try check(UInt64.max)
    try check(true)
    try check(-0.0 as Double)
    try check(Double.greatestFiniteMagnitude)
    try check(Float.pi)
    let quiet = try decoder.decode(Double.self, from: encoder.encode(Double.nan))
    #expect(quiet.bitPattern == Double.nan.bitPattern)
  }

  @Test("text of every header width", arguments: [0, 1, 31, 32, 255, 256, 65_535, 65_536, 1_000_000])
  func text(count: Int) throws {
    try check(String(repeating: "x", count: count))
    try check(String(repeating: "ü", count: count / 2))
    try check([UInt8](repeating: 7, count: count))
  }

  @Test("containers of every header width", arguments: [0, 1, 15, 16, 17, 1000])
  func containers(count: Int) throws {
    try check((0..<count).map { "\($0)" })
    try check(Dictionary(uniqueKeysWithValues: (0..<count).map { ("key \($0)", $0) }))
    try check(Dictionary(uniqueKeysWithValues: (0..<count).map { ($0 - 5, $0) }))
    try check(Set(0..<count))
    try check([[String]](repeating: ["a"], count: count))
  }

  @Test("containers that outgrow the 16-bit header", arguments: [65_535, 65_536, 65_537])
  func longContainers(count: Int) throws {
    let bytes = try encoder.encode([[Bool?](repeating: nil, count: count)])
    #expect(bytes.count == 1 + count + (count > 65_535 ? 5 : 3))
    #expect(bytes[1] == (count > 65_535 ? 0xDD : 0xDC))
    #expect(try decoder.decode([[Bool?]].self, from: bytes) == [[Bool?](repeating: nil, count: count)])
    let table = Dictionary(uniqueKeysWithValues: (0..<count).map { ($0, true) })
    #expect(try decoder.decode([Int: Bool].self, from: encoder.encode(table)) == table)
  }

  @Test("structures, optionals, narrow numbers")
  func structures() throws {
    let reading = Reading(id: -7, value: 0.25, name: "ärmel", isValid: true)
    try check(reading)
    try check([reading, reading])
    try check(Sparse())
    try check(Sparse(second: "s", fourth: reading))
    try check(Sparse(first: 1, third: [1, 2]))
    try check(
      Narrow(i8: .min, i16: .min, i32: .min, i64: .min, u8: .max, u16: .max, u32: .max, u64: .max, uint: .max, float: -.infinity))
    try check([1, nil, 3] as [Int?])
    try check([nil, "a"] as [String?])
    try check(["a": nil, "b": 2] as [String: Int?])
    try check(Optional<Reading>.none)
    try check([[1.5], []] as [[Double]])
  }

  @Test("enumerations with payloads")
  func enumerations() throws {
    let reading = Reading(id: 1, value: 2, name: "n", isValid: false)
    try check([Shape.circle(radius: 2), .polygon([reading, reading], closed: true), .named("a", 3), .nothing])
    try check(["x": Shape.nothing])
  }

  @Test("dictionaries by every kind of key")
  func dictionaries() throws {
    try check(["05": 1, "5": 2, "-1": 3])
    try check([5: "a", -1: "b", .min: "c", .max: "d"])
    try check([1.5: true, -2: false])
    try check([Reading(id: 1, value: 1, name: "", isValid: true): [1, 2, 3]])
    try check([UInt8(1): 2, 255: 4] as [UInt8: Int])
    // Integers stay integers, text stays text.
    #expect(try encoder.encode([5: true]) == [0x81, 0x05, 0xC3])
    #expect(try encoder.encode(["5": true]) == [0x81, 0xA1, 0x35, 0xC3])
    // What a Python dictionary has as keys does not matter.
    #expect(try decoder.decode([Int: Bool].self, from: [0x81, 0xA1, 0x35, 0xC3]) == [5: true])
  }

  @Test("typed arrays of every kind")
  func typedArrays() throws {
    func each<E: Codable & Equatable>(_ values: [E]) throws {
      try check(values)
      try check([E]())
      try check(Array(repeating: values, count: 3))
      try check(["a": values])
      let many = Array(repeating: values, count: 3000).flatMap { $0 }
      try check(many)
      try check([many, values, many])
    }
    try each([1.5, -.infinity, 3] as [Double])
    try each([1.5, .infinity, 3] as [Float])
    try each([1, .min, .max] as [Int])
    try each([1, .min, .max] as [Int64])
    try each([1, .min, .max] as [Int32])
    try each([1, .min, .max] as [Int16])
    try each([1, .min, .max] as [Int8])
    try each([1, .min, .max] as [UInt])
    try each([1, .min, .max] as [UInt64])
    try each([1, .min, .max] as [UInt32])
    try each([1, .min, .max] as [UInt16])
    try each([1, .min, .max] as [UInt8])
    try each([true, false, true])
  }

  @Test("an array is read as one of another element type that can hold its numbers")
  func conversions() throws {
    #expect(try decoder.decode([Double].self, from: encoder.encode([1, 2] as [Int32])) == [1, 2])
    #expect(try decoder.decode([Int].self, from: encoder.encode([1, 2] as [UInt8])) == [1, 2])
    #expect(try decoder.decode([UInt8].self, from: encoder.encode([1, 255])) == [1, 255])
    #expect(try decoder.decode([Double].self, from: encoder.encode([1.5] as [Float])) == [1.5])
    #expect(try decoder.decode(Set<Int>.self, from: encoder.encode([1, 2, 2])) == [1, 2])
    #expect(try decoder.decode([Int?].self, from: encoder.encode([1, 2])) == [1, 2])
    #expect(try decoder.decode([Double].self, from: [0x93, 0x01, 0xCA, 0x3F, 0xC0, 0, 0, 0xCC, 0xFF]) == [1, 1.5, 255])
    #expect(try decoder.decode([Float].self, from: [0x91, 0xCB, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0]) == [1.5])
    #expect(throws: DecodingError.self) { try decoder.decode([UInt8].self, from: encoder.encode([256])) }
    #expect(throws: DecodingError.self) { try decoder.decode([Int].self, from: encoder.encode([1.0])) }
    #expect(throws: DecodingError.self) { try decoder.decode([Float].self, from: encoder.encode([1e300])) }
    #expect(throws: DecodingError.self) { try decoder.decode([String].self, from: encoder.encode([1])) }
  }

  @Test("anything, by chance")
  func anything() throws {
    let seed = SeededGenerator.seed()
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<400 {
      let tree = generator.messagePackTree()
      let bytes = try encoder.encode(tree)
      try #require(try decoder.decode(Tree.self, from: bytes) == tree, "APUS_SEED=\(seed)")
      let frames = try encoder.encode(tree, outOfBand: Int.random(in: 0...64, using: &generator))
      try #require(try decoder.decode(Tree.self, from: frames) == tree, "APUS_SEED=\(seed)")
      // Passing over is as exact as reading.
      let reader = MessagePackReader(bytes + [0x2A])
      try reader.skip()
      try #require(reader.position == bytes.count, "APUS_SEED=\(seed)")
      try #require(try reader.next(Int.self) == 42, "APUS_SEED=\(seed)")
    }
  }

  @Test("a frame lends its array's memory, and keeps what was encoded")
  func lending() throws {
    var numbers = (0..<20_000).map(Double.init)
    let frames = try encoder.encode(numbers, outOfBand: 65_536)
    let address = numbers.withUnsafeBytes { $0.baseAddress }
    #expect(frames[1].withUnsafeBytes { $0.baseAddress } == address)
    numbers[0] = -1
    #expect(numbers.withUnsafeBytes { $0.baseAddress } != address)
    numbers = []
    #expect(try decoder.decode([Double].self, from: frames).first == 0)
    #expect(try decoder.decode([Double].self, from: frames).count == 20_000)
  }

  @Test("several values one behind the other")
  func sequence() throws {
    let large = (0..<20_000).map(Double.init)
    let writer = MessagePackWriter(outOfBand: 65_536)
    try writer.append(7)
    try writer.append(large)
    try writer.append(Shape.named("x", 1))
    let frames = try writer.frames()
    #expect(frames.count == 2)
    let reader = MessagePackReader(frames)
    #expect(try reader.next(Int.self) == 7)
    #expect(throws: DecodingError.self) { try reader.next(String.self) }
    #expect(try reader.next([Double].self) == large)
    #expect(!reader.isAtEnd)
    #expect(try reader.next(Shape.self) == .named("x", 1))
    #expect(reader.isAtEnd)
    #expect(throws: DecodingError.self) { try reader.next(Int.self) }
  }
}
