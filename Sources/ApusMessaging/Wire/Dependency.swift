/// What a task waits for (`after`) or must run beside (`follow`): other tasks, and how they must have ended. Protocol section 10.2.
public struct Dependency: Hashable, Sendable {
  public var ids: Set<MessageID>
  /// All of them, or any one.
  public var all: Bool
  /// Whether a task that succeeded counts, and whether one that failed does.
  public var success: Bool
  public var failure: Bool

  public init(_ ids: Set<MessageID> = [], all: Bool = true, success: Bool = true, failure: Bool = false) {
    self.ids = ids
    self.all = all
    self.success = success
    self.failure = failure
  }

  public static let none = Dependency()
  public var isEmpty: Bool { ids.isEmpty }

  /// A list of ids, or an object with `dependencies`, `all`, `success`, `failure`; null is none.
  /// - Returns: `nil` for anything else, and where neither success nor failure would count: nothing could ever meet it.
  public init?(_ json: JSONValue?) {
    switch json {
    case nil, .null: self = .none
    case .array(let elements):
      let ids = elements.compactMap(\.stringValue)
      guard ids.count == elements.count else { return nil }
      self.init(Set(ids.map { MessageID($0) }))
    case .object(let object):
      guard let ids = (object["dependencies"] ?? []).stringArrayValue else { return nil }
      self.init(
        Set(ids.map { MessageID($0) }), all: object["all"]?.boolValue ?? true, success: object["success"]?.boolValue ?? true,
        failure: object["failure"]?.boolValue ?? false)
      guard success || failure else { return nil }
    default: return nil
    }
  }

  public var json: JSONValue {
    [
      "dependencies": JSONValue(ids.map(\.text).sorted()), "all": .bool(all), "success": .bool(success), "failure": .bool(failure),
    ]
  }

  /// - Parameters: which tasks are known to have ended well, and badly.
  public func isMet(succeeded: (MessageID) -> Bool, failed: (MessageID) -> Bool) -> Bool {
    if ids.isEmpty { return true }
    func counts(_ id: MessageID) -> Bool { success && succeeded(id) || failure && failed(id) }
    return all ? ids.allSatisfy(counts) : ids.contains(where: counts)
  }

  /// Whether it can never be met any more.
  public func isUnreachable(succeeded: (MessageID) -> Bool, failed: (MessageID) -> Bool) -> Bool {
    if ids.isEmpty { return false }
    func isLost(_ id: MessageID) -> Bool { !success && succeeded(id) || !failure && failed(id) }
    return all ? ids.contains(where: isLost) : ids.allSatisfy(isLost)
  }
}
