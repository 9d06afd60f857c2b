import ApusMessaging

/// What an engine says of itself when it registers. Stock engines say nothing.
struct EngineTraits: Hashable, Sendable {
  var kind = EngineKind.python
  /// It reads messages in batches (`MessageBatch`).
  var takesBatches = false
  /// What it runs at the moment at which it comes back.
  var running: [MessageID] = []
  /// What it has for tasks that ask for it.
  var resources: [String: Double] = [:]
}

extension EngineTraits {
  /// - Parameter registration: content of a registration request.
  init(told registration: JSONObject) {
    self.init(
      kind: EngineKind(told: registration["kind"]), takesBatches: registration["batches"]?.isTruthy ?? false,
      running: registration["running"]?.stringArrayValue?.map { MessageID($0) } ?? [],
      resources: (try? TaskPreferences.amounts(registration["resources"])) ?? [:])
  }
}
