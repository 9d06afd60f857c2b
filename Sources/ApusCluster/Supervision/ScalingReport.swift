public import ApusMessaging
import Glibc

/// What a launcher tells clients of itself, by way of the controller.
public struct ScalingReport: Sendable, Hashable {
  public struct Step: Sendable, Hashable {
    /// Seconds since 1970.
    public var time: Double
    public var reason: String

    /// `14:03:09`, where this program runs.
    public var clock: String {
      var seconds = time_t(max(0, min(1e12, time)))
      var fields = tm()
      localtime_r(&seconds, &fields)
      func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
      return "\(two(fields.tm_hour)):\(two(fields.tm_min)):\(two(fields.tm_sec))"
    }
  }

  public var launcher: String
  /// `nil` where the number of engines is what it was at the start.
  public var range: ClosedRange<Int>?
  /// Engines of the launcher that have not ended.
  public var engines: Int
  public var restart: String
  /// The latest last.
  public var steps: [Step]
  /// What has come of the latest wishes of clients: for a number of engines, and for engines to be started anew.
  public var wish: WishProgress?
  public var renewal: WishProgress?
  /// The controller whose wishes those are: another counts its own anew.
  public var controller = 0

  init(_ lifecycle: ClusterLifecycle, launcher: String) {
    self.launcher = launcher
    range = lifecycle.policy.map { $0.minimum...$0.maximum }
    engines = lifecycle.liveEngines.count
    restart = lifecycle.plan.restart.rawValue
    (wish, renewal) = (lifecycle.wishProgress, lifecycle.renewalProgress)
    controller = lifecycle.lastController
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let now = Double(time.tv_sec) + Double(time.tv_nsec) / 1e9 - MonotonicClock.now.seconds
    steps = lifecycle.steps.map { Step(time: now + $0.at.seconds, reason: $0.reason) }
  }

  /// Whether a client waits for what comes of its wish.
  var isAwaited: Bool { [wish, renewal].contains { $0?.state == .underWay } }

  /// Whether it does more than look on.
  var isActive: Bool { range != nil || restart != RestartPolicy.Mode.never.rawValue }

  /// `slurm, 1 to 8 engines, restart on-failure`.
  public var sentence: String {
    var parts = [launcher]
    if let range {
      parts.append(
        range.lowerBound == range.upperBound ? "\(range.lowerBound) engines" : "\(range.lowerBound) to \(range.upperBound) engines")
    }
    if !restart.isEmpty, restart != RestartPolicy.Mode.never.rawValue { parts.append("restart \(restart)") }
    return parts.joined(separator: ", ")
  }

  public var json: JSONValue {
    [
      "launcher": .string(launcher), "min": range.map { .int($0.lowerBound) } ?? .null,
      "max": range.map { .int($0.upperBound) } ?? .null, "engines": .int(engines), "restart": .string(restart),
      "decisions": .array(steps.map { ["time": .double($0.time), "reason": .string($0.reason)] }),
      "wish": wish?.json ?? .null, "renewal": renewal?.json ?? .null, "controller": .int(controller),
    ]
  }

  /// - Returns: `nil` for what no launcher said.
  public init?(_ json: JSONValue) {
    guard let launcher = json["launcher"]?.stringValue else { return nil }
    self.launcher = launcher
    engines = json["engines"]?.intValue ?? 0
    restart = json["restart"]?.stringValue ?? ""
    wish = json["wish"].flatMap { WishProgress($0) }
    renewal = json["renewal"].flatMap { WishProgress($0) }
    controller = json["controller"]?.intValue ?? 0
    if let low = json["min"]?.intValue, let high = json["max"]?.intValue, low <= high { range = low...high } else { range = nil }
    steps = (json["decisions"]?.arrayValue ?? []).compactMap { value in
      guard let reason = value["reason"]?.stringValue else { return nil }
      return Step(time: value["time"]?.doubleValue ?? 0, reason: reason)
    }
  }
}
