/// How many engines a cluster should have for the work that waits: a pure value; time and demand are arguments.
///
/// Work is measured in seconds: tasks that wait, times what tasks take. More engines are started when those that are there would need longer
/// than `patience` for it; an engine goes that had nothing to do for `grace`. None goes that computes, or that was addressed itself, for
/// somebody may look for names there.
public struct AdaptivePolicy: Sendable, Hashable {
  public struct Decision: Sendable, Hashable {
    public var start = 0
    /// Ids of engines that are to take no more tasks, and to end.
    public var drain: [Int] = []
    /// For people: a sentence without its full stop.
    public var reason = ""

    public var isNothing: Bool { start == 0 && drain.isEmpty }
  }

  public private(set) var minimum: Int
  public private(set) var maximum: Int
  /// Seconds for which tasks may wait, as things stand, without another engine being started for them.
  public var patience = 2.0
  /// Seconds of idleness after which an engine may go.
  public var grace = 10.0
  /// What a task is taken to last before one has ended.
  public var assumedTaskSeconds = 1.0
  private var isForced = false
  /// Engines that died soon after their start, in a row.
  private var failures = 0
  private var pausedUntil: Duration = .zero

  public init(minimum: Int, maximum: Int) {
    self.minimum = max(0, minimum)
    self.maximum = max(self.minimum, maximum)
  }

  /// Whether a number is wanted, whatever there is to do.
  public var isFixed: Bool { minimum == maximum }

  public mutating func wished(_ wish: ScalingWish) {
    (minimum, maximum, isForced) = (wish.minimum, wish.maximum, wish.isForced)
    (failures, pausedUntil) = (0, .zero)
  }

  /// An engine died soon after it was started: others would, too.
  public mutating func engineFailed(now: Duration) {
    failures += 1
    pausedUntil = now + min(.seconds(60), .seconds(1) * (1 << min(failures, 6)))
  }

  public mutating func engineWorked() { failures = 0 }

  /// Whether so many have died in a row that others are not to be expected to fare better.
  var hasFailedOften: Bool { failures >= 3 }

  /// - Parameters:
  ///   - starting: engines that were started, or wait in a queue, and have not registered.
  ///   - mayGo: whether an engine is the launcher's, which could start another in its place.
  public func decide(
    _ demand: ClusterDemand, starting: Int, now: Duration, mayGo: (ClusterDemand.Engine) -> Bool = { _ in true }
  ) -> Decision {
    let engines = demand.engines.filter { !$0.isDraining }
    let count = engines.count + starting
    let wanted = min(maximum, max(minimum, needed(demand, engines, count: count)))
    if wanted > count {
      guard now >= pausedUntil else { return Decision() }
      return Decision(start: wanted - count, reason: reason(demand, count: count, wanted: wanted))
    }
    guard count > wanted else { return Decision() }
    return leaving(engines.filter { mayGo($0) && $0.isOwn }, atMost: count - wanted, count: count)
  }

  /// Engines for what there is to do: as many as are there, or more.
  private func needed(_ demand: ClusterDemand, _ engines: [ClusterDemand.Engine], count: Int) -> Int {
    let busy = engines.count { $0.busy > 0 }
    guard demand.waiting > 0 else { return busy }
    let work = work(demand)
    if work <= patience * Double(max(count, 1)), count > 0 { return count }
    // No more than there are tasks.
    return max(count, min(busy + demand.waiting, Int(min(1e6, (work / patience).rounded(.up)))))
  }

  private func work(_ demand: ClusterDemand) -> Double { Double(demand.waiting) * (demand.taskSeconds ?? assumedTaskSeconds) }

  private func reason(_ demand: ClusterDemand, count: Int, wanted: Int) -> String {
    let number = wanted - count
    let more = "\(number) more \(number == 1 ? "engine" : "engines")"
    if count < minimum {
      return isFixed ? "\(more): \(minimum) are wanted, \(count) are there" : "\(more): \(minimum) is the least"
    }
    let each = demand.taskSeconds.map { "\(Self.text($0)) s each" } ?? "of unknown length"
    return
      "\(more): \(demand.waiting) \(demand.waiting == 1 ? "task waits" : "tasks wait"), \(each), \(Self.text(work(demand))) s of work for \(count)"
  }

  private func leaving(_ engines: [ClusterDemand.Engine], atMost number: Int, count: Int) -> Decision {
    let grace = isFixed ? 0 : grace
    let idle = engines.filter { $0.busy == 0 && !$0.holds && $0.idle >= grace }.sorted { ($0.idle, $0.id) > ($1.idle, $1.id) }
    var going = Array(idle.prefix(number))
    if isFixed, isForced, going.count < number {
      let rest = engines.filter { engine in !going.contains { $0.id == engine.id } }
      going += rest.sorted { ($0.busy, $0.holds ? 1 : 0, -$0.idle, -$0.id) < ($1.busy, $1.holds ? 1 : 0, -$1.idle, -$1.id) }
        .prefix(number - going.count)
    }
    guard !going.isEmpty else { return Decision() }
    let names = going.map { String($0.id) }.joined(separator: ", ")
    let which = going.count == 1 ? "engine \(names) goes" : "engines \(names) go"
    let why =
      isFixed ? "\(minimum) are wanted, \(count) are there" : "idle for \(Self.text(going.map(\.idle).min() ?? 0)) s, nothing waits"
    return Decision(drain: going.map(\.id), reason: "\(which): \(why)")
  }

  /// Engines that are too many and stay, with why; `nil` where there are none.
  public func keeps(_ demand: ClusterDemand, starting: Int) -> String? {
    let engines = demand.engines.filter { !$0.isDraining }
    let surplus = engines.count + starting - maximum
    guard isFixed, !isForced, surplus > 0 else { return nil }
    let (busy, holding) = (engines.count { $0.busy > 0 }, engines.count { $0.busy == 0 && $0.holds })
    return
      "\(surplus) more than wanted: \(busy) compute, \(holding) were addressed and may hold names; 'apus scale --force' lets them go, too"
  }

  private static func text(_ seconds: Double) -> String {
    if seconds >= 10 { return String(Int(min(1e15, seconds.rounded()))) }
    let hundredths = Int((seconds * 100).rounded())
    let rest = hundredths % 100
    return "\(hundredths / 100)" + (rest == 0 ? "" : rest % 10 == 0 ? ".\(rest / 10)" : rest < 10 ? ".0\(rest)" : ".\(rest)")
  }
}
