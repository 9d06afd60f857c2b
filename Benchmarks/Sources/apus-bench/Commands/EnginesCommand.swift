import ApusMessaging
import ArgumentParser
import Glibc

/// A crowd of engines on one controller.
struct EnginesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engines", abstract: "How long a crowd of engines takes to register, and whether all stay.")

  @OptionGroup var controller: ControllerOptions
  @OptionGroup var output: OutputOptions
  @Option(help: "Engines.") var engines = 1000
  @Option(help: "Processes that play them.") var processes = 4
  @Option(help: "Milliseconds between two heartbeats of a started controller; 0 leaves its default.") var ping = 500
  @Option(help: "Seconds for which all must stay.") var hold = 8.0
  @Option(help: "Seconds that registration may take.") var patience = 120.0

  func validate() throws {
    guard engines > 0, processes > 0, hold >= 0 else {
      throw ValidationError("--engines and --processes are 1 or more, --hold 0 or more")
    }
  }

  func run() throws {
    Machine.raiseDescriptorLimit()
    let report = try Cluster.with(controller, ping > 0 ? ["--ping=\(ping)"] : [], engines: 0) { (cluster) throws(LoadError) in
      try measure(cluster)
    }
    report.print(json: output.json)
  }

  private func measure(_ cluster: Cluster) throws(LoadError) -> Report {
    let before = cluster.controller.reading(memory: true)
    let began = Clock.seconds()
    let crowd = try EngineProcesses(
      processes: processes, perProcess: (0..<processes).map { (engines + processes - 1 - $0) / processes },
      engineFile: cluster.controller.engineFile)
    defer { crowd.stop() }
    func checkAlive() throws(LoadError) {
      try cluster.controller.checkAlive()
      try crowd.checkAlive()
    }
    try cluster.hub.waitForEngines(engines, seconds: patience, isAlive: checkAlive)
    let registered = Clock.seconds() - began
    let played = crowd.processes.reduce(0) { $0 + ProcessReading(of: $1.id).processorSeconds }
    note("\(engines) engines after \(registered) s")
    let joined = cluster.controller.reading(memory: true)
    let end = Clock.seconds() + hold
    while Clock.seconds() < end {
      cluster.hub.watch(milliseconds: 100)
      try checkAlive()
    }
    let held = cluster.controller.reading(memory: true)
    let known = try cluster.hub.engines()
    guard known.count == engines, cluster.hub.goneCount == 0 else {
      throw LoadError(
        "\(known.count) of \(engines) engines are left after \(hold) s, \(cluster.hub.goneCount) were announced as gone")
    }
    let answer = try EveryEngine(cluster.controller.client, in: cluster.context).ask(Array(known.values))

    var report = Report("\(engines) engines in \(processes) processes")
    report.add("registered_s", "all registered", registered, digits: 2, "s")
    report.add("engines", "engines, all there after the hold and all answering", engines)
    report.add("held_s", "held for", hold, digits: 0, "s")
    if !controller.isAttached, ping > 0 { report.add("ping_ms", "between two heartbeats", ping, "ms") }
    report.add("ask_all_s", "one direct task to each, all answered", answer, digits: 2, "s")
    report.add("players_cpu_s", "the engines' processor time for it", played, digits: 2, "s")
    if let before, let joined, let held {
      let cost = joined.processorSeconds(since: before)
      report.add("controller_cpu_s", "controller, processor time to register them", cost, digits: 2, "s")
      let idle = held.processorSeconds(since: joined) / max(hold, 0.001) * 100
      report.add("hold_cpu_percent", "controller, of one processor while they stay", idle, digits: 1, "%")
      let bytes = Double(held.proportional - before.proportional) / Double(engines) / 1e3
      report.add("kb_per_engine", "controller memory an engine, PSS", bytes, digits: 1, "kB")
    }
    return report
  }
}
