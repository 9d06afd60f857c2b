/// One event of a controller's log, as the hub tells it to clients: of a task, an engine, a client or the controller itself.
///
/// What a kind does not know is `nil`.
public struct StoryEvent: Sendable, Hashable {
  /// Its place in the log of one controller. Rises by one from event to event.
  public var number: Int
  /// When it was seen, by the controller's clock.
  public var time: Timestamp
  public var kind: Kind
  public var task: MessageID?
  /// `mux`, `task` or `broadcast`.
  public var queue: String?
  public var engine: EngineUUID?
  public var engineID: EngineID?
  /// The session of the client that submitted it, or asked for its end, or came and went; the ids of its tasks begin with it.
  public var client: String?
  public var label: String?
  /// The kind of request, where it is no call: `execute_request`.
  public var request: String?
  /// Of `waiting`: for so many tasks. Of `left_out`: so many events.
  public var count: Int?
  /// Of `retried` and `lost`: why, in a word.
  public var reason: String?
  /// Of `finished`: `ok`, `error`, `aborted`, `lost`, `timed_out`, `impossible` or `refused`.
  public var outcome: String?
  /// Of `finished`: what the client was told. Of `retried`: the error. Of an engine's loss: why.
  public var error: String?
  /// Of `submitted`: when the client made it, by its clock.
  public var sent: Timestamp?
  /// Of `finished`: when it ran, by its engine's clock.
  public var began: Timestamp?
  public var ended: Timestamp?
  /// Of `resubmitted`: its new id.
  public var other: MessageID?

  public init(number: Int, time: Timestamp, kind: Kind) {
    self.number = number
    self.time = time
    self.kind = kind
  }

  /// What an event is about. Controllers may know more of them than their clients.
  public struct Kind: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    // tasks
    public static let submitted = Kind(rawValue: "submitted")
    /// A restarted controller has read it from its journal.
    public static let restored = Kind(rawValue: "restored")
    public static let waiting = Kind(rawValue: "waiting")
    public static let queued = Kind(rawValue: "queued")
    public static let placed = Kind(rawValue: "placed")
    public static let started = Kind(rawValue: "started")
    public static let retried = Kind(rawValue: "retried")
    public static let lost = Kind(rawValue: "lost")
    /// A client asked for its end.
    public static let abortRequested = Kind(rawValue: "abort_requested")
    public static let aborted = Kind(rawValue: "aborted")
    public static let resubmitted = Kind(rawValue: "resubmitted")
    public static let finished = Kind(rawValue: "finished")
    // engines, clients and the controller
    public static let engineRegistered = Kind(rawValue: "engine_registered")
    /// It gets no more tasks: it is about to go.
    public static let engineDraining = Kind(rawValue: "engine_draining")
    public static let engineLost = Kind(rawValue: "engine_lost")
    public static let clientConnected = Kind(rawValue: "client_connected")
    public static let clientGone = Kind(rawValue: "client_gone")
    public static let controllerStarted = Kind(rawValue: "controller_started")
    /// Events came faster than they could be noted: so many are missing here.
    public static let leftOut = Kind(rawValue: "left_out")

    public static let ofTasks: [Kind] = [
      .submitted, .restored, .waiting, .queued, .placed, .started, .retried, .lost, .abortRequested, .aborted, .resubmitted,
      .finished,
    ]
    public static let ofEngines: [Kind] = [.engineRegistered, .engineDraining, .engineLost]
    public static let ofClients: [Kind] = [.clientConnected, .clientGone]
    public static let all = ofTasks + ofEngines + ofClients + [.controllerStarted, .leftOut]

    /// - Parameter name: of one kind, or `task`, `engine` or `client` for all about them.
    /// - Returns: empty for what is no name of either.
    public static func named(_ name: String) -> [Kind] {
      switch name {
      case "task": ofTasks
      case "engine": ofEngines
      case "client": ofClients
      default: all.filter { $0.rawValue == name }
      }
    }
  }
}

// MARK: JSON

extension StoryEvent {
  public var json: JSONValue {
    var members: [(key: String, value: JSONValue)] = [
      ("number", .int(number)), ("time", .string(time.description)), ("kind", .string(kind.rawValue)),
    ]
    func add(_ key: String, _ text: String?) { if let text { members.append((key, .string(text))) } }
    add("task", task?.text)
    add("queue", queue)
    add("engine_uuid", engine?.text)
    if let engineID { members.append(("engine", .int(engineID.number))) }
    add("client", client)
    add("label", label)
    add("request", request)
    if let count { members.append(("count", .int(count))) }
    add("reason", reason)
    add("outcome", outcome)
    add("error", error)
    add("sent", sent?.description)
    add("began", began?.description)
    add("ended", ended?.description)
    add("other", other?.text)
    return .object(JSONObject(members: members))
  }

  /// - Returns: `nil` unless there are a number, a time and a kind.
  public init?(_ json: JSONValue) {
    guard let number = json["number"]?.intValue, let time = json["time"]?.stringValue.flatMap({ Timestamp($0) }),
      let kind = json["kind"]?.stringValue
    else { return nil }
    self.init(number: number, time: time, kind: Kind(rawValue: kind))
    func text(_ key: String) -> String? { json[key]?.stringValue }
    func moment(_ key: String) -> Timestamp? { text(key).flatMap { Timestamp($0) } }
    task = text("task").map { MessageID($0) }
    queue = text("queue")
    engine = EngineUUID(told: json["engine_uuid"])
    engineID = json["engine"]?.intValue.map { EngineID($0) }
    client = text("client")
    label = text("label")
    request = text("request")
    count = json["count"]?.intValue
    reason = text("reason")
    outcome = text("outcome")
    error = text("error")
    sent = moment("sent")
    began = moment("began")
    ended = moment("ended")
    other = text("other").map { MessageID($0) }
  }
}
