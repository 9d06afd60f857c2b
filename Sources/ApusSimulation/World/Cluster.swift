@testable import ApusController
@testable import ApusMessaging
import HeapModule

/// Everything of one run: the parties, and who is there at the moment.
final class Cluster {
  let world: World
  let scenario: Scenario
  let ledger: Ledger
  let disk: SimulatedDisk
  var controller: ControllerProcess?
  var engines: [EngineProcess] = []
  var clients: [ClientProcess] = []
  /// What the hub writes down of its engines.
  var engineFile: (engines: [EngineID: EngineUUID], own: Set<EngineID>, nextID: Int)?
  private var lives = 0
  private var lastEngine = 0
  private var lastClient = 0
  /// Faults happen, and tasks are submitted.
  private(set) var isBusy = true

  init(_ world: World, _ scenario: Scenario) {
    self.world = world
    self.scenario = scenario
    ledger = Ledger(world, scenario)
    disk = SimulatedDisk(world)
    disk.forgetsToSync = scenario.mutation == .doesNotSync
    disk.keepsEverything = scenario.mutation == .keepsHalfTruths
  }

  var network: NetworkDelay {
    var delay = NetworkDelay()
    delay.slowPercent = scenario.slowMessages
    delay.reorders = scenario.mutation == .reorders
    return delay
  }

  func start() {
    startController()
    for _ in 0..<scenario.engines { startEngine() }
    for _ in 0..<scenario.clients { startClient() }
  }

  func startController() {
    lives += 1
    let process = ControllerProcess(self, life: lives)
    controller = process
    process.begin()
  }

  func startEngine() {
    lastEngine += 1
    let engine = EngineProcess(self, number: lastEngine)
    engines.append(engine)
    engine.begin()
  }

  func startClient() {
    lastClient += 1
    let client = ClientProcess(self, number: lastClient)
    clients.append(client)
    client.begin()
  }

  func rest() { isBusy = false }

  // MARK: ends

  func killController(power: Bool) {
    guard let controller, controller.isAlive else { return }
    controller.checkJournal()
    controller.die()
    ledger.controllerDies()
    if power {
      disk.losePower()
      ledger.mayHaveLost("power")
    }
    // The launcher.
    world.after(world.pick(50_000...3_000_000)) { [weak self] in self?.startController() }
  }

  func kill(_ engine: EngineProcess) {
    engine.die()
    engines.removeAll { $0 === engine }
    ledger.mayHaveLost(engine.name)
    world.after(world.pick(100_000...5_000_000)) { [weak self] in self?.startEngine() }
  }

  func kill(_ client: ClientProcess) {
    ledger.orphaned(by: client.name)
    client.die()
    clients.removeAll { $0 === client }
    world.after(world.pick(100_000...5_000_000)) { [weak self] in self?.startClient() }
  }

  /// Connects as soon as there is a controller that listens.
  func dial(_ label: String, from process: Process, _ found: @escaping (Link, ControllerProcess) -> Void) {
    process.after(world.pick(500...2000)) { [weak self, unowned process] in
      guard let self else { return }
      if let controller, controller.isAlive, controller.isListening, !controller.isStopped {
        found(Link(label, from: process, to: controller, delay: network), controller)
      } else {
        // As often as libzmq tries.
        process.after(100_000) { [weak self, unowned process] in self?.dial(label, from: process, found) }
      }
    }
  }
}
