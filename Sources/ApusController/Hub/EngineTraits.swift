import ApusMessaging

/// What an engine says of itself when it registers. Stock engines say nothing.
struct EngineTraits: Hashable, Sendable {
  var kind = EngineKind.python
  /// It reads messages in batches (`MessageBatch`).
  var takesBatches = false
  /// What it runs at the moment at which it comes back, and how many times that had come back before.
  var running: [MessageID: Int] = [:]
  /// What it has for tasks that ask for it.
  var resources: [String: Double] = [:]
  /// Its place in a launcher's set, whichever process has it.
  var origin: String?
  /// Whether it wants the id of the one that had its place before.
  var keepsID = false
  /// It takes no more tasks: its job's time is nearly over, or somebody wants it to end.
  var isDraining = false
  /// When it is to end, because somebody wants that: known here, and not told by itself.
  var ending = Ending.no
  /// Its connections broke since it was here last: what was on its way to it is lost.
  var wasCutOff = false
  /// It was another controller's before, whether or not this one's journal knows it.
  var isOfBefore = false

  enum Ending: Int, Hashable, Sendable {
    case no
    case whenIdle
    case atOnce
  }

  /// Of an engine that comes back: what it does not say itself.
  mutating func goOn(as former: EngineTraits) {
    goOnEnding(as: former)
    isOfBefore = former.isOfBefore
  }

  /// An engine that comes back is on its way out as it was before, whatever became of the message that said so.
  mutating func goOnEnding(as former: EngineTraits) {
    isDraining = isDraining || former.isDraining
    if former.ending.rawValue > ending.rawValue { ending = former.ending }
  }
}

extension EngineTraits {
  private static let longestOrigin = 8192

  private static func running(_ told: JSONValue?) -> [MessageID: Int] {
    let members = told?.objectValue?.members ?? []
    return Dictionary(members.map { (MessageID($0.key), $0.value.intValue ?? 0) }) { $1 }
  }

  /// - Parameter registration: content of a registration request.
  init(told registration: JSONObject) {
    self.init(
      kind: EngineKind(told: registration["kind"]), takesBatches: registration["batches"]?.isTruthy ?? false,
      running: Self.running(registration["running"]),
      resources: (try? TaskPreferences.amounts(registration["resources"])) ?? [:],
      origin: registration["origin"]?.stringValue.flatMap { $0.utf8.count <= Self.longestOrigin ? $0 : nil },
      keepsID: registration["keep_id"]?.isTruthy ?? false, isDraining: registration["draining"]?.isTruthy ?? false)
  }
}
