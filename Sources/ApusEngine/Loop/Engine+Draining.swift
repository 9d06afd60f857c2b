import ApusMessaging
import Transport

/// The end of an engine that is known before: of its job's time, or because the cluster wants fewer.
extension Engine {
  /// What a registration says of where the engine comes from.
  var originContent: [(key: String, value: JSONValue)] {
    var content: [(key: String, value: JSONValue)] = []
    if let name = origin.name { content.append(("origin", .string(name))) }
    if origin.keepsID { content.append(("keep_id", true)) }
    if isDraining { content.append(("draining", true)) }
    return content
  }

  /// Once, with the first place.
  func scheduleDraining() {
    guard let left = origin.timeLeft else { return }
    loop.schedule(after: max(.zero, left - origin.grace)) { [weak self] in self?.assumeIsolated { $0.drain() } }
  }

  private func drain() {
    guard !isLeaving else { return }
    isDraining = true
    EngineLog.log(.info, "The job's time is nearly over: no more tasks")
    // Where the controller is away at this moment, the next registration says it.
    if case .registered = registration.phase { sendToHub(.drainRequest, ["uuid": .string(engineSession.uuid.text)]) }
  }

  /// The hub has no more work for it.
  func retire() {
    guard !isLeaving else { return }
    EngineLog.log(.info, "The cluster needs this engine no more: shutting down")
    stop(0, grace: configuration.shutdownGrace)
  }
}
