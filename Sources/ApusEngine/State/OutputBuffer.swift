public import Transport

/// Printed text that waits to be published: runs of one stream under one request.
public struct OutputBuffer: Sendable {
  public enum Stream: String, Sendable {
    case stdout
    case stderr
  }

  public struct Run: Sendable {
    public let stream: Stream
    /// The header of the request that printed it.
    public let parent: Frame
    public var text: [UInt8]

    /// The text in parts that queues can count, none of which ends within a character.
    var pieces: [ArraySlice<UInt8>] {
      var pieces: [ArraySlice<UInt8>] = []
      var start = 0
      while text.count - start > OutputBuffer.limit {
        var end = start + OutputBuffer.limit
        // A character has three such bytes at most; more are none of UTF-8.
        for _ in 0..<3 where text[end] & 0xC0 == 0x80 { end -= 1 }
        pieces.append(text[start..<end])
        start = end
      }
      pieces.append(text[start...])
      return pieces
    }
  }

  private(set) var runs: [Run] = []
  private(set) var size = 0
  /// Bytes that are published without waiting for the end of the delay: the size of a piece. Queues of pieces are counted, so pieces are small.
  static let limit = 32 << 10

  public init() {}

  public var isEmpty: Bool { runs.isEmpty }
  var isFull: Bool { size >= Self.limit }

  public mutating func append(_ text: UnsafeRawBufferPointer, to stream: Stream, parent: Frame) {
    guard !text.isEmpty else { return }
    size += text.count
    if let last = runs.indices.last, runs[last].stream == stream, runs[last].parent == parent {
      runs[last].text.append(contentsOf: text)
    } else {
      runs.append(Run(stream: stream, parent: parent, text: Array(text)))
    }
  }

  public mutating func take() -> [Run] {
    defer {
      runs.removeAll(keepingCapacity: true)
      size = 0
    }
    return runs
  }
}
