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

@Suite("Pieces of printed text") struct OutputPieceTests {
  @Test("small enough to be counted, and no character is divided")
  func pieces() throws {
    var buffer = OutputBuffer()
    let text = String(repeating: "aé漢😀", count: 30_000)
    Array(text.utf8).withUnsafeBytes { buffer.append($0, to: .stdout, parent: .emptyObject) }
    let run = try #require(buffer.take().first)
    #expect(run.pieces.count > 3 && run.pieces.allSatisfy { $0.count <= OutputBuffer.limit && !$0.isEmpty })
    #expect(run.pieces.allSatisfy { String(validating: $0, as: UTF8.self) != nil })
    #expect(run.pieces.map { String(decoding: $0, as: UTF8.self) }.joined() == text)
    // Bytes that are no text are not lost, nor do they make it go round for ever.
    let noise = [UInt8](repeating: 0x80, count: 100_000)
    noise.withUnsafeBytes { buffer.append($0, to: .stderr, parent: .emptyObject) }
    #expect(buffer.take()[0].pieces.reduce(0) { $0 + $1.count } == 100_000)
  }
}
