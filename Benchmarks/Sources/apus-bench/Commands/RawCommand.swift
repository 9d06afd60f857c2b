import ArgumentParser
import Glibc

/// What libzmq alone does with the same frames.
struct RawCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "raw", abstract: "The same load on a bare libzmq relay: the limit to compare a controller with.",
    discussion:
      "Two ROUTERs in a process of their own that pass on frames without reading any; the least loaded engine gets the next task.")

  @OptionGroup var output: OutputOptions
  @OptionGroup var task: TaskOptions
  @Option(help: "Tasks in each round.") var tasks = 200_000
  @Option(help: "Tasks that are unanswered at most.") var window = 2000
  @Option(help: "Rounds, after a short one that does not count.") var rounds = 5
  @Option(help: "Round trips of one task at a time in each round.") var roundTrips = 5000

  func validate() throws {
    guard tasks > 0, tasks < 100_000_000, window > 0, rounds > 0, roundTrips > 0 else {
      throw ValidationError("all counts are 1 or more")
    }
  }

  func run() throws {
    Interruption.watch()
    let relay = try RunningController(starting: [try ChildProcess.ownPath(), "raw-relay"], options: ["--engines=\(task.engines)"])
    defer { relay.stop() }
    let engines = try EngineProcesses(task.engines, engineFile: relay.engineFile, bare: true)
    defer { engines.stop() }
    let client = try TaskClient(relay.client, in: LoadContext())
    var throughput = ThroughputRounds(client: client, controller: relay, engines: engines)
    try throughput.run(rounds: rounds, tasks: tasks, window: window, payload: task.payload)
    var report = Report("A bare libzmq relay: \(tasks) tasks a round, \(window) in flight, \(task.engines) echo engines")
    throughput.describe(in: &report)
    let processes = [getpid()] + (relay.process.map { [$0] } ?? []) + engines.processes.map(\.id)
    try RoundTripRounds(client: client, processes: processes, placement: .both, tasks: roundTrips, payload: task.payload)
      .run(rounds, in: &report)
    report.print(json: output.json)
  }
}
