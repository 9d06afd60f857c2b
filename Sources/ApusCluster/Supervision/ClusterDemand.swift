public import ApusMessaging

/// What a controller says of its work and its engines, at one moment.
public struct ClusterDemand: Sendable, Hashable {
  public struct Engine: Sendable, Hashable {
    public var id: Int
    /// Of its process: another one in its place has another.
    public var uuid: String
    /// Its place in a launcher's set; `nil` of engines that somebody else started in another way.
    public var origin: String?
    /// Tasks that it has, balanced and direct ones.
    public var busy: Int
    /// Seconds since it had something to do.
    public var idle: Double
    /// It was addressed itself, and may have names in its memory that somebody wants to find there.
    public var holds: Bool
    /// It takes no more tasks, and goes.
    public var isDraining: Bool
    /// One of Apus's own: it can be told to end when it has nothing to do.
    public var isOwn: Bool

    public init(
      id: Int, origin: String? = nil, busy: Int = 0, idle: Double = 0, holds: Bool = false, isDraining: Bool = false,
      isOwn: Bool = true, uuid: String = ""
    ) {
      self.uuid = uuid
      (self.id, self.origin, self.busy, self.idle) = (id, origin, busy, idle)
      (self.holds, self.isDraining, self.isOwn) = (holds, isDraining, isOwn)
    }
  }

  /// Balanced tasks that no engine has.
  public var waiting: Int
  /// Seconds that one takes, as measured; `nil` where none has ended yet.
  public var taskSeconds: Double?
  public var engines: [Engine]
  /// What a client wants, and which of the controller's wishes that is.
  public var wish: ScalingWish?
  public var wishSerial = 0
  /// Engines that a client wants to be started anew, by their ids.
  public var restart: [Int] = []
  public var restartSerial = 0
  /// Tells a controller from those before it; 0 where nobody knows.
  public var controller = 0

  public init(waiting: Int = 0, taskSeconds: Double? = nil, engines: [Engine] = []) {
    (self.waiting, self.taskSeconds, self.engines) = (waiting, taskSeconds, engines)
  }

  /// - Parameter reply: of the hub.
  public init?(_ reply: JSONObject) {
    guard let waiting = reply["waiting"]?.intValue, let list = reply["engines"]?.arrayValue else { return nil }
    self.init(waiting: max(0, waiting), taskSeconds: reply["mean"]?.doubleValue)
    for value in list {
      guard let id = value["id"]?.intValue else { continue }
      engines.append(
        Engine(
          id: id, origin: value["origin"]?.stringValue, busy: value["busy"]?.intValue ?? 0, idle: value["idle"]?.doubleValue ?? 0,
          holds: value["holds"]?.boolValue ?? true, isDraining: value["draining"]?.boolValue ?? false,
          isOwn: value["own"]?.boolValue ?? false, uuid: value["uuid"]?.stringValue ?? ""))
    }
    for value in reply["wishes"]?.arrayValue ?? [] {
      guard let serial = value["serial"]?.intValue else { continue }
      if let restart = value["restart"] {
        self.restart = restart.stringValue == "all" ? engines.map(\.id) : restart.arrayValue?.compactMap(\.intValue) ?? []
        restartSerial = serial
      } else if let wish = ScalingWish(value) {
        (self.wish, wishSerial) = (wish, serial)
      }
    }
    controller = reply["controller"]?.intValue ?? 0
  }

  /// What the controller is told of the wishes that were heard.
  var heard: JSONValue { ["controller": .int(controller), "serial": .int(max(wishSerial, restartSerial))] }
}

/// How many engines a client wants.
public struct ScalingWish: Sendable, Hashable {
  /// At least.
  public var minimum: Int
  /// At most. The same as the minimum is a fixed number.
  public var maximum: Int
  /// Whether engines may go that were addressed themselves, and those that compute when they are done.
  public var isForced = false

  public init(minimum: Int, maximum: Int, isForced: Bool = false) {
    (self.minimum, self.maximum, self.isForced) = (minimum, maximum, isForced)
  }

  public var json: JSONValue { ["min": .int(minimum), "max": .int(maximum), "force": .bool(isForced)] }

  init?(_ json: JSONValue) {
    guard let minimum = json["min"]?.intValue, let maximum = json["max"]?.intValue, 0 <= minimum, minimum <= maximum,
      maximum <= 100_000
    else { return nil }
    self.init(minimum: minimum, maximum: maximum, isForced: json["force"]?.boolValue ?? false)
  }
}
