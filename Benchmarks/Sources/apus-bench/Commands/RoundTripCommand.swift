import ApusMessaging
import ArgumentParser
import Glibc

/// Latency: one task at a time.
struct RoundTripCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "roundtrip", abstract: "Round trip of one task at a time.",
    discussion: """
      Measured twice, in alternating rounds: as the system places the processes, and with all their threads on one processor. On a \
      virtual machine the first shows how long the host takes to wake a halted processor, the second what the programs cost.
      """)

  enum Placement: String, EnumerableFlag {
    case both, oneCpu, spread

    static func help(for value: Placement) -> ArgumentHelp? {
      switch value {
      case .both: "Both placements (default)."
      case .oneCpu: "Only with all threads on one processor."
      case .spread: "Only as the system places them."
      }
    }
  }

  @OptionGroup var controller: ControllerOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var task: TaskOptions
  @Option(help: "Round trips in each round.") var tasks = 5000
  @Option(help: "Rounds of each placement, after a short one that does not count.") var rounds = 3
  @Flag var placement: Placement = .both

  func validate() throws {
    guard tasks > 0, tasks < 100_000_000, rounds > 0 else { throw ValidationError("--tasks and --rounds are 1 or more") }
  }

  func run() throws {
    let report = try Cluster.with(controller, [], engines: task.engines) { (cluster) throws(LoadError) in
      let client = try TaskClient(cluster.controller.client, in: cluster.context)
      var report = Report("Round trip of one task at a time, \(task.engines) echo engines")
      let processes =
        [getpid()] + (cluster.controller.process.map(ProcessReading.tree) ?? []) + (cluster.engines?.processes.map(\.id) ?? [])
      try RoundTripRounds(client: client, processes: processes, placement: placement, tasks: tasks, payload: task.payload)
        .run(rounds, in: &report)
      return report
    }
    report.print(json: output.json)
  }
}

/// Rounds of single tasks in one placement or two.
struct RoundTripRounds {
  let client: TaskClient
  let processes: [pid_t]
  let placement: RoundTripCommand.Placement
  let tasks: Int
  let payload: Int

  func run(_ rounds: Int, in report: inout Report) throws(LoadError) {
    var spread: [[Double]] = []
    var one: [[Double]] = []
    for _ in 0..<rounds {
      if placement != .oneCpu { spread.append(try measure()) }
      guard placement != .spread else { continue }
      // The last one: the first serves most interrupts.
      try Machine.place(processes, on: String(Machine.processorCount - 1))
      one.append(try measure())
      try Machine.place(processes, on: "0-\(Machine.processorCount - 1)")
    }
    if !one.isEmpty { describe(one, key: "one_cpu_", label: "all threads on one processor", in: &report) }
    if !spread.isEmpty { describe(spread, key: "", label: "placed by the system", in: &report) }
    report.add("tasks", "round trips a round", tasks)
    report.add("rounds", "rounds", rounds)
  }

  private func measure() throws(LoadError) -> [Double] {
    let warmUp = client.prepare(min(500, tasks), payload: payload)
    _ = try client.roundTrips(warmUp)
    warmUp.free()
    let requests = client.prepare(tasks, payload: payload)
    defer { requests.free() }
    return try client.roundTrips(requests)
  }

  private func describe(_ rounds: [[Double]], key: String, label: String, in report: inout Report) {
    let spreads = rounds.map { Spread($0) }
    report.add("\(key)p50_us", "median, \(label)", Spread(spreads.map(\.median)), "µs")
    for (name, part) in [("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
      report.add("\(key)\(name)_us", "  \(name == "p999" ? "p99.9" : name)", Spread(spreads.map { $0.percentile(part) }), "µs")
    }
    report.add("\(key)max_us", "  longest", spreads.map(\.greatest).max() ?? .nan, "µs")
  }
}
