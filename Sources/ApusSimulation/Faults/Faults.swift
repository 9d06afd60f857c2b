@testable import ApusController
import ApusMessaging

/// What goes wrong, and when.
struct Faults {
  private let cluster: Cluster
  private var world: World { cluster.world }

  init(_ cluster: Cluster) { self.cluster = cluster }

  mutating func begin() {
    let scenario = cluster.scenario
    let cluster = cluster
    let world = world
    every(scenario.controllerDeaths, aims: true) {
      cluster.ledger.count("controllers killed")
      cluster.killController(power: false)
    }
    every(scenario.powerFailures, aims: true) {
      cluster.ledger.count("power failures")
      cluster.killController(power: true)
    }
    every(scenario.engineDeaths, aims: true) {
      guard let engine = world.pick(cluster.engines) else { return }
      cluster.ledger.count("engines killed")
      cluster.kill(engine)
    }
    every(scenario.drains) {
      guard let engine = world.pick(cluster.engines) else { return }
      cluster.ledger.count("engines drained")
      cluster.drain(engine)
    }
    every(scenario.clientDeaths) {
      guard let client = world.pick(cluster.clients) else { return }
      cluster.ledger.count("clients killed")
      cluster.kill(client)
    }
    every(scenario.stops) {
      guard let process = world.pick(cluster.processes), process.isAlive, !process.isStopped else { return }
      cluster.ledger.count("processes stopped")
      process.stop()
      world.after(Int(1e6 * world.logarithmic(0.01...20))) { process.proceed() }
    }
    every(scenario.cuts, aims: true) {
      // An engine of ipyparallel does not notice, and nobody else does.
      let deaf = cluster.engines.filter(\.isStock).map { "\($0.name).shell" }
      let links = cluster.processes.flatMap(\.openLinks).filter { !deaf.contains($0.label) }
      guard let link = world.pick(links) else { return }
      cluster.ledger.count("connections cut")
      cluster.ledger.cut(link.label)
      link.breakDown()
    }
    every(scenario.fullDisks) {
      cluster.ledger.count("full disks")
      world.note("the disk is full")
      cluster.disk.isFull = true
      world.after(Int(1e6 * world.logarithmic(0.01...15))) {
        world.note("the disk has room")
        cluster.disk.isFull = false
      }
    }
  }

  /// - Parameters:
  ///   - mean: seconds between two of them; 0 is never.
  ///   - aims: some of them come at a moment that matters.
  private func every(_ mean: Double, aims: Bool = false, _ body: @escaping () -> Void) {
    guard mean > 0 else { return }
    let (cluster, world) = (cluster, world)
    func next() {
      world.after(Int(1e6 * mean * world.logarithmic(0.05...2.5))) {
        guard cluster.isBusy else { return }
        if aims, world.chance(cluster.scenario.aimed) { cluster.aim(body) } else { body() }
        next()
      }
    }
    next()
  }
}

extension Cluster {
  var processes: [Process] { (controller.map { [$0 as Process] } ?? []) + engines + clients + stockClients }

  /// For a sentence.
  func whereabouts(of id: MessageID) -> String {
    guard let controller, controller.isAlive else { return "there is no controller" }
    guard let task = controller.tasks.tasks[id] else { return "the scheduler does not know it" }
    let there = engines.map { engine in
      let isFree = controller.tasks.engines.index(of: engine.uuid).map { controller.tasks.engines.isFree($0) } ?? false
      return "\(engine.name)\(isFree ? " is free" : "")\(controller.hub.ids[engine.uuid] == nil ? " is not registered" : "")"
    }
    return "\(task.phase); \(there.joined(separator: ", "))"
  }

  /// Whether there may be nobody who can give it what it waits for.
  func mayWaitForEver(_ task: TaskAccount) -> Bool {
    !task.names.isEmpty || task.hasTargets || task.deeds.contains(.decline)
      || !task.preferences.needs.isEmpty && !engines.contains { task.mayRun(having: $0.resources) }
  }

  /// A task that the scheduler has, though its client is gone and nothing keeps it from coming to its end.
  var firstAbandoned: MessageID? {
    // Others of such clients may wait for what nobody can give them.
    controller?.tasks.tasks.keys.lazy.filter { [self] id in
      guard let task = ledger.tasks[id] else { return false }
      return !mayWaitForEver(task)
    }.min { $0.text < $1.text }
  }

  /// Nothing is left when everything has ended.
  func checkRest() {
    guard let controller, controller.isAlive else { return world.fail("there is no controller") }
    let state = controller.tasks
    if !state.tasks.isEmpty {
      if let id = state.tasks.keys.filter({ ledger.tasks[$0] == nil }).min(by: { $0.text < $1.text }) {
        return world.fail("\(id) is nobody's")
      }
      if let id = firstAbandoned {
        return world.fail("\(id), of a client that is gone, has not ended: \(whereabouts(of: id))")
      }
    } else {
      if state.messageBytes != 0 { world.fail("\(state.messageBytes) bytes are left in the scheduler") }
      if !controller.hub.unassigned.isEmpty {
        world.fail("the hub counts \(controller.hub.unassigned.count) tasks, and there are none")
      }
      for engine in controller.hub.sortedEngines where !engine.tasks.isEmpty || !engine.queue.isEmpty {
        world.fail("the hub counts \(engine.tasks.count) tasks on \(engine.uuid), and there are none")
      }
    }
    let broadcasts = controller.broadcasts
    if broadcasts.shareCount + broadcasts.pendingCount > 0 {
      world.fail("\(broadcasts.shareCount) shares of \(broadcasts.pendingCount) broadcasts and others are kept for ever")
    }
    // Nobody is told that one of ipyparallel's is not known: it registers once, and the controller may have died before it wrote that down.
    for engine in engines where !engine.isStock {
      if controller.unwanted.contains(engine.uuid) { world.fail("\(engine.name) was to end, and is here") }
      if controller.hub.ids[engine.uuid] == nil { world.fail("\(engine.name) is not registered") }
      if !state.engines.isRegistered(engine.uuid) { world.fail("\(engine.name) gets no tasks") }
    }
    if let recovery = state.recovery, !recovery.results.isEmpty || !recovery.claims.isEmpty {
      world.fail("\(recovery.results.count) results and \(recovery.claims.count) claims are kept for ever")
    }
    if state.deadlineCount > 2 * state.tasks.count + 64 { world.fail("\(state.deadlineCount) deadlines are left") }
  }
}
