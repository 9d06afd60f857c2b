import ApusMessaging

/// Calls on one engine, which the scheduler chooses.
extension PythonView where View.Submitted == TaskHandle {
  /// Runs source as a cell, to its end.
  /// - Returns: what it wrote and showed.
  /// - Throws: `RemoteError` with Python's traceback, `ClientError`, `CancellationError`; cancelling interrupts it.
  @discardableResult
  public func execute(_ code: String, isSilent: Bool = false) async throws -> TaskOutput {
    let task = try await executeAsync(code, isSilent: isSilent)
    _ = try await task.reply
    return await task.completeOutput()
  }

  /// Calls a function by the name by which Python finds it: one of the engine's namespace, a built-in one, or one of a module that
  /// can be imported. `apply("math.sqrt", 2.0, as: Double.self)`.
  /// - Parameters:
  ///   - arguments: the positional ones.
  ///   - keywords: the others, by name.
  ///   - type: of the result.
  /// - Throws: `RemoteError` with Python's traceback; `ClientError` `resultType` for a result of another type, `invalidArgument`
  ///   for a value that cannot be sent, `noEngines`; `CancellationError`. Cancelling interrupts the call.
  public func apply<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    _ function: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> Value {
    try await applyAsync(function, repeat each arguments, keywords: keywords, as: type).value
  }

  /// As above, and leaves the result over there, whatever it is.
  public func apply<each Argument: Encodable & Sendable>(
    _ function: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:]
  ) async throws {
    let call = try PythonFunction.named(function).call(repeat each arguments, keywords: keywords, discards: true)
    _ = try await submit(call).reply
  }

  /// As `apply`, and returns as soon as the call is submitted.
  public func applyAsync<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    _ function: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> AsyncResult<Value> {
    try await result(of: PythonFunction.named(function).call(repeat each arguments, keywords: keywords))
  }

  /// Calls a function that is given as source: an expression (`"lambda a, b: a + b"`), or definitions whose last `def` is meant.
  /// Its globals are the engine's namespace. Engines keep it: it is evaluated once for all calls.
  public func apply<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    source: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> Value {
    try await applyAsync(source: source, repeat each arguments, keywords: keywords, as: type).value
  }

  /// As above, and leaves the result over there, whatever it is.
  public func apply<each Argument: Encodable & Sendable>(
    source: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:]
  ) async throws {
    let call = try PythonFunction.source(source).call(repeat each arguments, keywords: keywords, discards: true)
    _ = try await submit(call).reply
  }

  /// As `apply`, and returns as soon as the call is submitted.
  public func applyAsync<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    source: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> AsyncResult<Value> {
    try await result(of: PythonFunction.source(source).call(repeat each arguments, keywords: keywords))
  }

  private func result<Value: Decodable & Sendable>(of call: PythonCall) async throws -> AsyncResult<Value> {
    let name = call.name
    return AsyncResult(try await submit(call)) { try PythonResult.decode(Value.self, $0, of: name) }
  }
}
