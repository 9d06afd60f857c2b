import ApusSimulation

/// What has been run so far. Each run has a seed of its own, one after another, so that the first and their number name all of them.
struct Totals {
  let firstSeed: UInt64
  private(set) var runs = 0
  private(set) var simulated = 0.0
  private var tasks = 0
  /// Runs of tasks that were not asked for.
  private var again = 0
  private var counts: [String: Int] = [:]
  /// The seeds in which something is wrong.
  private(set) var failed: [UInt64] = []
  private let began = ContinuousClock.now
  private var told = ContinuousClock.now

  init(firstSeed: UInt64) { self.firstSeed = firstSeed }

  var nextSeed: UInt64 { firstSeed &+ UInt64(runs) }
  var elapsed: Duration { ContinuousClock.now - began }

  mutating func add(_ outcome: Simulation.Outcome) {
    if outcome.fault != nil { failed.append(nextSeed) }
    runs += 1
    simulated += outcome.seconds
    tasks += outcome.tasks
    again += outcome.again
    counts.merge(outcome.counts) { $0 + $1 }
  }

  /// Whether so long has passed since it said so last.
  mutating func isDue(every interval: Duration) -> Bool {
    guard ContinuousClock.now - told >= interval else { return false }
    told = .now
    return true
  }

  /// In a line: what has been run, and with which seeds.
  var line: String {
    let seeds = runs == 0 ? "" : ", seeds \(firstSeed) to \(firstSeed &+ UInt64(runs - 1))"
    let seconds = elapsed / .seconds(1)
    let speed = seconds > 0 ? simulated / seconds : 0
    return "\(runs) runs\(seeds), \(Int(simulated)) simulated seconds, \(Int(speed)) in a second, \(tasks) tasks, "
      + "\(again) runs of tasks too many, in \(elapsed)"
  }

  /// What happened, and how often.
  var details: [String] {
    var lines = counts.sorted { $0.key < $1.key }.map { "  \($0.key): \($0.value)" }
    if !failed.isEmpty {
      lines.append("something is wrong in \(failed.count) of them: \(failed.map(\.description).joined(separator: ", "))")
    }
    return lines
  }
}
