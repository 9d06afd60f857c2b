import ApusMessaging
import ArgumentParser

/// Throughput: many tasks in flight.
struct TasksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "tasks", abstract: "Tasks a second through the task scheduler.")

  @OptionGroup var controller: ControllerOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var task: TaskOptions
  @Option(help: "Tasks in each round.") var tasks = 200_000
  @Option(help: "Tasks that are unanswered at most.") var window = 2000
  @Option(help: "Rounds, after a short one that does not count.") var rounds = 5
  @Option(help: "Tasks that an engine may have at once, for a started controller; 0 is no limit.") var hwm = 0
  @Flag(help: "Start the controller without a task database.") var nodb = false
  @Flag(help: "Engines publish busy and idle for each task.") var status = false

  func validate() throws {
    guard tasks > 0, tasks < 100_000_000, window > 0, rounds > 0 else {
      throw ValidationError("--tasks, --window and --rounds are 1 or more")
    }
  }

  func run() throws {
    let words = ["--hwm=\(hwm)", nodb ? "--nodb" : "--dictdb"]
    let report = try Cluster.with(controller, words, engines: task.engines, status: status) { (cluster) throws(LoadError) in
      let client = try TaskClient(cluster.controller.client, in: cluster.context)
      var rounds = ThroughputRounds(client: client, controller: cluster.controller, engines: cluster.engines)
      try rounds.run(rounds: self.rounds, tasks: tasks, window: window, payload: task.payload)
      var report = Report("Task throughput: \(tasks) tasks a round, \(window) in flight, \(task.engines) echo engines")
      rounds.describe(in: &report)
      report.add("window", "in flight", window)
      report.add("engines", "engines", task.engines)
      if !controller.isAttached {
        report.add("hwm", "tasks an engine may have (0: no limit)", hwm)
        report.add("database", "task database", nodb ? "none" : "memory")
      }
      report.add("status", "engines publish busy and idle", status ? "yes" : "no")
      return report
    }
    report.print(json: output.json)
  }
}
