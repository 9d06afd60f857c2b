public import ApusMessaging

/// An engine that a controller knows: the number that people use, the name on the wire, and what it runs.
///
/// Two are equal if number and name are: the kind may be learned later than the rest.
public struct RegisteredEngine: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let id: EngineID
  public let uuid: EngineUUID
  /// `.python` as long as nothing else is known.
  public let kind: EngineKind
  /// Whether it is one of Apus's: they know more codecs than ipyparallel's own, and say with a reply how much output the task has had.
  public let isOwn: Bool
  /// The hub's count of arrivals when it came, as far as the hub tells it: one that went and came back has another.
  let arrival: Int?

  init(id: EngineID, uuid: EngineUUID, kind: EngineKind = .python, isOwn: Bool = false, arrival: Int? = nil) {
    self.id = id
    self.uuid = uuid
    self.kind = kind
    self.isOwn = isOwn
    self.arrival = arrival
  }

  public static func == (a: RegisteredEngine, b: RegisteredEngine) -> Bool { a.id == b.id && a.uuid == b.uuid }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(id)
    hasher.combine(uuid)
  }

  public static func < (a: RegisteredEngine, b: RegisteredEngine) -> Bool { a.id < b.id }
  public var description: String { id.description }
}
