public import Transport

/// The first dictionary of a message: who sent what and when.
public struct Header: Hashable, Sendable {
  public var id: MessageID
  public var type: MessageType
  public var username: String
  public var session: SessionID
  /// ISO 8601 as it came; ours is UTC in microseconds.
  public var date: String
  public var version: String

  /// The version of the Jupyter protocol that ipyparallel 9.2 speaks.
  public static let protocolVersion = "5.4"

  public init(
    id: MessageID, type: MessageType, username: String, session: SessionID, date: String, version: String = Header.protocolVersion
  ) {
    self.id = id
    self.type = type
    self.username = username
    self.session = session
    self.date = date
    self.version = version
  }

  /// - Returns: `nil` without a `msg_id` or a `msg_type`.
  public init?(_ json: JSONValue) {
    guard let id = json["msg_id"]?.stringValue, let type = json["msg_type"]?.stringValue else { return nil }
    self.init(
      id: MessageID(id), type: MessageType(type), username: json["username"]?.stringValue ?? "",
      session: SessionID(json["session"]?.stringValue ?? ""), date: json["date"]?.stringValue ?? "",
      version: json["version"]?.stringValue ?? "")
  }

  public init?(_ frame: Frame) {
    guard let json = try? frame.json() else { return nil }
    self.init(json)
  }

  public var json: JSONValue {
    [
      "msg_id": .string(id.text), "msg_type": .string(type.text), "username": .string(username), "session": .string(session.text),
      "date": .string(date), "version": .string(version),
    ]
  }

  public var timestamp: Timestamp? { Timestamp(date) }
}

extension Frame {
  /// The frame read as a JSON document.
  public func json() throws(JSONError) -> JSONValue {
    if isIdentical(to: .emptyObject) { return .object(JSONObject()) }
    return try withUnsafeBytes { (bytes) throws(JSONError) in try JSONValue(parsing: bytes) }
  }

  public init(_ json: JSONValue) {
    if case .object(let object) = json, object.isEmpty { self = .emptyObject } else { self.init(json.encoded()) }
  }
}
