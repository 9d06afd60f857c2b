extension Simulation {
  /// A smaller run of the same seed in which something is wrong, too: fewer kinds of faults, a shorter time, a smaller cluster.
  /// - Returns: the smallest that was found, and what is wrong there.
  public func shrunk(_ outcome: Outcome, attempts: Int = 40) -> (Simulation, Outcome) {
    var best = (simulation: self, outcome: outcome)
    var left = attempts
    let kind = Self.kind(outcome)
    func attempt(_ change: (inout Scenario) -> Void) {
      guard left > 0 else { return }
      var candidate = best.simulation
      change(&candidate.scenario)
      guard "\(candidate.scenario)" != "\(best.simulation.scenario)" else { return }
      left -= 1
      let result = candidate.run()
      if Self.kind(result) == kind { best = (candidate, result) }
    }
    for key in Scenario.faults { attempt { $0[keyPath: key] = 0 } }
    attempt { $0.slowMessages = 0 }
    attempt { $0.lookAhead = 0 }
    attempt { $0.clients = 1 }
    for engines in 1..<max(2, scenario.engines) { attempt { $0.engines = min($0.engines, engines) } }
    // The time by halves: the end of the work is the end of the faults.
    var step = best.simulation.scenario.seconds / 2
    while step > 0.5, left > 0 {
      attempt { $0.seconds -= step }
      step /= 2
    }
    return (best.simulation, best.outcome)
  }

  /// The fault without names and numbers.
  private static func kind(_ outcome: Outcome) -> String? {
    outcome.fault.map { $0.split(separator: " ").filter { !$0.contains(where: \.isNumber) }.prefix(8).joined(separator: " ") }
  }
}

extension Scenario {
  nonisolated(unsafe) fileprivate static let faults: [WritableKeyPath<Scenario, Double>] = [
    \.powerFailures, \.fullDisks, \.cuts, \.stops, \.clientDeaths, \.engineDeaths, \.duplicates, \.controllerDeaths,
  ]
}
