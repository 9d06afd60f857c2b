public import ApusClient
import ApusMessaging
public import ApusTasks
public import Distributed
import Transport

/// Single Swift tasks on whichever engine is free.
extension LoadBalancedView {
  /// A proxy each of whose calls goes to one engine, which the scheduler chooses; the view's settings (retries, dependencies, targets) hold
  /// for each of them.
  /// - Throws: `TaskError` `unnameable`, `ClientError` `noEngines` where the cluster has engines, and none is Swift.
  public func actor<Act: DistributedActor>(_ type: Act.Type = Act.self) throws -> Act where Act.ActorSystem == ClusterActorSystem {
    let view = try ofSwiftEngines()
    return try ClusterActorSystem.proxies.proxy(
      type,
      by: CallRoute(name: "the load-balanced view") { call in
        try await view.submit(view.submission(call)).reply.buffers
      })
  }

  /// Runs a closure without captures on one engine: `try await view.apply { computeSomething() }`.
  /// - Throws: what it throws over there; `TaskError` for a closure that cannot run elsewhere.
  public func apply<Output: Codable & Sendable>(_ work: @escaping Thunk<Output>) async throws -> Output {
    try await applyAsync(work).value
  }

  /// As above, with an argument: `try await view.apply(20) { factorial($0) }`.
  public func apply<Input: Codable & Sendable, Output: Codable & Sendable>(
    _ input: Input, _ work: @escaping Work<Input, Output>
  ) async throws -> Output { try await applyAsync(input, work).value }

  /// Submits the closure, and returns without waiting for it.
  public func applyAsync<Output: Codable & Sendable>(_ work: @escaping Thunk<Output>) async throws -> AsyncResult<Output> {
    try await result(of: ClosureCall<Never, Output>.thunk(work))
  }

  /// As above, with an argument.
  public func applyAsync<Input: Codable & Sendable, Output: Codable & Sendable>(
    _ input: Input, _ work: @escaping Work<Input, Output>
  ) async throws -> AsyncResult<Output> { try await result(of: ClosureCall<Input, Output>.single(work, input)) }

  private func result<Output: Codable & Sendable>(of call: EncodedCall) async throws -> AsyncResult<Output> {
    let view = try ofSwiftEngines()
    return AsyncResult(decoding: try await view.submit(submission(call)))
  }
}

extension AsyncResult where Value: Codable {
  /// The result of a Swift task.
  init(decoding task: TaskHandle) {
    self.init(task, mapError: typed) { reply in try TaskValue.read(Value.self, from: reply.buffers, "the result of the task") }
  }
}

extension ClusterActorSystem {
  /// All proxies of a process share one system: it has no state but what it remembers of calls.
  static let proxies = ClusterActorSystem()
}
