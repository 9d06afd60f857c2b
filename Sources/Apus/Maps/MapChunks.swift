import ApusClient
import ApusTasks

/// A map in chunks, before anything was sent.
struct MapChunks<Items: Sequence & Sendable, Output: Codable & Sendable>: AsyncSequence, Sendable
where Items.Element: Codable & Sendable {
  let view: LoadBalancedView
  let items: Items
  let call: ClosureCall<Items.Element, Output>
  let size: ChunkSize
  let total: Int?
  let isOrdered: Bool
  let ahead: Int

  func makeAsyncIterator() -> Iterator {
    let sizer = ChunkSizer(size, engines: engines, total: total)
    let chunks = ItemChunks(items, call, sizer)
    let results = view.results(
      of: ItemChunkSequence(chunks: chunks), isOrdered: isOrdered, ahead: ahead, limit: sizer.chunksAhead)
    return Iterator(chunks: chunks, results: results.makeAsyncIterator())
  }

  private var engines: Int { view.targets?.count ?? view.client.engines.count { $0.kind == .swift } }

  struct Iterator: AsyncIteratorProtocol {
    let chunks: ItemChunks<Items, Output>
    var results: TaskResults<ItemChunkSequence<Items, Output>>.Iterator

    mutating func next() async throws -> MapChunk<Output>? {
      guard let result = try await results.next() else {
        if let failure = chunks.failure { throw failure }
        return nil
      }
      return chunks.read(result)
    }
  }
}
