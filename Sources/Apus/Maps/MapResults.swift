import ApusClient
import ApusTasks

/// The results of a map as they are read, however many items there are: tasks are submitted only so far ahead of the reader.
///
///     for try await square in view.results(of: 0..., isOrdered: false) { $0 * $0 } { … }
///
/// Leaving the loop, or cancelling it, aborts what is outstanding. A failed item throws and ends the loop; `outcomes` goes on.
public struct MapResults<Output: Sendable>: AsyncSequence, Sendable {
  public typealias Element = Output
  let chunks: @Sendable () -> () async throws -> MapChunk<Output>?

  public func makeAsyncIterator() -> Iterator { Iterator(next: chunks()) }

  public struct Iterator: AsyncIteratorProtocol {
    let next: () async throws -> MapChunk<Output>?
    private var values = ArraySlice<Output>()

    init(next: @escaping () async throws -> MapChunk<Output>?) { self.next = next }

    public mutating func next() async throws -> Output? {
      while values.isEmpty {
        guard let chunk = try await next() else { return nil }
        values = try chunk.values.get()[...]
      }
      return values.removeFirst()
    }
  }

  /// Every item's number and how it ended; nothing but a broken connection or a cancellation ends the sequence early.
  public var outcomes: MapOutcomes<Output> { MapOutcomes(chunks: chunks) }
}

/// How each item of a map ended.
public struct MapOutcomes<Output: Sendable>: AsyncSequence, Sendable {
  public struct Element: Sendable {
    /// The item's position in the input.
    public let index: Int
    public let result: Result<Output, any Error>
  }

  let chunks: @Sendable () -> () async throws -> MapChunk<Output>?

  public func makeAsyncIterator() -> Iterator { Iterator(next: chunks()) }

  public struct Iterator: AsyncIteratorProtocol {
    let next: () async throws -> MapChunk<Output>?
    private var waiting = ArraySlice<Element>()

    init(next: @escaping () async throws -> MapChunk<Output>?) { self.next = next }

    public mutating func next() async throws -> Element? {
      while waiting.isEmpty {
        guard let chunk = try await next() else { return nil }
        waiting =
          (0..<chunk.count).map { offset in
            Element(index: chunk.start + offset, result: chunk.value(offset))
          }[...]
      }
      return waiting.removeFirst()
    }
  }
}
