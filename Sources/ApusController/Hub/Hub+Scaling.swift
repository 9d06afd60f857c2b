import ApusMessaging
import Logging

/// Engines that come and go: what a launcher and clients ask of the hub about it.
extension Hub {
  /// What clients have asked for, until the launcher has heard of it; and what that says of itself.
  struct Scaling {
    var wishes = ScalingWishes()
    var report: JSONValue = .null
    var lastHeard: ContinuousClock.Instant?

    /// A launcher that is silent for longer is gone.
    static let patience = Duration.seconds(15)
    func isSupervised(now: ContinuousClock.Instant) -> Bool { lastHeard.map { now - $0 < Self.patience } ?? false }
  }

  // MARK: drain_request

  /// Of a launcher or a client, which name ids; or of an engine, which names itself.
  func drain(_ content: JSONObject) throws(RemoteError) -> JSONValue {
    let ids: [EngineID]
    if let uuid = EngineUUID(told: content["uuid"]) {
      ids = state.ids[uuid].map { [$0] } ?? []
    } else {
      guard let numbers = content["ids"]?.arrayValue?.map(\.intValue) else {
        throw RemoteError(name: "KeyError", value: "'ids' should be a list of engine ids")
      }
      ids = numbers.compactMap { $0 }.map { EngineID($0) }
    }
    let atOnce = content["at_once"]?.isTruthy ?? false
    let found = state.drain(ids, thenStop: atOnce || content["stop"]?.isTruthy ?? false, atOnce: atOnce, effects: &wire)
    logger.info("engines take no more tasks", metadata: ["engines": "\(found.map(\.number))"])
    return ["status": "ok", "ids": .array(found.map { .int($0.number) })]
  }

  /// The task scheduler has heard of it, and what it reported before is here.
  func engineDrained(_ uuid: EngineUUID) {
    wire.events.drain()
    state.drained(uuid, effects: &wire)
  }

  // MARK: demand_request

  func demand(_ content: JSONObject) -> JSONValue {
    if content["supervises"]?.isTruthy ?? false {
      scaling.lastHeard = .now
      if let report = content["report"], !report.isNull { scaling.report = report }
      scaling.wishes.heard(content["heard"] ?? .null)
    }
    let now = Timestamp.now()
    let engines = state.sortedEngines.map { engine -> JSONValue in
      let busy = engine.queue.count + engine.tasks.count
      return [
        "id": .int(engine.id.number), "uuid": .string(engine.uuid.text),
        "origin": engine.traits.origin.map { .string($0) } ?? .null, "busy": .int(busy),
        "idle": .double(busy > 0 ? 0 : state.demand.idleSeconds(engine.uuid, now: now)),
        "holds": .bool(state.demand.isAddressed(engine.uuid)), "draining": .bool(engine.draining != .no),
        "own": .bool(engine.traits.takesBatches),
      ]
    }
    return [
      "status": "ok", "waiting": .int(state.demand.waiting(of: state.unassigned.count)),
      "mean": state.demand.meanSeconds.map { .double($0) } ?? .null,
      "measured": .int(state.demand.measured), "engines": .array(engines),
      "wishes": scaling.wishes.json, "controller": .int(scaling.wishes.controller),
    ]
  }

  // MARK: scale_request

  func scale(_ content: JSONObject) throws(RemoteError) -> JSONValue {
    let isSupervised = scaling.isSupervised(now: .now)
    if let wish = content["wish"], !wish.isNull {
      guard isSupervised else {
        throw RemoteError(
          name: "RuntimeError", value: "no launcher watches over this cluster: nobody can start or stop its engines")
      }
      try scaling.wishes.add(wish)
    }
    return [
      "status": "ok", "supervised": .bool(isSupervised), "serial": .int(scaling.wishes.serial),
      "controller": .int(scaling.wishes.controller),
      "report": isSupervised ? scaling.report : .null,
    ]
  }
}
