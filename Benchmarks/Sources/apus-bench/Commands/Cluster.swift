import Glibc

/// A controller and echo engines for one measurement. Whatever happens, both are stopped.
struct Cluster {
  let controller: RunningController
  let hub: HubQueries
  let context: LoadContext
  private(set) var engines: EngineProcesses?

  /// - Parameter isBare: a relay without a hub: nobody registers.
  static func with<R>(
    _ options: ControllerOptions, _ words: [String], engines: Int, status: Bool = false,
    _ body: (Cluster) throws(LoadError) -> R
  ) throws(LoadError) -> R {
    Interruption.watch()
    let controller = try options.open(words)
    defer { controller.stop() }
    let context = try LoadContext()
    var cluster = Cluster(controller: controller, hub: try HubQueries(controller.client, in: context), context: context)
    let present = try cluster.hub.engines().count
    guard present == 0 else { throw LoadError("the controller has \(present) engines already: tasks would go to them") }
    if engines > 0 { cluster.engines = try EngineProcesses(engines, engineFile: controller.engineFile, status: status) }
    defer { cluster.engines?.stop() }
    try cluster.waitForEngines(engines)
    return try body(cluster)
  }

  mutating func startEngines(_ count: Int) throws(LoadError) {
    engines = try EngineProcesses(count, engineFile: controller.engineFile)
    try waitForEngines(count)
  }

  private func waitForEngines(_ count: Int) throws(LoadError) {
    try hub.waitForEngines(count, seconds: 60) { () throws(LoadError) in
      try controller.checkAlive()
      try engines?.checkAlive()
    }
  }
}
