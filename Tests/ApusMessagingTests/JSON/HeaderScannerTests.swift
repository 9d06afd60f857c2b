import ApusMessaging
import TestSupport
import Testing

@Suite("Header scanner")
struct HeaderScannerTests {
  let seed = SeededGenerator.seed()

  private func scan(_ text: [UInt8]) -> (id: String?, type: String?, met: Bool?) {
    text.withUnsafeBytes { bytes in
      let scanner = HeaderScanner(bytes)
      return (scanner.string("msg_id"), scanner.string("msg_type"), scanner.bool("met"))
    }
  }

  @Test("finds what is plainly there, as the two packers of Python write it")
  func plain() {
    for text in [
      #"{"msg_id":"a_1","msg_type":"apply_request","met":false}"#, #"{"msg_id": "a_1", "msg_type": "apply_request", "met": false}"#,
      #"{"x": {"msg_id": "no"}, "y": ["msg_id", "no", {"msg_id": "no"}], "z": "msg_id", "msg_id": "a_1", "msg_type": "apply_request", "met": false}"#,
      #"{"\"": 1}"#,
    ] {
      let found = scan(Array(text.utf8))
      if text.contains("a_1") {
        #expect(found.id == "a_1", "\(text)")
        #expect(found.type == "apply_request")
        #expect(found.met == false)
      } else {
        #expect(found.id == nil)
      }
    }
  }

  @Test(
    "answers nothing where it would have to guess",
    arguments: [
      "", "{", "{}", "[]", "null", "\"msg_id\"", #"{"msg_id"}"#, #"{"msg_id":"#, #"{"msg_id":"a"#, #"{"msg_id":1}"#,
      #"{"msg_id":null}"#,
      #"{"msg_id":"a\n"}"#, #"{"msg_id":["a"]}"#, #"["msg_id","a"]"#, #"[{"msg_id":"a"}]"#, #"{"a":{"msg_id":"b"}}"#,
      #"{"a":"msg_id","b":"c"}"#,
      #"{"msg\u005fid":"a"}"#, #"{"msg_id_":"a"}"#, #"{"_msg_id":"a"}"#, "{\"msg_id\":\"\u{1}\"}", "\\", "\"\\", "{\"\\",
    ])
  func nothing(text: String) { #expect(scan(Array(text.utf8)).id == nil) }

  @Test("agrees with a full decode on random headers, however they are spaced, and on damaged ones")
  func agreement() throws {
    var random = SeededGenerator(seed: seed)
    var found = 0
    for round in 0..<4000 {
      var header = random.object(depth: 4)
      if random.chance(80) { header["msg_id"] = random.chance(80) ? .string(random.text()) : random.json(depth: 3) }
      if random.chance(80) { header["msg_type"] = .string("apply_request") }
      if random.chance(80) { header["met"] = random.chance(80) ? .bool(random.chance(50)) : random.json(depth: 3) }
      var bytes = JSONValue.object(header).encoded(pretty: random.chance(20))
      if round % 2 == 1 { bytes = random.mutation(of: bytes) }
      let answer = scan(bytes)
      guard let full = try? JSONValue(parsing: bytes) else { continue }
      // Of equal keys the scanner takes the first and a full decode the last: both know, and no signed header has any.
      let text = String(decoding: bytes, as: UTF8.self)
      func isRepeated(_ key: String) -> Bool { text.split(separator: "\"\(key)\"", omittingEmptySubsequences: false).count > 2 }
      if let id = answer.id, !isRepeated("msg_id") {
        found += 1
        #expect(full["msg_id"] == .string(id), "seed \(seed): \(text)")
      }
      if let type = answer.type, !isRepeated("msg_type") { #expect(full["msg_type"] == .string(type), "seed \(seed): \(text)") }
      if let met = answer.met, !isRepeated("met") { #expect(full["met"] == .bool(met), "seed \(seed): \(text)") }
    }
    #expect(found > 80, "seed \(seed)")
  }

  @Test("noise")
  func noise() {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<5000 { _ = scan(random.bytes(0...50)) }
    for _ in 0..<5000 {
      _ = scan(random.mutation(of: Array(#"{"msg_id": "a", "b": [{"c": "\"}"}], "msg_type": "d", "met": true}"#.utf8)))
    }
  }
}
