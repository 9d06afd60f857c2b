public import ApusClient
import ApusMessaging
import ApusTasks
import Transport

/// Values that stay on engines. Swift tasks read them by `TaskContext.value`; Python engines bind them as variables (`view.python`).
extension DirectView {
  /// Binds a value on every Swift engine of the view. It is encoded once, however many engines there are.
  public func push<Value: Codable & Sendable>(_ name: String, _ value: Value) async throws {
    _ = try await ofSwiftEngines().submit(submission(EncodedCall.push([name: value]))).replies
  }

  /// The value of this name on every engine, in the order of `engines`.
  /// - Throws: `RemoteError` `TaskError` where an engine has none, or it is of another type.
  public func pull<Value: Codable & Sendable>(_ name: String, as type: Value.Type = Value.self) async throws -> [Value] {
    let tasks = try await ofSwiftEngines().submit(submission(EncodedCall.pull([name])))
    let results = tasks.map { task in
      AsyncResult<Value>(task, mapError: typed) { reply in
        guard let value = try TaskValue.read([Value].self, from: reply.buffers, "what was pulled as “\(name)”").first else {
          throw ClientError(.badReply, "a pull without a value")
        }
        return value
      }
    }
    return try await values(of: results)
  }

  /// Divides an array into one part for each engine, as equal as can be and in order, and binds the parts under one name.
  /// - Returns: how many elements each engine got.
  @discardableResult
  public func scatter<Element: Codable & Sendable>(_ name: String, _ elements: [Element]) async throws -> [Int] {
    let view = try ofSwiftEngines()
    let engines = try view.engines
    let parts = Partition.blocks(elements.count, in: engines.count)
    var tasks: [TaskHandle] = []
    for (engine, range) in zip(engines, parts) {
      let part = DirectView(client: client, targets: .engines([engine.id]), label: label)
      tasks += try await part.submit(submission(EncodedCall.push([name: Array(elements[range])])))
    }
    for task in tasks { _ = try await task.reply }
    return parts.map(\.count)
  }

  /// The parts of a scattered array, put together again in the order of the engines.
  public func gather<Element: Codable & Sendable>(_ name: String, as type: Element.Type = Element.self) async throws -> [Element] {
    Array(try await pull(name, as: [Element].self).joined())
  }
}
