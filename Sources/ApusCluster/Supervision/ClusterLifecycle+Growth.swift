/// A cluster that grows and shrinks.
extension ClusterLifecycle {
  /// A decision, as it is kept and shown.
  public struct GrowthStep: Sendable, Hashable {
    /// Since the launcher's start.
    public var at: Duration
    public var reason: String
  }

  private static let stepsKept = 20

  /// The controller has said how much there is to do.
  /// - Parameter mark: names the launcher's own set: its engines' origins begin with it.
  public mutating func demandArrived(
    _ demand: ClusterDemand, mark: String, now: Duration, _ effects: inout some ClusterLifecycleEffects
  ) {
    if demand.controller != lastController {
      // One that was started again counts anew, and hears of engines one after the other: what it does not know has not ended.
      (lastController, lastWish, lastRestart, seen) = (demand.controller, 0, 0, [])
      // Its wishes are others than the former's of the same numbers.
      (wish, renewal) = (nil, nil)
    }
    if let wish = demand.wish, demand.wishSerial > lastWish {
      lastWish = demand.wishSerial
      takeWish(wish, now, &effects)
    }
    if demand.restartSerial > lastRestart {
      lastRestart = demand.restartSerial
      renew(demand, mark: mark, now, &effects)
    }
    let ours = Self.indices(demand, mark: mark)
    noticeEnds(of: Set(ours.values), now: now, &effects)
    if !arrived.isSuperset(of: ours.values) {
      self.policy?.engineWorked()
      arrived.formUnion(ours.values)
    }
    judgeRenewal(demand, ours: ours, now: now)
    guard let policy, case .serving = phase, isControllerAlive else { return }
    var demand = demand
    // What was asked to go counts no more, whether the controller has heard of it or not.
    var unheard: [Int] = []
    for place in demand.engines.indices where ours[demand.engines[place].id].map(unwanted.contains) ?? false {
      if !demand.engines[place].isDraining { unheard.append(demand.engines[place].id) }
      demand.engines[place].isDraining = true
    }
    if !unheard.isEmpty { effects.drain(unheard) }
    // Engines of templates and commands of the user's own do not say whose they are: they count as ours.
    let unnamed = demand.engines.count { $0.origin == nil && !$0.isDraining }
    let starting = max(0, liveEngines.subtracting(ours.values).subtracting(unwanted).count - unnamed) + due.count
    let decision = policy.decide(demand, starting: starting, now: now) { ours[$0.id] != nil }
    if decision.start > 0 {
      note(decision.reason, now, &effects)
      let first = nextIndex
      nextIndex += decision.start
      let count = start(first..<nextIndex, now: now, &effects)
      if count > 0 { effects.updateClusterFile() }
      if count < decision.start {
        self.policy?.engineFailed(now: now)
        startRefusal = startRefusal ?? "the system started \(count) of \(decision.start)"
      }
    } else if !decision.drain.isEmpty {
      note(decision.reason, now, &effects)
      let leaving = decision.drain.compactMap { ours[$0] }
      unwanted.formUnion(leaving)
      seen.formUnion(leaving)
      effects.drain(decision.drain)
    } else if let kept = policy.keeps(demand, starting: starting), steps.last?.reason != kept {
      note(kept, now, &effects)
    }
    for place in demand.engines.indices where ours[demand.engines[place].id].map(unwanted.contains) ?? false {
      demand.engines[place].isDraining = true
    }
    judgeWish(demand, ours: ours, starting: starting + decision.start)
  }

  /// A client wants another number of engines.
  private mutating func takeWish(_ wish: ScalingWish, _ now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    let wanted = "a client wants \(wish.minimum == wish.maximum ? "\(wish.minimum)" : "\(wish.minimum) to \(wish.maximum)") engines"
    guard !plan.restartsTogether else {
      // One program has the ranks that it was started with.
      if wish.minimum == wish.maximum, wish.minimum == liveEngines.count {
        self.wish = WishProgress(serial: lastWish, state: .done, reason: Self.engines(wish.minimum))
        return
      }
      self.wish = WishProgress(
        serial: lastWish, state: .refused, reason: "the engines are the ranks of one MPI program, whose number cannot change")
      return note("\(wanted), and MPI ranks are as many as they were started", now, &effects)
    }
    if policy == nil { policy = AdaptivePolicy(minimum: wish.minimum, maximum: wish.maximum) }
    policy?.wished(wish)
    (self.wish, startRefusal) = (WishProgress(serial: lastWish), nil)
    note(wanted, now, &effects)
  }

  /// Some systems do not tell that one of the processes of a job has ended well, while others go on: of those that were asked to end the
  /// controller knows it, with which they are not any more.
  private mutating func noticeEnds(of present: Set<Int>, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard plan.queues else { return }
    let asked = unwanted.union(renewed).intersection(liveEngines)
    for index in asked.intersection(seen).subtracting(present).sorted() {
      engineEnded(index, .exited(0), now: now, &effects)
      missed.insert(index)
    }
    seen = unwanted.union(renewed).intersection(present)
  }

  /// Engines end at once, and others come in their place.
  private mutating func renew(
    _ demand: ClusterDemand, mark: String, _ now: Duration, _ effects: inout some ClusterLifecycleEffects
  ) {
    let ours = Self.indices(demand, mark: mark)
    let meant = demand.engines.filter { demand.restart.contains($0.id) }
    let ids = meant.map(\.id).filter { ours[$0] != nil }
    if plan.restartsTogether, !ids.isEmpty, ids.count < ours.count {
      renewal = Renewal(
        serial: lastRestart, awaited: [:], count: 0, foreign: meant.count - ids.count,
        failure: "the engines are the ranks of one MPI program, which start again all together or not at all")
      return note("a client wants \(ids.count) of \(ours.count) MPI ranks to be started anew, which cannot be", now, &effects)
    }
    // Of those that are due from an earlier wish, this one's client waits as well.
    var awaited = renewal?.awaited ?? [:]
    for engine in meant { if let place = ours[engine.id] { awaited[place] = engine.uuid } }
    renewal = Renewal(
      serial: lastRestart, awaited: awaited, since: awaited.mapValues { _ in now }, count: awaited.count,
      foreign: meant.count - ids.count)
    renewed.formUnion(ids.compactMap { ours[$0] })
    note("a client wants \(ids.count == 1 ? "engine \(ids[0])" : "\(ids.count) engines") to be started anew", now, &effects)
    effects.retire(ids)
  }

  mutating func note(_ reason: String, _ now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    steps.append(GrowthStep(at: now, reason: reason))
    if steps.count > Self.stepsKept { steps.removeFirst(steps.count - Self.stepsKept) }
    effects.report(.scaling(reason))
  }

  /// Our engines among those that are registered: index by id.
  private static func indices(_ demand: ClusterDemand, mark: String) -> [Int: Int] {
    var indices: [Int: Int] = [:]
    for engine in demand.engines {
      guard let origin = engine.origin, origin.hasPrefix(mark + "#"), let index = Int(origin.dropFirst(mark.count + 1)) else {
        continue
      }
      indices[engine.id] = index
    }
    return indices
  }
}
