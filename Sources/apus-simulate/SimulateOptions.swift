import ApusSimulation
import Glibc

/// What `scripts/simulate` was asked for.
struct SimulateOptions {
  var seconds = 60.0
  var seed = UInt64.random(in: 0...UInt64(UInt32.max))
  /// So many runs, whatever the time.
  var runs: Int?
  var mutation: Mutation?
  /// Where the whole history of a run in which something is wrong is written.
  var tracePath: String?
  var isVerbose = false
  var shrinks = true
  /// Say what is wrong, in a line for each seed, and go on.
  var goesOn = false
  /// Measure the restoration of so many tasks instead.
  var restoredTasks: Int?
  var listsMutations = false
  private var complaint: String?

  init(_ arguments: some Collection<String>) {
    var rest = Array(arguments)
    while !rest.isEmpty {
      let word = rest.removeFirst()
      switch word {
      case "--restore": restoredTasks = value(&rest, word) { Int($0) }
      case "--list-mutations": listsMutations = true
      case "--no-shrink": shrinks = false
      case "--go-on": goesOn = true
      case "--verbose": isVerbose = true
      case "--seconds": seconds = value(&rest, word) { Double($0) } ?? seconds
      case "--seed": seed = value(&rest, word) { UInt64($0) } ?? seed
      case "--trace": tracePath = value(&rest, word) { $0 }
      case "--runs": runs = value(&rest, word) { Int($0) }
      case "--mutation": mutation = value(&rest, word) { Mutation(rawValue: $0) }
      default: complaint = "there is no option \(word)"
      }
    }
  }

  private mutating func value<T>(_ rest: inout [String], _ option: String, _ read: (String) -> T?) -> T? {
    guard !rest.isEmpty else {
      complaint = "\(option) needs a value"
      return nil
    }
    let text = rest.removeFirst()
    let value = read(text)
    if value == nil { complaint = "\(option) cannot be \(text)" }
    return value
  }

  /// - Returns: 0 if nothing is wrong, 1 if something is, 2 for options that make no sense.
  func run() -> Int32 {
    if let complaint {
      print("\(complaint): see scripts/simulate --help")
      return 2
    }
    if listsMutations {
      for mutation in Mutation.allCases { print(mutation.rawValue) }
      return 0
    }
    if let restoredTasks {
      let found = RestoreMeasurement(tasks: restoredTasks)
      print(
        "\(restoredTasks) tasks, \(found.bytes) bytes: read in \(found.reading), restored in \(found.restoring), the first placed in "
          + "\(found.placing); restated in \(found.restating), encoded in \(found.writing)")
      return 0
    }
    Interruption.listen()
    return runSeeds()
  }

  private func runSeeds() -> Int32 {
    var totals = Totals(firstSeed: seed)
    print("seed \(seed)\(mutation.map { ", with the rule \($0.rawValue) broken" } ?? "")")
    while !Interruption.isWanted, runs.map({ totals.runs < $0 }) ?? (totals.elapsed < .seconds(seconds)) {
      let simulation = Simulation(seed: totals.nextSeed, mutation: mutation)
      let outcome = simulation.run()
      totals.add(outcome)
      if isVerbose {
        print(
          "seed \(simulation.seed): \(Int(outcome.seconds)) s, \(outcome.steps) steps, \(outcome.tasks) tasks, digest \(outcome.digest)"
        )
      }
      if let fault = outcome.fault {
        guard goesOn else {
          print("after \(totals.elapsed) and \(totals.runs) runs, \(Int(totals.simulated)) simulated seconds:")
          report(simulation, outcome)
          return 1
        }
        print("  seed \(simulation.seed), at \(outcome.seconds) s: \(fault)")
      }
      if totals.isDue(every: .seconds(60)) { print("until now \(totals.line)") }
      // Whoever reads along, or looks at a log whose writer was killed, has all of it.
      fflush(nil)
    }
    print(totals.line)
    for line in totals.details { print(line) }
    return totals.failed.isEmpty ? 0 : 1
  }

  private func report(_ simulation: Simulation, _ outcome: Simulation.Outcome) {
    print("  seed \(simulation.seed), at \(outcome.seconds) s: \(outcome.fault ?? "")")
    fflush(nil)
    let (smaller, result) = shrinks ? simulation.shrunk(outcome) : (simulation, outcome)
    if let tracePath, let file = fopen(tracePath, "w") {
      for line in smaller.run(keeping: .max >> 8).last { fputs(line + "\n", file) }
      fclose(file)
    }
    for line in result.last { print("  \(line)") }
    let isSmaller = "\(smaller.scenario)" != "\(simulation.scenario)"
    print("\(isSmaller ? "a smaller run of that seed" : "the same"), at \(result.seconds) s: \(result.fault ?? "")")
    print("in: \(smaller.scenario)")
  }
}
