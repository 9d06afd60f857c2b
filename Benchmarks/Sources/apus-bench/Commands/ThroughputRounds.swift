/// Rounds of tasks, and who burnt how much processor time in them.
struct ThroughputRounds {
  let client: TaskClient
  let controller: RunningController
  let engines: EngineProcesses?

  private var rates: [Double] = []
  private var controllerCosts: [Double] = []
  private var clientCosts: [Double] = []
  private var engineCosts: [Double] = []
  private var threads: [(name: String, seconds: Double)] = []
  private var stolen = 0.0
  private var tasks = 0

  init(client: TaskClient, controller: RunningController, engines: EngineProcesses?) {
    self.client = client
    self.controller = controller
    self.engines = engines
  }

  mutating func run(rounds: Int, tasks: Int, window: Int, payload: Int) throws(LoadError) {
    self.tasks = tasks
    let warmUp = client.prepare(max(1, min(tasks / 10, 20_000)), payload: payload)
    _ = try client.run(warmUp, window: window)
    warmUp.free()
    let begin = controller.reading()
    let ticks = Machine.stolenTicks()
    for round in 1...rounds {
      let requests = client.prepare(tasks, payload: payload)
      let before = controller.reading()
      let enginesBefore = engineReadings()
      let own = Clock.processorSeconds()
      let seconds = try client.run(requests, window: window)
      clientCosts.append((Clock.processorSeconds() - own) / Double(tasks) * 1e6)
      let burnt = zip(engineReadings(), enginesBefore).reduce(0) { $0 + $1.0.processorSeconds(since: $1.1) }
      engineCosts.append(burnt / Double(tasks) * 1e6)
      if let before, let after = controller.reading() {
        controllerCosts.append(after.processorSeconds(since: before) / Double(tasks) * 1e6)
      }
      requests.free()
      rates.append(Double(tasks) / seconds)
      note("round \(round) of \(rounds): \(Int(rates[rates.count - 1])) tasks/s")
    }
    if let begin { threads = controller.reading()?.busiestThreads(since: begin) ?? [] }
    let now = Machine.stolenTicks()
    stolen = Double(now.stolen - ticks.stolen) / Double(max(1, now.all - ticks.all)) * 100
  }

  private func engineReadings() -> [ProcessReading] { engines?.processes.map { ProcessReading(of: $0.id) } ?? [] }

  func describe(in report: inout Report) {
    report.add("tasks_per_s", "tasks a second", Spread(rates), "/s")
    report.add("controller_cpu_us_per_task", "controller, processor time a task", Spread(controllerCosts), digits: 1, "µs")
    report.add("controller", threads: threads, tasks: tasks * rates.count)
    report.add("client_cpu_us_per_task", "client, the same", Spread(clientCosts), digits: 1, "µs")
    report.add("engines_cpu_us_per_task", "engines, the same", Spread(engineCosts), digits: 1, "µs")
    if let reading = controller.reading(memory: true) {
      report.add("controller_pss_mb", "controller memory afterwards, PSS", Double(reading.proportional) / 1e6, digits: 1, "MB")
      report.add("controller_processes", "controller processes", reading.processCount)
    }
    report.add("stolen_percent", "processor time stolen by others on the host", stolen, digits: 1, "%")
    report.add("tasks", "tasks a round, each answered once", tasks)
    report.add("rounds", "rounds", rates.count)
  }
}
