import Testing
import Transport
@testable import ApusEngine

@Suite struct OutputBufferTests {
  private func append(_ text: String, _ stream: OutputBuffer.Stream, _ parent: Frame, to buffer: inout OutputBuffer) {
    Array(text.utf8).withUnsafeBytes { buffer.append($0, to: stream, parent: parent) }
  }

  private func texts(_ buffer: inout OutputBuffer) -> [String] {
    buffer.take().map { "\($0.stream.rawValue): \(String(decoding: $0.text, as: UTF8.self))" }
  }

  @Test func runsOfOneStreamAndRequestAreOneMessage() {
    var buffer = OutputBuffer()
    let (first, second) = (Frame("{\"msg_id\":\"1\"}"), Frame("{\"msg_id\":\"2\"}"))
    append("a", .stdout, first, to: &buffer)
    append("", .stderr, first, to: &buffer)
    append("b", .stdout, first, to: &buffer)
    append("c", .stderr, first, to: &buffer)
    append("d", .stdout, first, to: &buffer)
    append("e", .stdout, second, to: &buffer)
    let taken = texts(&buffer)
    #expect(taken == ["stdout: ab", "stderr: c", "stdout: d", "stdout: e"])
    #expect(buffer.isEmpty)
    let rest = texts(&buffer)
    #expect(rest.isEmpty)
  }

  @Test func knowsWhenItIsFull() {
    var buffer = OutputBuffer()
    append(String(repeating: "x", count: OutputBuffer.limit - 1), .stdout, .empty, to: &buffer)
    #expect(!buffer.isFull)
    append("y", .stdout, .empty, to: &buffer)
    #expect(buffer.isFull)
    _ = buffer.take()
    #expect(!buffer.isFull)
  }
}
