import ApusMessaging

/// Calls on every engine of the view; results are in the order of its engines.
extension PythonView where View.Submitted == TaskSet {
  /// Runs source as a cell on every engine, to its end.
  /// - Returns: what each engine wrote and showed.
  /// - Throws: the first `RemoteError`, with Python's traceback, `ClientError`, `CancellationError`; cancelling interrupts it.
  @discardableResult
  public func execute(_ code: String, isSilent: Bool = false) async throws -> [TaskOutput] {
    let tasks = try await executeAsync(code, isSilent: isSilent)
    _ = try await allReplies(of: tasks)
    var outputs: [TaskOutput] = []
    for task in tasks { outputs.append(await task.completeOutput()) }
    return outputs
  }

  /// Binds variables on every engine: `push(["x": samples, "count": 3])`. Each value is encoded once, however many engines there
  /// are.
  public func push(_ values: [String: any Encodable & Sendable]) async throws {
    _ = try await allReplies(of: submit(.push(values)))
  }

  /// The value of a variable on every engine: `pull("x", as: [Double].self)`.
  /// - Throws: `RemoteError` `NameError` where an engine has none of this name.
  public func pull<Value: Decodable & Sendable>(_ name: String, as type: Value.Type = Value.self) async throws -> [Value] {
    let call = try PythonCall.pull(name)
    let results = try await submit(call).map { task in
      AsyncResult<Value>(task) { reply in
        guard let value = try PythonResult.decode([Value].self, reply, of: call.name).first else {
          throw ClientError(.badReply, "a pull of \(name) came back without a value")
        }
        return value
      }
    }
    return try await ApusClient.values(ofAll: results)
  }

  /// Calls a function by the name by which Python finds it: one of the engine's namespace, a built-in one, or one of a module that
  /// can be imported. `apply("math.sqrt", 2.0, as: Double.self)`.
  /// - Parameters:
  ///   - arguments: the positional ones.
  ///   - keywords: the others, by name.
  ///   - type: of the result.
  /// - Returns: the results of all engines.
  /// - Throws: `RemoteError` with Python's traceback; `ClientError` `resultType` for a result of another type, `invalidArgument`
  ///   for a value that cannot be sent, `noEngines`; `CancellationError`. Cancelling interrupts the call.
  public func apply<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    _ function: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> [Value] {
    try await ApusClient.values(ofAll: applyAsync(function, repeat each arguments, keywords: keywords, as: type))
  }

  /// As above, and leaves the result over there, whatever it is.
  public func apply<each Argument: Encodable & Sendable>(
    _ function: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:]
  ) async throws {
    let call = try PythonFunction.named(function).call(repeat each arguments, keywords: keywords, discards: true)
    _ = try await allReplies(of: submit(call))
  }

  /// As `apply`, and returns as soon as the call is submitted.
  public func applyAsync<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    _ function: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> [AsyncResult<Value>] {
    try await results(of: PythonFunction.named(function).call(repeat each arguments, keywords: keywords))
  }

  /// Calls a function that is given as source: an expression (`"lambda a, b: a + b"`), or definitions whose last `def` is meant.
  /// Its globals are the engine's namespace. Engines keep it: it is evaluated once for all calls.
  public func apply<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    source: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> [Value] {
    try await ApusClient.values(ofAll: applyAsync(source: source, repeat each arguments, keywords: keywords, as: type))
  }

  /// As above, and leaves the result over there, whatever it is.
  public func apply<each Argument: Encodable & Sendable>(
    source: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:]
  ) async throws {
    let call = try PythonFunction.source(source).call(repeat each arguments, keywords: keywords, discards: true)
    _ = try await allReplies(of: submit(call))
  }

  /// As `apply`, and returns as soon as the call is submitted.
  public func applyAsync<each Argument: Encodable & Sendable, Value: Decodable & Sendable>(
    source: String, _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable] = [:],
    as type: Value.Type = Value.self
  ) async throws -> [AsyncResult<Value>] {
    try await results(of: PythonFunction.source(source).call(repeat each arguments, keywords: keywords))
  }

  private func results<Value: Decodable & Sendable>(of call: PythonCall) async throws -> [AsyncResult<Value>] {
    let name = call.name
    return try await submit(call).map { task in AsyncResult(task) { try PythonResult.decode(Value.self, $0, of: name) } }
  }
}
