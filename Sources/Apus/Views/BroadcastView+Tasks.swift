public import ApusClient
import ApusMessaging
public import ApusTasks
import Transport

/// Swift tasks by one message that the controller copies: for many engines, and for large arguments.
extension BroadcastView {
  /// Runs a closure without captures on every engine.
  /// - Returns: the results in the order of `engines`.
  /// - Throws: `ClientError` `invalidArgument` for a coalescing view, whose single reply cannot be taken apart.
  public func apply<Output: Codable & Sendable>(_ work: @escaping Thunk<Output>) async throws -> [Output] {
    try await values(of: results(of: ClosureCall<Never, Output>.thunk(work)))
  }

  /// As above, with an argument that all of them get.
  public func apply<Input: Codable & Sendable, Output: Codable & Sendable>(
    _ input: Input, _ work: @escaping Work<Input, Output>
  ) async throws -> [Output] { try await values(of: results(of: ClosureCall<Input, Output>.single(work, input))) }

  /// Binds a value on every engine; see `DirectView.push`.
  public func push<Value: Codable & Sendable>(_ name: String, _ value: Value) async throws {
    let view = try ofSwiftEngines()
    _ = try await view.submit(submission(EncodedCall.push([name: value]))).replies
  }

  private func results<Output: Codable & Sendable>(of call: EncodedCall) async throws -> [AsyncResult<Output>] {
    guard !isCoalescing else {
      throw ClientError(
        .invalidArgument, "the replies of a coalescing view come as one, which cannot be told apart by engine",
        advice: "Set isCoalescing to false for Swift tasks.")
    }
    return try await ofSwiftEngines().submit(submission(call)).map { AsyncResult(decoding: $0) }
  }
}
