import ApusMessaging
import ArgumentParser
import Glibc

/// A great many tasks that wait in the scheduler.
struct BurstCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "burst", abstract: "Memory of tasks that wait, and whether all are answered when engines come.")

  enum Database: String, EnumerableFlag {
    case both, nodb, dictdb

    static func help(for value: Database) -> ArgumentHelp? {
      switch value {
      case .both: "With each of the two, in turn (default)."
      case .nodb: "Start the controller without a task database."
      case .dictdb: "Start the controller with the task database in memory."
      }
    }

    var label: String { self == .nodb ? "no task database" : "task database in memory" }
  }

  @OptionGroup var controller: ControllerOptions
  @OptionGroup var output: OutputOptions
  @OptionGroup var task: TaskOptions
  @Option(help: "Tasks that wait.") var tasks = 1_000_000
  @Option(help: "Tasks that an engine may have at once, for a started controller; 0 is no limit.") var hwm = 100
  @Option(help: "Seconds that the controller may take to queue them.") var patience = 600.0
  @Flag var database: Database = .both

  func validate() throws {
    guard tasks > 0, tasks < 100_000_000 else { throw ValidationError("--tasks is 1 or more") }
  }

  func run() throws {
    var report = Report("A burst of \(tasks) tasks before any engine is there, then \(task.engines) echo engines")
    let databases: [Database] = controller.isAttached ? [.both] : database == .both ? [.nodb, .dictdb] : [database]
    for database in databases { try measure(database, in: &report) }
    report.add("tasks", "tasks, each answered once", tasks)
    if !controller.isAttached { report.add("hwm", "tasks an engine may have (0: no limit)", hwm) }
    report.print(json: output.json)
  }

  private func measure(_ database: Database, in report: inout Report) throws(LoadError) {
    let words = ["--hwm=\(hwm)", "--\(database.rawValue)"]
    let prefix = database == .both ? "" : "\(database.rawValue)_"
    try Cluster.with(controller, words, engines: 0) { (opened) throws(LoadError) in
      var cluster = opened
      defer { cluster.engines?.stop() }
      let client = try TaskClient(cluster.controller.client, in: cluster.context)
      let requests = client.prepare(tasks, payload: task.payload)
      let before = cluster.controller.reading(memory: true)
      let began = Clock.seconds()
      client.sendAll(requests)
      let sent = Clock.seconds()
      try waitUntilQueued(cluster)
      let queued = Clock.seconds()
      let full = cluster.controller.reading(memory: true)
      note("\(tasks) tasks wait after \(Int(queued - began)) s")
      try cluster.startEngines(task.engines)
      let started = Clock.seconds()
      try client.receiveAll(requests)
      let drained = Clock.seconds()
      let after = cluster.controller.reading(memory: true)
      requests.free()

      if !controller.isAttached { report.add("\(prefix)database", "with", database.label) }
      if let before, let full, let after {
        let grown = Double(full.proportional - before.proportional) / Double(tasks)
        let own = Double(requests.bytesPerRequest)
        report.add("\(prefix)bytes_per_task_beyond_frames", "memory of a waiting task beyond its frames, PSS", grown - own, "bytes")
        let resident = Double(full.resident - before.resident) / Double(tasks)
        report.add("\(prefix)rss_bytes_per_task_beyond_frames", "  the same, RSS", resident - own, "bytes")
        report.add("\(prefix)frame_bytes_per_task", "  frames of a task", requests.bytesPerRequest, "bytes")
        report.add("\(prefix)idle_mb", "controller before", Double(before.proportional) / 1e6, digits: 1, "MB")
        report.add("\(prefix)full_mb", "controller with all waiting", Double(full.proportional) / 1e6, digits: 1, "MB")
        report.add("\(prefix)drained_mb", "controller with all answered", Double(after.proportional) / 1e6, digits: 1, "MB")
        let cost = full.processorSeconds(since: before) / Double(tasks) * 1e6
        report.add("\(prefix)queue_cpu_us_per_task", "processor time to queue a task", cost, digits: 1, "µs")
        report.add("\(prefix)queue", threads: full.busiestThreads(since: before), tasks: tasks)
        let drain = after.processorSeconds(since: full) / Double(tasks) * 1e6
        report.add("\(prefix)drain_cpu_us_per_task", "processor time to serve it", drain, digits: 1, "µs")
        report.add("\(prefix)drain", threads: after.busiestThreads(since: full), tasks: tasks)
      }
      report.add("\(prefix)queued_per_s", "queued", Double(tasks) / (queued - began), "/s")
      report.add("\(prefix)sent_s", "sent within", sent - began, digits: 1, "s")
      report.add("\(prefix)drained_per_s", "answered once engines were there", Double(tasks) / (drained - started), "/s")
    }
  }

  private func waitUntilQueued(_ cluster: Cluster) throws(LoadError) {
    let deadline = Clock.seconds() + patience
    while true {
      let count = try cluster.hub.unassigned()
      if count >= tasks { return }
      try cluster.controller.checkAlive()
      if Clock.seconds() > deadline { throw LoadError("after \(Int(patience)) s \(count) of \(tasks) tasks are queued") }
      usleep(100_000)
    }
  }
}
