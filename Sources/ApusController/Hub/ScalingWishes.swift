import ApusMessaging

/// What clients want of the launcher, until it has heard of it: a number of engines, and engines that are to be started anew.
///
/// A later number takes the place of an earlier one; engines to be started anew are gathered. So there are two at most, however long the
/// launcher is silent.
struct ScalingWishes {
  private struct Wish {
    var serial: Int
    var content: JSONObject
  }

  /// Unlike that of any other controller of this cluster, before or after.
  let controller: Int
  /// Of the latest wish.
  private(set) var serial = 0
  private var size: Wish?
  private var restart: Wish?

  init(controller: Int = Int(Timestamp.now().microseconds)) { self.controller = controller }

  private static let mostEngines = 100_000

  /// - Throws: where it is neither a range of numbers nor engines to be started anew.
  mutating func add(_ wish: JSONValue) throws(RemoteError) {
    guard let content = wish.objectValue else { throw Self.refusal }
    if let engines = content["restart"] {
      guard engines.stringValue == "all" || engines.arrayValue?.allSatisfy({ $0.intValue != nil }) ?? false else {
        throw Self.refusal
      }
      serial += 1
      restart = Wish(serial: serial, content: ["restart": Self.union(restart?.content["restart"], engines)])
    } else {
      guard let low = content["min"]?.intValue, let high = content["max"]?.intValue, 0 <= low, low <= high, high <= Self.mostEngines
      else { throw Self.refusal }
      serial += 1
      size = Wish(
        serial: serial, content: ["min": .int(low), "max": .int(high), "force": .bool(content["force"]?.isTruthy ?? false)])
    }
  }

  private static let refusal = RemoteError(
    name: "ValueError",
    value: "a wish is a range of engines ('min', 'max', up to \(mostEngines)), or engines to be started anew ('restart')")

  private static func union(_ one: JSONValue?, _ other: JSONValue) -> JSONValue {
    guard let one else { return other }
    guard let first = one.arrayValue, let second = other.arrayValue else { return "all" }
    return .array(first + second.filter { !first.contains($0) })
  }

  /// The launcher knows of all up to this one.
  mutating func heard(_ told: JSONValue) {
    // What it has heard of another controller says nothing of this one's.
    guard told["controller"]?.intValue == controller, let heard = told["serial"]?.intValue else { return }
    if let serial = size?.serial, serial <= heard { size = nil }
    if let serial = restart?.serial, serial <= heard { restart = nil }
  }

  /// In their order.
  var json: JSONValue {
    .array(
      [size, restart].compactMap { $0 }.sorted { $0.serial < $1.serial }.map { wish in
        var content = wish.content
        content["serial"] = .int(wish.serial)
        return .object(content)
      })
  }
}
