public import ApusMessaging

/// What has come of a client's latest wish, for whoever waits for it.
public struct WishProgress: Sendable, Hashable {
  public enum State: String, Sendable {
    /// It is being carried out. Next: any.
    case underWay = "under_way"
    /// It was carried out.
    case done
    /// Engines that are too many stay, for what they do or hold.
    case kept
    /// Engines do not start, or do not come back; the launcher may try again.
    case refused
  }

  /// Which of the controller's wishes it is.
  public var serial: Int
  public var state: State
  /// What is awaited, or why it is not as wished: a sentence without its full stop, which may be empty.
  public var reason: String

  public init(serial: Int, state: State = .underWay, reason: String = "") {
    (self.serial, self.state, self.reason) = (serial, state, reason)
  }

  public var json: JSONValue { ["serial": .int(serial), "state": .string(state.rawValue), "reason": .string(reason)] }

  /// - Returns: `nil` for what no launcher said.
  public init?(_ json: JSONValue) {
    guard let serial = json["serial"]?.intValue, let state = json["state"]?.stringValue.flatMap(State.init(rawValue:)) else {
      return nil
    }
    self.init(serial: serial, state: state, reason: json["reason"]?.stringValue ?? "")
  }
}

extension ClusterLifecycle {
  /// Engines that a client wanted to be started anew, until they have come back.
  struct Renewal: Sendable, Hashable {
    var serial: Int
    /// Those that have not, each with the name of the process in whose place another is to come.
    var awaited: [Int: String]
    /// When the latest step of each was: it was asked to end, was started, or left its queue.
    var since: [Int: Duration] = [:]
    var count: Int
    /// Those of other launchers, which stay as they are.
    var foreign = 0
    /// Why some do not come back.
    var failure: String?
  }

  /// What has come of the latest wish for a number of engines; `nil` where there was none.
  public var wishProgress: WishProgress? { wish }

  /// The same of engines that were to be started anew.
  public var renewalProgress: WishProgress? {
    guard let renewal else { return nil }
    let others = renewal.foreign == 0 ? "" : "; \(Self.engines(renewal.foreign)) of other launchers stay as they are"
    if let failure = renewal.failure, renewal.awaited.isEmpty {
      return WishProgress(serial: renewal.serial, state: .refused, reason: failure + others)
    }
    if renewal.awaited.isEmpty {
      let state: WishProgress.State = renewal.foreign > 0 ? .kept : .done
      return WishProgress(
        serial: renewal.serial, state: state, reason: "\(Self.engines(renewal.count)) started again\(others)")
    }
    let left = Set(renewal.awaited.keys)
    var reason = "\(left.count) of \(Self.engines(renewal.count)) not back yet"
    let queued = waitingEngines.intersection(left).count
    if queued > 0 { reason += ", \(queued) in the queue\(queueReason.isEmpty ? "" : " (\(queueReason))")" }
    return WishProgress(serial: renewal.serial, reason: reason)
  }

  static func engines(_ count: Int) -> String { count == 1 ? "1 engine" : "\(count) engines" }

  /// Looks whether the wish for a number of engines is carried out.
  /// - Parameter demand: those that were asked to go drain in it.
  mutating func judgeWish(_ demand: ClusterDemand, ours: [Int: Int], starting: Int) {
    guard var wish, let policy else { return }
    let present = demand.engines.count { !$0.isDraining }
    let leaving = demand.engines.count { ours[$0.id].map(unwanted.contains) ?? false }
    defer { self.wish = wish }
    if present >= policy.minimum, present <= policy.maximum, starting == 0 || !policy.isFixed, leaving == 0 {
      (wish.state, wish.reason, startRefusal) = (.done, Self.engines(present), nil)
    } else if let kept = policy.keeps(demand, starting: starting) {
      (wish.state, wish.reason) = (.kept, kept)
    } else if present > policy.maximum, policy.isFixed, leaving == 0 {
      // None that could be asked to go is left.
      (wish.state, wish.reason) = (
        .kept, "\(present - policy.maximum) more than wanted, of other launchers or of kinds that cannot be asked to end"
      )
    } else if present > policy.maximum, !policy.isFixed {
      // A range is followed all the time: nobody waits for engines to have been idle for long enough.
      let surplus = present - policy.maximum
      (wish.state, wish.reason) = (.done, "\(Self.engines(present)), \(surplus) more than wanted until they have nothing to do")
    } else if let startRefusal, present < policy.minimum {
      (wish.state, wish.reason) = (.refused, "\(present) of \(Self.engines(policy.minimum)): \(startRefusal)")
    } else {
      wish.state = .underWay
      wish.reason = "\(present) of \(Self.engines(present < policy.minimum ? policy.minimum : policy.maximum))"
      let queued = waitingEngines.subtracting(unwanted).count
      if queued > 0 { wish.reason += ", \(queued) in the queue\(queueReason.isEmpty ? "" : " (\(queueReason))")" }
      if starting > queued { wish.reason += ", \(starting - queued) starting" }
      if leaving > 0 { wish.reason += ", \(leaving) finishing what they have" }
    }
  }

  /// Looks who has come back of those that were to be started anew.
  mutating func judgeRenewal(_ demand: ClusterDemand, ours: [Int: Int], now: Duration) {
    guard let awaited = renewal?.awaited, !awaited.isEmpty else { return }
    for engine in demand.engines {
      guard let place = ours[engine.id], let former = awaited[place], engine.uuid != former else { continue }
      renewal?.awaited[place] = nil
    }
    for (place, _) in renewal?.awaited ?? [:] where !waitingEngines.contains(place) && due[place] == nil {
      guard let since = renewal?.since[place], now - since > plan.engineTimeout else { continue }
      let what = renewed.contains(place) ? "end" : "register"
      renewal?.awaited[place] = nil
      renewal?.failure = "engine \(place) did not \(what) within \(plan.engineTimeout.secondsText)"
    }
  }

  /// An engine that should come has ended instead.
  mutating func noteFailedStart(of engine: Int, _ end: EngineEnd) {
    if case .refused(let words) = end {
      startRefusal = words.isEmpty ? "the system starts no more" : words
    } else if let policy, policy.hasFailedOften {
      startRefusal = "engines end before they have registered, the last with \(end)"
    }
  }

  /// An engine ends and does not come back.
  /// - Returns: whether it was to come back.
  @discardableResult
  mutating func noteLostRenewal(of engine: Int, _ end: EngineEnd) -> Bool {
    guard renewal?.awaited.removeValue(forKey: engine) != nil else { return false }
    renewal?.failure = "engine \(engine) did not come back: \(end)"
    return true
  }
}
