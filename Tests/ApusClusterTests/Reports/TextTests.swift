import ApusCluster
import Testing

@Suite struct TextTests {
  @Test(
    arguments: [
      ("0", 0), ("2.5", 2.5), ("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("-1", nil), ("", nil), ("s", nil),
      ("1w", nil),
      ("inf", nil), ("nan", nil), ("1e300d", nil), ("x", nil),
    ] as [(String, Double?)])
  func durationsAreRead(_ text: String, _ seconds: Double?) { #expect(DurationText.seconds(text) == seconds) }

  @Test(arguments: [
    (0, "0 µs"), (0.00034, "340 µs"), (0.0125, "12.5 ms"), (1.239, "1.24 s"), (185, "3 min 5 s"), (7380, "2 h 3 min"),
    (90_000, "1 d 1 h"), (-1, "0 µs"), (.infinity, ""),
  ])
  func durationsAreWritten(_ seconds: Double, _ text: String) { #expect(DurationText.text(seconds: seconds) == text) }

  @Test(arguments: [
    (1.005, 1, "1.0"), (0.05, 2, "0.05"), (-2.25, 1, "-2.3"), (-0.001, 1, "0.0"), (1234, 0, "1234"), (.nan, 1, "nan"),
  ])
  func numbersAreFixed(_ value: Double, _ digits: Int, _ text: String) { #expect(DurationText.fixed(value, digits) == text) }

  @Test func stylesAreRemoved() {
    #expect(TerminalStyle.removed(from: "\u{1B}[0;31mOut[\u{1B}[39m\u{1B}]x\u{1B}") == "Out[x")
    #expect(TerminalStyle.red.applied(to: "x") == "\u{1B}[31mx\u{1B}[0m")
    #expect(TerminalStyle.printable("a\u{1B}[2J\nb\u{7F}\u{9B}c") == "a b  c")
  }

  @Test func tablesAreAligned() {
    var table = TextTable([.init("ID", isNumeric: true), .init("NAME"), .init("END")])
    table.append(["1", "a", .init("x", .red)])
    table.append(["100", "long\nname", ""])
    #expect(
      table.text(isStyled: false) == """
         ID  NAME       END
          1  a          x
        100  long name

        """)
    #expect(table.text(isStyled: true).contains("a          \u{1B}[31mx\u{1B}[0m\n"))
  }
}
