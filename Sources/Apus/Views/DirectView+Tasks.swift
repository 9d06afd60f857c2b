public import ApusClient
import ApusMessaging
public import ApusTasks
public import Distributed
import Transport

/// Swift tasks on every engine of the view.
extension DirectView {
  /// A proxy for each engine, in the order of `engines`. What an actor stores lasts between calls.
  public func actors<Act: DistributedActor>(_ type: Act.Type = Act.self) throws -> [Act]
  where Act.ActorSystem == ClusterActorSystem {
    try ofSwiftEngines().engines.map { engine in
      try ClusterActorSystem.proxies.proxy(type, by: route(to: engine))
    }
  }

  /// A proxy for the only engine of this view: `try client[0].actor(WordCounter.self)`.
  /// - Throws: `ClientError` `invalidArgument` for a view of several engines.
  public func actor<Act: DistributedActor>(_ type: Act.Type = Act.self) throws -> Act where Act.ActorSystem == ClusterActorSystem {
    let engines = try ofSwiftEngines().engines
    guard let engine = engines.first, engines.count == 1 else {
      throw ClientError(
        .invalidArgument, "a proxy is for one engine, and the view has \(engines.count)",
        advice: "Take actors(_:) for all, or a view of one: client[0].")
    }
    return try ClusterActorSystem.proxies.proxy(type, by: route(to: engine))
  }

  private func route(to engine: RegisteredEngine) -> CallRoute {
    let view = DirectView(client: client, targets: .engines([engine.id]), label: label)
    return CallRoute(name: "engine \(engine.id)") { call in
      guard let task = try await view.submit(view.submission(call)).first else { return [] }
      return try await task.reply.buffers
    }
  }

  /// Calls the actor of every engine at once.
  ///
  ///     let counts = try await view.onAll(WordCounter.self) { try await $0.calls() }
  ///
  /// - Returns: the results in the order of `engines`.
  /// - Throws: the first error; the calls of other engines are then cancelled.
  public func onAll<Act: DistributedActor, Output: Sendable>(
    _ type: Act.Type, _ body: @escaping @Sendable (Act) async throws -> Output
  ) async throws -> [Output] where Act.ActorSystem == ClusterActorSystem {
    try await ActorMap.run(try actors(type), ahead: .max) { _, actor in try await body(actor) }
  }

  /// Runs a closure without captures on every engine.
  /// - Returns: the results in the order of `engines`.
  public func apply<Output: Codable & Sendable>(_ work: @escaping Thunk<Output>) async throws -> [Output] {
    try await values(of: applyAsync(work))
  }

  /// As above, with an argument that all of them get.
  public func apply<Input: Codable & Sendable, Output: Codable & Sendable>(
    _ input: Input, _ work: @escaping Work<Input, Output>
  ) async throws -> [Output] { try await values(of: applyAsync(input, work)) }

  /// Submits the closure to every engine, and returns without waiting.
  public func applyAsync<Output: Codable & Sendable>(_ work: @escaping Thunk<Output>) async throws -> [AsyncResult<Output>] {
    try await results(of: ClosureCall<Never, Output>.thunk(work))
  }

  /// As above, with an argument.
  public func applyAsync<Input: Codable & Sendable, Output: Codable & Sendable>(
    _ input: Input, _ work: @escaping Work<Input, Output>
  ) async throws -> [AsyncResult<Output>] { try await results(of: ClosureCall<Input, Output>.single(work, input)) }

  private func results<Output: Codable & Sendable>(of call: EncodedCall) async throws -> [AsyncResult<Output>] {
    try await ofSwiftEngines().submit(submission(call)).map { AsyncResult(decoding: $0) }
  }
}

/// Waits for all; the first failure in order cancels the others.
func values<Output: Sendable>(of results: [AsyncResult<Output>]) async throws -> [Output] {
  var values: [Output] = []
  values.reserveCapacity(results.count)
  do {
    for result in results { values.append(try await result.value) }
    return values
  } catch {
    for result in results { result.cancel() }
    throw error
  }
}
