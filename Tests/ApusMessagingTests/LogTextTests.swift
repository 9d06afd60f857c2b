import ApusMessaging
import Testing

@Suite("Text for logs") struct LogTextTests {
  @Test("what could move a terminal's cursor or end a line is spelt out")
  func controls() {
    #expect("plain é 漢".printable == "plain é 漢")
    #expect("a\u{1B}[31mred\u{7F}\r\u{9B}x\u{202E}".printable == #"a\u{1b}[31mred\u{7f}\u{d}\u{9b}x\u{202e}"#)
    #expect("a\tb".printable == "a\tb")
  }

  @Test("a second line cannot be taken for the log's own")
  func lines() {
    #expect("x\n2026-01-01 [IPController] CRITICAL | no".printable == "x\n    2026-01-01 [IPController] CRITICAL | no")
    #expect("x\ny".printableInLine == #"x\n    y"#)
  }
}
