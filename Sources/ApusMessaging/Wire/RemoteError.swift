public import Transport

/// A task that failed over there, in the form of the wire (protocol sections 6.1 and 7.3).
public struct RemoteError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The name of what is said of a task that has ended and whose result nobody has any more.
  public static let resultLost = "ResultLost"

  /// The exception's class name: `ValueError`, or one of ipyparallel's own.
  public var name: String
  public var value: String
  /// Lines as the peer rendered them, usually with ANSI colours.
  public var traceback: [String]
  /// Which engine, and what it was doing; nil when no engine was involved.
  public var engine: EngineInfo?
  /// What was thrown, where it was a value that can travel (Swift engines only).
  public var thrown: Thrown?

  /// A thrown value as it travels: as the buffers of the reply.
  public struct Thrown: Hashable, Sendable {
    /// The mangled name of its type.
    public var type: String
    public var frames: [Frame]

    public init(type: String, frames: [Frame]) {
      self.type = type
      self.frames = frames
    }
  }

  public struct EngineInfo: Hashable, Sendable {
    public var uuid: EngineUUID
    public var id: EngineID
    /// `apply` or `execute`.
    public var method: String

    public init(uuid: EngineUUID, id: EngineID, method: String) {
      self.uuid = uuid
      self.id = id
      self.method = method
    }
  }

  public init(name: String, value: String, traceback: [String] = [], engine: EngineInfo? = nil) {
    self.name = name
    self.value = value
    self.traceback = traceback
    self.engine = engine
  }

  public init?(_ content: JSONObject) {
    guard content["status"]?.stringValue == "error", let name = content["ename"]?.stringValue else { return nil }
    let info = content["engine_info"]
    var engine: EngineInfo?
    if let uuid = info?["engine_uuid"]?.stringValue, let id = info?["engine_id"]?.intValue {
      engine = EngineInfo(uuid: EngineUUID(uuid), id: EngineID(id), method: info?["method"]?.stringValue ?? "apply")
    }
    self.init(
      name: name, value: content["evalue"]?.stringValue ?? "", traceback: content["traceback"]?.stringArrayValue ?? [],
      engine: engine)
    if let type = content["error_type"]?.stringValue { thrown = Thrown(type: type, frames: []) }
  }

  public var content: JSONValue {
    var info: JSONValue = [:]
    if let engine {
      info = ["engine_uuid": .string(engine.uuid.text), "engine_id": .int(engine.id.number), "method": .string(engine.method)]
    }
    var content: JSONObject = [
      "status": "error", "ename": .string(name), "evalue": .string(value), "traceback": JSONValue(traceback), "engine_info": info,
    ]
    if let thrown { content["error_type"] = .string(thrown.type) }
    return .object(content)
  }

  public var description: String { value.isEmpty ? name : "\(name): \(value)" }
}
