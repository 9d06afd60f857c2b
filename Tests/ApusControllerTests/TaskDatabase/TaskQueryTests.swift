import ApusMessaging
import Testing

@testable import ApusController

@Suite("Task queries")
struct TaskQueryTests {
  @Test(
    arguments: [
      (["nobody": 1], "no field 'nobody'"),
      (["msg_id": ["$like": "x"]], "no operator '$like'"),
      (["header": ["msg_id": "x"]], "no operator 'msg_id'"),
      (["msg_id": ["$in": "x"]], "$in (for msg_id) needs a list"),
      (["label": ["$mod": [0, 1]]], "$mod (for label) needs [divisor, remainder]"),
      (["label": ["$mod": 3]], "$mod (for label) needs [divisor, remainder]"),
      (["label": ["$glob": 3]], "$glob (for label) needs a pattern"),
      (["submitted": ["$lt": "yesterday"]], "$lt (for submitted) needs a date"),
      (["submitted": ["$lt": .null]], "$lt (for submitted) needs a date"),
      (["label": ["$gt": .null]], "$gt (for label) needs a text or a number"),
      (["$or": []], "no field '$or'"),
      ([1], "a dictionary of fields"),
    ] as [(JSONValue, String)])
  func aWrongQuerySaysWhatIsWrong(_ query: JSONValue, _ text: String) {
    let error = #expect(throws: TaskDatabaseError.self) { _ = try TaskQuery(query) }
    #expect(error?.code == .invalidQuery)
    #expect(error?.reason.contains(text) == true, "\(error?.reason ?? "")")
  }

  @Test func absurdOperandsAreNotRepeatedInFull() {
    let error = #expect(throws: TaskDatabaseError.self) {
      _ = try TaskQuery(["label": ["$glob": .string(String(repeating: "*", count: 100_000))]])
    }
    #expect((error?.reason.count ?? 1000) < 300)
  }

  @Test(
    arguments: [
      ("group_a*", "group_a/sub", true), ("group_b", "group_b", true), ("group_b", "group_b2", false), ("?", "é", true),
      ("?", "", false),
      ("*", "", true), ("**a", "bca", true), ("a*b*c", "aXbXbc", true), ("a*b*c", "aXbXcd", false), ("[ab]", "b", true),
      ("[ab]", "c", false),
      ("[!ab]", "c", true), ("[!ab]", "a", false), ("[a-c]x", "bx", true), ("[c-a]", "b", false), ("[!c-a]", "b", true),
      ("[]]", "]", true),
      ("[!]]", "]", false), ("[]", "[]", true), ("[a", "[a", true), ("[^a]", "^", true), ("[a-]", "-", true), ("[*]", "*", true),
      ("\\*", "\\x", true), ("", "", true), ("", "x", false),
    ] as [(String, String, Bool)])
  func patternsAreThoseOfFnmatch(_ pattern: String, _ text: String, _ matches: Bool) {
    #expect(GlobPattern(pattern).matches(text) == matches, "\(pattern) on \(text)")
  }

  @Test func aHopelessPatternEndsInTime() {
    let pattern = GlobPattern(String(repeating: "*a", count: 500) + "b")
    #expect(!pattern.matches(String(repeating: "a", count: 5000)))
  }

  @Test func textsAreComparedByCodePoint() throws {
    let database = MemoryDatabase()
    try database.submit(1, label: "\u{FFFD}")
    try database.submit(2, label: "\u{1F600}")
    #expect(try database.find(["label": ["$gt": "\u{FFFD}"]]) == [2])
  }
}
