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
    let began = ContinuousClock.now
    var (number, simulated, tasks, again, failed) = (0, 0.0, 0, 0, 0)
    var counts: [String: Int] = [:]
    print("seed \(seed)\(mutation.map { ", with the rule \($0.rawValue) broken" } ?? "")")
    while runs.map({ number < $0 }) ?? (ContinuousClock.now - began < .seconds(seconds)) {
      let simulation = Simulation(seed: seed &+ UInt64(number), mutation: mutation)
      let outcome = simulation.run()
      number += 1
      simulated += outcome.seconds
      tasks += outcome.tasks
      again += outcome.again
      counts.merge(outcome.counts) { $0 + $1 }
      if isVerbose {
        print(
          "seed \(simulation.seed): \(Int(outcome.seconds)) s, \(outcome.steps) steps, \(outcome.tasks) tasks, digest \(outcome.digest)"
        )
      }
      guard let fault = outcome.fault else { continue }
      failed += 1
      if goesOn {
        print("  seed \(simulation.seed), at \(outcome.seconds) s: \(fault)")
        fflush(nil)
        continue
      }
      print("after \(ContinuousClock.now - began) and \(number) runs, \(Int(simulated)) simulated seconds:")
      report(simulation, outcome)
      return 1
    }
    print(
      "\(number) runs, \(Int(simulated)) simulated seconds, \(tasks) tasks, \(again) runs of tasks too many, in \(ContinuousClock.now - began)"
    )
    for (what, count) in counts.sorted(by: { $0.key < $1.key }) { print("  \(what): \(count)") }
    if failed > 0 { print("something is wrong in \(failed) of them") }
    return failed > 0 ? 1 : 0
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
