public import ApusClient
public import ApusTasks
public import Distributed

/// Maps over whichever engines are free.
extension LoadBalancedView {
  /// Calls a closure without captures for each item, on engines that run this very program.
  ///
  ///     let squares = try await view.map(0..<32) { $0 * $0 }
  ///
  /// - Parameters:
  ///   - chunk: how many items a message has; left alone, small ones travel together.
  /// - Returns: the results in the order of the items.
  /// - Throws: what the first failed item threw, after the rest was aborted; `TaskError` for closures that cannot run elsewhere.
  public func map<Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, chunk: ChunkSize = .automatic, progress: ProgressDisplay = .automatic,
    _ body: @escaping Work<Items.Element, Output>
  ) async throws -> [Output] where Items.Element: Codable & Sendable {
    try await mapAsync(items, chunk: chunk, progress: progress, body).value
  }

  /// As above, with a value that every call gets: what a closure would otherwise capture.
  ///
  ///     let hits = try await view.map(texts, with: pattern) { pattern, text in text.contains(pattern) }
  public func map<Shared: Codable & Sendable, Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, with shared: Shared, chunk: ChunkSize = .automatic, progress: ProgressDisplay = .automatic,
    _ body: @escaping SharingWork<Shared, Items.Element, Output>
  ) async throws -> [Output] where Items.Element: Codable & Sendable {
    try await mapAsync(items, with: shared, chunk: chunk, progress: progress, body).value
  }

  /// Begins a map, and returns without waiting for it.
  public func mapAsync<Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, chunk: ChunkSize = .automatic, progress: ProgressDisplay = .automatic,
    _ body: @escaping Work<Items.Element, Output>
  ) async throws -> AsyncMapResult<Output> where Items.Element: Codable & Sendable {
    try begin(items, ClosureCall(each: body), chunk, progress)
  }

  /// As above, with a value that every call gets.
  public func mapAsync<Shared: Codable & Sendable, Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, with shared: Shared, chunk: ChunkSize = .automatic, progress: ProgressDisplay = .automatic,
    _ body: @escaping SharingWork<Shared, Items.Element, Output>
  ) async throws -> AsyncMapResult<Output> where Items.Element: Codable & Sendable {
    try begin(items, ClosureCall(sharing: shared, each: body), chunk, progress)
  }

  /// Results as they are read, over any number of items: what is submitted and not read stays below `ahead` messages.
  /// - Parameter isOrdered: in the order of the items; otherwise as they come.
  public func results<Items: Sequence & Sendable, Output: Codable & Sendable>(
    of items: Items, chunk: ChunkSize = .automatic, isOrdered: Bool = true, ahead: Int = 8192,
    _ body: @escaping Work<Items.Element, Output>
  ) throws -> MapResults<Output> where Items.Element: Codable & Sendable {
    let chunks = try chunks(items, ClosureCall(each: body), chunk, total: nil, isOrdered: isOrdered, ahead: ahead)
    return MapResults(chunks: { Self.reader(of: chunks) })
  }

  private func begin<Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, _ call: ClosureCall<Items.Element, Output>, _ size: ChunkSize, _ display: ProgressDisplay
  ) throws -> AsyncMapResult<Output> where Items.Element: Codable & Sendable {
    let total = (items as? any Collection).map { Self.count(of: $0) }
    let chunks = try chunks(items, call, size, total: total, isOrdered: true, ahead: 8192)
    return AsyncMapResult(total: total, display: display, chunks: { Self.reader(of: chunks) })
  }

  private func chunks<Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, _ call: ClosureCall<Items.Element, Output>, _ size: ChunkSize, total: Int?, isOrdered: Bool, ahead: Int
  ) throws -> MapChunks<Items, Output> where Items.Element: Codable & Sendable {
    MapChunks(
      view: try ofSwiftEngines(), items: items, call: call, size: size, total: total, isOrdered: isOrdered, ahead: ahead)
  }

  private static func reader<Items: Sequence & Sendable, Output: Codable & Sendable>(
    of chunks: MapChunks<Items, Output>
  ) -> () async throws -> MapChunk<Output>? where Items.Element: Codable & Sendable {
    var iterator = chunks.makeAsyncIterator()
    return { try await iterator.next() }
  }

  private static func count(of items: some Collection) -> Int { items.count }
}

/// Maps that call functions of distributed actors.
extension LoadBalancedView {
  /// Calls the body for each item with a proxy whose calls go to whichever engine is free.
  ///
  ///     let counts = try await view.map(parts, on: WordCounter.self) { try await $0.count($1) }
  ///
  /// - Parameter ahead: items whose bodies run at once on this side.
  /// - Returns: the results in the order of the items.
  /// - Throws: the first error; what is outstanding is then aborted.
  public func map<Items: Sequence & Sendable, Act: DistributedActor, Output: Sendable>(
    _ items: Items, on type: Act.Type, ahead: Int = 256, _ body: @escaping @Sendable (Act, Items.Element) async throws -> Output
  ) async throws -> [Output] where Items.Element: Sendable, Act.ActorSystem == ClusterActorSystem {
    let proxy = try actor(type)
    return try await ActorMap.run(items, ahead: ahead) { _, item in try await body(proxy, item) }
  }
}
