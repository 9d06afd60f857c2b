/// Which events of a controller's log are wanted. What is `nil` excludes nothing.
public struct StoryFilter: Sendable, Hashable {
  /// These, and the shares of those among them that are broadcasts.
  public var tasks: Set<MessageID>?
  /// An engine by its id, or by its uuid.
  public var engine: Engine?
  /// A client, by its session's id: its coming and going, and all about its tasks.
  public var client: String?
  public var kinds: Set<StoryEvent.Kind>?
  /// Only later ones.
  public var since: Timestamp?

  public enum Engine: Sendable, Hashable {
    case id(EngineID)
    case uuid(EngineUUID)

    /// A number is an id.
    public init(_ text: String) { self = Int(text).map { .id(EngineID($0)) } ?? .uuid(EngineUUID(text)) }

    public var json: JSONValue {
      switch self {
      case .id(let id): .int(id.number)
      case .uuid(let uuid): .string(uuid.text)
      }
    }
  }

  public init(
    tasks: Set<MessageID>? = nil, engine: Engine? = nil, client: String? = nil, kinds: Set<StoryEvent.Kind>? = nil,
    since: Timestamp? = nil
  ) {
    self.tasks = tasks
    self.engine = engine
    self.client = client
    self.kinds = kinds
    self.since = since
  }

  // MARK: JSON

  public var json: JSONValue {
    var object = JSONObject()
    if let tasks { object["tasks"] = JSONValue(tasks.map(\.text).sorted()) }
    if let engine { object["engine"] = engine.json }
    if let client { object["client"] = .string(client) }
    if let kinds { object["kinds"] = JSONValue(kinds.map(\.rawValue).sorted()) }
    if let since { object["since"] = .string(since.description) }
    return .object(object)
  }

  /// - Parameter json: an object; `nil` and null are no filter.
  /// - Throws: a `ValueError` that says what is wrong.
  public init(_ json: JSONValue?) throws(RemoteError) {
    self.init()
    guard let json, !json.isNull else { return }
    guard let object = json.objectValue else { throw Self.wrong("the filter is an object") }
    for (key, value) in object.members where !value.isNull {
      switch key {
      case "tasks":
        guard let ids = value.stringArrayValue ?? value.stringValue.map({ [$0] }) else {
          throw Self.wrong("tasks is a list of message ids")
        }
        tasks = Set(ids.map { MessageID($0) })
      case "engine":
        if let number = value.intValue {
          engine = .id(EngineID(number))
        } else if let uuid = EngineUUID(told: value) {
          engine = .uuid(uuid)
        } else {
          throw Self.wrong("engine is an id or a uuid")
        }
      case "client":
        guard let text = value.stringValue else { throw Self.wrong("client is the session of one") }
        client = text
      case "kinds":
        guard let names = value.stringArrayValue ?? value.stringValue.map({ [$0] }) else {
          throw Self.wrong("kinds is a list of names")
        }
        var found: Set<StoryEvent.Kind> = []
        for name in names {
          let named = StoryEvent.Kind.named(name)
          if named.isEmpty { throw Self.wrong("there is no kind of event '\(name.prefix(60))'") }
          found.formUnion(named)
        }
        kinds = found
      case "since":
        guard let moment = value.stringValue.flatMap({ Timestamp($0) }) else { throw Self.wrong("since is a date in ISO 8601") }
        since = moment
      default: throw Self.wrong("a filter has no '\(key.prefix(60))'")
      }
    }
  }

  private static func wrong(_ reason: String) -> RemoteError { RemoteError(name: "ValueError", value: reason) }
}
