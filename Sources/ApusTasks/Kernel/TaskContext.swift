public import ApusMessaging

/// Where a task runs: `TaskContext.current` within a task on an engine, `nil` elsewhere.
public struct TaskContext: Sendable {
  struct Identity: Sendable {
    var id = EngineID(-1)
    var uuid = EngineUUID("")
  }

  let identity: Identity
  /// What clients have pushed to the engine.
  public let namespace: Namespace
  /// The request's id, as the client's `TaskHandle.id`.
  public let id: MessageID

  /// The engine's number.
  public var engine: EngineID { identity.id }
  public var engineUUID: EngineUUID { identity.uuid }

  @TaskLocal public static var current: TaskContext?

  /// A value that was pushed to the engine this task runs on.
  /// - Throws: `TaskError`: `unknownName` (also outside of an engine), `badValue`.
  public static func value<Value: Codable & Sendable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
    guard let current else { throw TaskError(.unknownName, "“\(name)”: this is no task on an engine") }
    return try current.namespace.value(name, as: type)
  }
}
