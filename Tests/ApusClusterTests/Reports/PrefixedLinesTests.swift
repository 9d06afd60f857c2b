import Testing

@testable import ApusCluster

@Suite struct PrefixedLinesTests {
  @Test func linesOfSeveralStreamsAreNotTorn() {
    var lines = PrefixedLines()
    #expect(lines.add("hel", to: "[a]") == "")
    #expect(lines.add("one\ntwo", to: "[b]") == "[b] one\n")
    #expect(lines.add("lo\n\nx", to: "[a]") == "[a] hello\n[a] \n")
    #expect(lines.finish("[b]") == "[b] two\n")
    #expect(lines.finish() == "[a] x\n")
    #expect(lines.finish() == "")
  }

  @Test func returnsDrawOverTheLine() {
    var lines = PrefixedLines()
    #expect(lines.add("\r 10%", to: "[a]") == "")
    #expect(lines.add("\r 20%", to: "[a]") == "[a]  10%\r")
    #expect(lines.add("\r", to: "[a]") == "")
    #expect(lines.add("\ndone\r\n", to: "[a]") == "[a]  20%\n[a] done\n")
    #expect(lines.finish() == "")
    _ = lines.add("end\r", to: "[a]")
    #expect(lines.finish() == "[a] end\n")
  }

  @Test func endlessLinesAreCutBetweenCharacters() {
    var lines = PrefixedLines()
    var text = ""
    for _ in 0..<3 { text += lines.add(String(repeating: "é", count: PrefixedLines.longest / 2), to: "[a]") }
    text += lines.finish()
    #expect(text.split(separator: "\n").count == 3)
    #expect(text.filter { $0 == "é" }.count == PrefixedLines.longest / 2 * 3)
  }
}
