public import ApusClient
public import ApusTasks
public import Distributed

/// Maps that divide their items evenly among the engines of a view: each gets one contiguous part, in one message.
extension DirectView {
  /// Calls a closure without captures for each item, on engines that run this very program.
  /// - Returns: the results in the order of the items.
  /// - Throws: the first failure in the order of the engines; `TaskError` for closures that cannot run elsewhere.
  public func map<Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, _ body: @escaping Work<Items.Element, Output>
  ) async throws -> [Output] where Items.Element: Codable & Sendable {
    try await map(Array(items), ClosureCall(each: body))
  }

  /// As above, with a value that every call gets.
  public func map<Shared: Codable & Sendable, Items: Sequence & Sendable, Output: Codable & Sendable>(
    _ items: Items, with shared: Shared, _ body: @escaping SharingWork<Shared, Items.Element, Output>
  ) async throws -> [Output] where Items.Element: Codable & Sendable {
    try await map(Array(items), ClosureCall(sharing: shared, each: body))
  }

  private func map<Input: Codable & Sendable, Output: Codable & Sendable>(
    _ items: [Input], _ call: ClosureCall<Input, Output>
  ) async throws -> [Output] {
    let engines = try ofSwiftEngines().engines
    var results: [AsyncResult<[Output]>] = []
    for (engine, range) in zip(engines, Partition.blocks(items.count, in: engines.count)) where !range.isEmpty {
      let view = DirectView(client: client, targets: .engines([engine.id]), label: label)
      results += try await view.submit(submission(call.call(Array(items[range])))).map { AsyncResult(decoding: $0) }
    }
    return Array(try await values(of: results).joined())
  }

  /// Calls the body for each item with the actor of the engine that the item falls to, in contiguous parts.
  /// - Returns: the results in the order of the items.
  public func map<Items: Sequence & Sendable, Act: DistributedActor, Output: Sendable>(
    _ items: Items, on type: Act.Type, ahead: Int = 256, _ body: @escaping @Sendable (Act, Items.Element) async throws -> Output
  ) async throws -> [Output] where Items.Element: Sendable, Act.ActorSystem == ClusterActorSystem {
    let items = Array(items)
    let proxies = try actors(type)
    let parts = Partition.blocks(items.count, in: proxies.count)
    let owners = zip(proxies, parts).flatMap { proxy, range in range.map { _ in proxy } }
    return try await ActorMap.run(items, ahead: ahead) { index, item in try await body(owners[index], item) }
  }
}
