import ApusMessaging

/// Why no engine has a task that may run, engine by engine.
struct EngineReasons {
  private let situation: TaskSituation
  private let names: EngineNaming

  init(_ situation: TaskSituation, names: EngineNaming) {
    self.situation = situation
    self.names = names
  }

  /// More engines than this with the same reason are counted, not named.
  private static let mostNamed = 4

  var reasons: [Explanation.Reason] {
    var reasons = situation.unknownTargets.map { uuid in
      Explanation.Reason(
        "target_missing", "it is limited to engine \(uuid), which is not here", ["engine_uuid": .string(uuid.text)])
    }
    guard !situation.engines.isEmpty else {
      if situation.unknownTargets.isEmpty { reasons.append(.init("no_engine", "no engine is registered")) }
      return reasons
    }
    var byObstacle: [(obstacle: EngineObstacle?, views: [TaskSituation.EngineView])] = []
    for view in situation.engines {
      // The first is the one that lasts longest.
      let obstacle = view.obstacles.first
      if let index = byObstacle.firstIndex(where: { $0.obstacle == obstacle }) {
        byObstacle[index].views.append(view)
      } else {
        byObstacle.append((obstacle, [view]))
      }
    }
    for (obstacle, views) in byObstacle {
      if views.count > Self.mostNamed {
        reasons.append(reason(obstacle, count: views.count))
      } else {
        reasons += views.map { reason(obstacle, of: $0) }
      }
    }
    if situation.moreEngines > 0 {
      reasons.append(.init("more_engines", "and \(situation.moreEngines) more engines", ["engines": .int(situation.moreEngines)]))
    }
    return reasons
  }

  private func reason(_ obstacle: EngineObstacle?, of view: TaskSituation.EngineView) -> Explanation.Reason {
    let name = names(view.uuid)
    var details: JSONObject = ["engine_uuid": .string(view.uuid.text), "load": .int(view.load)]
    if let id = names.id(view.uuid) { details["engine"] = .int(id.number) }
    details["also"] = JSONValue(view.obstacles.dropFirst().map(\.code))
    let sentence =
      switch obstacle {
      case .notTarget: "\(name) is none of those that it is limited to"
      case .awaited: "\(name) has not come back since the controller was restarted"
      case .unaccounted: "\(name) is back since the controller was restarted, and has not said yet what it had"
      case .gone: "\(name), which it is limited to, is gone"
      case .declined: "\(name) declined it: a functional dependency is not met there"
      case .failedThere: "it has failed on \(name), and others are tried first"
      case .follow: "\(name) did not run what it is to follow"
      case .resources: "\(name) has not what it asks for: \(situation.resources.joined(separator: ", "))"
      case .draining: "\(name) gets no more tasks: it is about to go"
      case .busy:
        "\(name) is busy: it has \(view.load == 1 ? "1 task" : "\(view.load) tasks"), and may have \(situation.highWaterMark)"
      case nil: "\(name) is free"
      }
    return Explanation.Reason(obstacle?.code ?? "free", sentence, details)
  }

  private func reason(_ obstacle: EngineObstacle?, count: Int) -> Explanation.Reason {
    let details: JSONObject = ["engines": .int(count)]
    let sentence =
      switch obstacle {
      case .notTarget: "\(count) engines are none of those that it is limited to"
      case .awaited: "\(count) engines have not come back since the controller was restarted"
      case .unaccounted: "\(count) engines are back since the controller was restarted, and have not said yet what they had"
      case .gone: "\(count) engines that it is limited to are gone"
      case .declined: "\(count) engines declined it: a functional dependency is not met there"
      case .failedThere: "it has failed on \(count) engines, and others are tried first"
      case .follow: "\(count) engines did not run what it is to follow"
      case .resources: "\(count) engines have not what it asks for: \(situation.resources.joined(separator: ", "))"
      case .draining: "\(count) engines get no more tasks: they are about to go"
      case .busy: "\(count) engines are busy: each has as many tasks as it may, which is \(situation.highWaterMark)"
      case nil: "\(count) engines are free"
      }
    return Explanation.Reason(obstacle?.code ?? "free", sentence, details)
  }
}

extension EngineObstacle {
  var code: String {
    switch self {
    case .notTarget: "not_target"
    case .awaited: "awaited"
    case .unaccounted: "unaccounted"
    case .gone: "gone"
    case .declined: "declined"
    case .failedThere: "failed_there"
    case .follow: "not_followed"
    case .resources: "resources"
    case .draining: "draining"
    case .busy: "busy"
    }
  }
}
