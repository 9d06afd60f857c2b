/// When a system is asked next how its engines are: soon after something happened, ever less often while nothing does, and rarely while the
/// system does not answer.
struct PollSchedule: Sendable, Hashable {
  enum Pace: Sendable, Hashable {
    /// Engines come.
    case starting
    /// A controller runs, and what clients need of it is not here yet: somebody waits for it.
    case arriving
    /// Engines run: their end is known to the controller anyhow, only the reason is not.
    case serving
    /// Engines go: somebody waits for it.
    case stopping
  }

  private(set) var pause: Duration
  private(set) var failures = 0
  private var pace: Pace

  init(_ pace: Pace = .starting) {
    self.pace = pace
    pause = Self.first(pace)
  }

  private static func first(_ pace: Pace) -> Duration {
    switch pace {
    case .starting, .arriving: .milliseconds(100)
    case .serving: .seconds(1)
    case .stopping: .milliseconds(30)
    }
  }

  private var longest: Duration {
    if failures > 0 { return pace == .arriving ? .seconds(5) : .seconds(60) }
    switch pace {
    case .arriving: return .seconds(1)
    case .starting: return .seconds(5)
    case .serving: return .seconds(15)
    case .stopping: return .milliseconds(500)
    }
  }

  mutating func set(_ pace: Pace) {
    guard pace != self.pace else { return }
    self.pace = pace
    pause = Self.first(pace)
  }

  mutating func answered(changed: Bool) {
    let wasDown = failures > 0
    failures = 0
    pause = changed || wasDown ? Self.first(pace) : min(pause * 3 / 2, longest)
  }

  mutating func failed() {
    failures += 1
    pause = pace == .stopping ? .milliseconds(500) : min(max(pause, .seconds(1)) * 2, longest)
  }
}
