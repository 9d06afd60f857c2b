import ApusMessaging
import TestSupport
import Testing

@Suite("JSON")
struct JSONTests {
  @Test(
    "what is JSON is read as what it means",
    arguments: [
      ("null", .null), (" true ", .bool(true)), ("false\n", .bool(false)), ("0", .int(0)), ("-0", .int(0)), ("42", .int(42)),
      ("-9223372036854775808", .int(.min)), ("9223372036854775807", .int(.max)),
      ("9223372036854775808", .bigInteger("9223372036854775808")),
      ("-9223372036854775809", .bigInteger("-9223372036854775809")), ("1.0", .double(1)), ("-0.0", .double(-0.0)),
      ("1e5", .double(100_000)),
      ("1E+2", .double(100)), ("2.5e-3", .double(0.0025)), ("5e-324", .double(.leastNonzeroMagnitude)), ("1e-400", .double(0)),
      (#""""#, .string("")),
      (#""a\"b\\c\/d\b\f\n\r\t""#, .string("a\"b\\c/d\u{8}\u{C}\n\r\t")), (#""\u00fc\u00FC""#, .string("üü")),
      (#""\ud83d\udc26""#, .string("🐦")), (#""\u0000""#, .string("\u{0}")), ("\"ü🐦\u{7F}\"", .string("ü🐦\u{7F}")),
      ("[]", .array([])),
      ("[ ]", .array([])), ("{}", .object([:])), ("{ }", .object([:])), ("[1,[2,[]],{}]", [1, [2, []], [:]]),
      ("\t{ \"a\" :\r\n 1 , \"b\": [ ] }", ["a": 1, "b": []]), (#"{"a":1,"b":2,"a":3}"#, ["b": 2, "a": 3]),
    ] as [(String, JSONValue)])
  func reading(text: String, value: JSONValue) throws {
    #expect(try JSONValue(parsing: text) == value)
  }

  @Test(
    "lone surrogates, which Python writes, are no reason to refuse a message",
    arguments: [
      (#""\ud83d""#, "\u{FFFD}"), (#""\udc26x""#, "\u{FFFD}x"), (#""\ud83d\n""#, "\u{FFFD}\n"),
      (#""\ud83dx\udc26""#, "\u{FFFD}x\u{FFFD}"),
      (#""\ud83d\u0041""#, "\u{FFFD}A"), (#""\ud83d\ud83d\udc26""#, "\u{FFFD}🐦"),
    ])
  func loneSurrogates(text: String, value: String) throws {
    #expect(try JSONValue(parsing: text) == .string(value))
  }

  @Test(
    "what is not JSON is refused, with the place",
    arguments: [
      "", " ", "nul", "nulll", "True", "NaN", "Infinity", "-Infinity", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1e400",
      "0x10", "1_000",
      "'a'", #""a"#, #"""#, #""\x""#, #""\u12""#, #""\u12g4""#, #""\ud83d\u12""#, #""\"#, "\"a\nb\"", "\"\u{0}\"", "[", "[1", "[1,",
      "[1,]", "[,1]", "[1 2]",
      "]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:2}", "{\"a\" 1}", "{,}", "{} {}", "1 2",
      "[]]", "\u{FEFF}{}",
      "/* c */ {}", "{\"a\":1]", "[1}",
    ])
  func refusing(text: String) {
    #expect {
      _ = try JSONValue(parsing: text)
    } throws: { error in
      guard let error = error as? JSONError else { return false }
      return (0...text.utf8.count).contains(error.offset) && error.description.hasPrefix("not JSON")
    }
  }

  @Test(
    "ill-formed UTF-8 is refused",
    arguments: [
      [0x80], [0xC0, 0x80], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80],
      [0xFF],
    ]
      as [[UInt8]])
  func illFormed(bytes: [UInt8]) {
    let quote = UInt8(ascii: "\"")
    #expect(throws: JSONError.self) { try JSONValue(parsing: [quote] + bytes + [quote]) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: [quote] + Array(#"\n"#.utf8) + bytes + [quote]) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: bytes) }
  }

  @Test("200 levels are read, more are refused: a text must not overflow a stack", arguments: ["[", "{\"a\":"])
  func depth(opening: String) throws {
    let closing = opening == "[" ? "]" : "}"
    func nested(_ levels: Int) -> String {
      String(repeating: opening, count: levels) + "1" + String(repeating: closing, count: levels)
    }
    _ = try JSONValue(parsing: nested(200))
    #expect(throws: JSONError.self) { try JSONValue(parsing: nested(201)) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: opening, count: 100_000)) }
    // Depth is given back: siblings do not add up.
    _ = try JSONValue(parsing: "[" + Array(repeating: "[[]]", count: 500).joined(separator: ",") + "]")
  }

  @Test("keys are equal by their code points, as Python's, not by what people see")
  func keysByCodePoint() throws {
    let text = "{\"\u{E9}\":1,\"e\u{301}\":2}"
    let value = try JSONValue(parsing: text)
    #expect(value.objectValue?.count == 2)
    #expect(value["\u{E9}"] == 1)
    #expect(value["e\u{301}"] == 2)
    #expect(value.text.utf8.elementsEqual(text.utf8))
    var object = JSONObject()
    object["\u{E9}"] = 1
    object["e\u{301}"] = 2
    #expect(object.count == 2)
    // With many members another way of finding equal keys is taken.
    let many = (0..<20).map { "\"\($0)\":0" }.joined(separator: ",")
    #expect(try JSONValue(parsing: "{\(many),\"\u{E9}\":1,\"e\u{301}\":2,\"\u{E9}\":3}").objectValue?.count == 22)
  }

  @Test("objects keep their order and are equal in any order")
  func order() throws {
    let text = #"{"z":1,"a":{"y":2,"b":3}}"#
    let value = try JSONValue(parsing: text)
    #expect(value.text == text)
    let other: JSONValue = ["a": ["b": 3, "y": 2], "z": 1]
    #expect(value == other)
    #expect(value.hashValue == other.hashValue)
    #expect(value != ["a": ["b": 3, "y": 2]])
  }

  @Test("changing members")
  func members() {
    var object: JSONObject = ["a": 1, "b": 2]
    object["a"] = 3
    object["c"] = 4
    object["b"] = nil
    object["never"] = nil
    #expect(object.keys == ["a", "c"])
    #expect(object == ["a": 3, "c": 4] as JSONObject)
    #expect(JSONObject().isEmpty)
  }

  @Test("numbers as other numbers")
  func numbers() {
    #expect(JSONValue.double(3).intValue == 3)
    #expect(JSONValue.double(3.5).intValue == nil)
    #expect(JSONValue.double(1e300).intValue == nil)
    #expect(JSONValue.bigInteger("1" + String(repeating: "0", count: 30)).intValue == nil)
    #expect(JSONValue.bigInteger("1" + String(repeating: "0", count: 30)).doubleValue == 1e30)
    #expect(JSONValue.int(3).doubleValue == 3)
    #expect(JSONValue.string("3").intValue == nil)
    #expect(JSONValue.bool(true).intValue == nil)
  }

  @Test("truth as Python sees it")
  func truth() {
    for no in [.null, .bool(false), 0, .double(0), "", [], [:]] as [JSONValue] { #expect(!no.isTruthy) }
    for yes in [true, 1, .double(0.1), "0", [.null], ["a": .null], .bigInteger("9223372036854775808")] as [JSONValue] {
      #expect(yes.isTruthy)
    }
  }

  @Test("writing: what must be escaped is, what need not be is not; no infinity on the wire")
  func writing() {
    #expect(JSONValue.string("a\"\\\n\r\t\u{0}\u{1F}/ü🐦\u{7F}").text == "\"a\\\"\\\\\\n\\r\\t\\u0000\\u001f/ü🐦\u{7F}\"")
    #expect(JSONValue.array([.double(.infinity), .double(.nan), .double(-0.0), .double(1e21)]).text == "[null,null,-0.0,1e+21]")
    #expect(
      String(decoding: (["a": [1, [:], []], "b": [:]] as JSONValue).encoded(pretty: true), as: UTF8.self) == """
        {
          "a": [
            1,
            {},
            []
          ],
          "b": {}
        }
        """)
  }
}

@Suite("JSON, random")
struct RandomJSONTests {
  let seed = SeededGenerator.seed()

  @Test("what is written is read back the same, compact and pretty")
  func roundTrip() throws {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<1500 {
      let value = random.json()
      let compact = value.encoded()
      #expect(try JSONValue(parsing: compact) == value, "seed \(seed): \(value.text)")
      #expect(try JSONValue(parsing: value.encoded(pretty: true)) == value, "seed \(seed): \(value.text)")
      #expect(try JSONValue(parsing: compact).encoded() == compact, "seed \(seed): \(value.text)")
    }
  }

  @Test("no beginning of an object or a list is a document")
  func truncated() {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<40 {
      let bytes = JSONValue.object(random.object()).encoded()
      for end in 0..<min(bytes.count, 400) {
        #expect(throws: JSONError.self, "seed \(seed)") { try JSONValue(parsing: Array(bytes[..<end])) }
      }
    }
  }

  @Test("whatever comes, it is refused or read to something that can be written and read again")
  func mutated() throws {
    var random = SeededGenerator(seed: seed)
    var accepted = 0
    for _ in 0..<6000 {
      let bytes = random.mutation(of: random.json().encoded())
      do throws(JSONError) {
        let value = try JSONValue(parsing: bytes)
        accepted += 1
        #expect((try? JSONValue(parsing: value.encoded())) == value, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
      } catch { #expect((0...bytes.count).contains(error.offset), "seed \(seed)") }
    }
    #expect(accepted > 100, "seed \(seed)")
  }

  @Test("bytes without any sense")
  func noise() {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<3000 { _ = try? JSONValue(parsing: random.bytes(0...60)) }
  }
}
