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
  var stockClients: [StockClientProcess] = []
  /// What the hub writes down of its engines.
  var engineFile: (engines: [EngineID: EngineUUID], own: Set<EngineID>, nextID: Int)?
  private var lives = 0
  private var lastEngine = 0
  private var lastClient = 0
  private var aimed: [() -> Void] = []
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
    stockClients = (0..<scenario.stockClients).map { StockClientProcess(self, number: $0) }
    for client in stockClients { client.begin() }
  }

  func startController() {
    lives += 1
    let process = ControllerProcess(self, life: lives)
    controller = process
    process.begin()
  }

  func startEngine() {
    lastEngine += 1
    // The first are not the only ones that are lost.
    let isStock = engines.count(where: \.isStock) < scenario.stockEngines
    let engine = EngineProcess(self, number: lastEngine, isStock: isStock)
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

  /// The run is over. Processes hold each other by their connections, and what is still to go wrong holds everything.
  func end() {
    for process in processes { process.die() }
    aimed = []
  }

  // MARK: moments

  /// Something goes wrong within a moment of what the controller does next: most of what may be half done is so then.
  func aim(_ fault: @escaping () -> Void) { aimed.append(fault) }

  /// The controller has decided something.
  func hasDecided() {
    guard !aimed.isEmpty else { return }
    let faults = aimed
    aimed = []
    // As long as facts wait to be written and messages travel.
    for fault in faults {
      world.after(world.pick(0...3000)) { [weak self] in if self?.isBusy ?? false { fault() } }
    }
  }

  // MARK: ends

  func killController(power: Bool) {
    guard let controller, controller.isAlive else { return }
    controller.checkJournal()
    ledger.unwritten.formUnion(Set(controller.hub.ids.keys).subtracting(engineFile?.engines.values.map { $0 } ?? []))
    controller.die()
    ledger.controllerDies(
      controller, isWritten: controller.isJournaled && !power,
      hasHeard: Set(stockClients.filter { $0.wasHeard(by: controller) }.map(\.name)))
    if power {
      disk.losePower()
      ledger.mayHaveLost("power")
    }
    // The launcher.
    world.after(world.pick(50_000...3_000_000)) { [weak self] in self?.startController() }
  }

  func kill(_ engine: EngineProcess) {
    guard engine.isAlive else { return }
    engine.die()
    engines.removeAll { $0 === engine }
    ledger.mayHaveLost(engine.name)
    world.after(world.pick(100_000...5_000_000)) { [weak self] in self?.startEngine() }
  }

  /// It gets no more tasks, and goes: at once when it has none, or when its time is over.
  func drain(_ engine: EngineProcess) {
    let time = Int(1e6 * world.logarithmic(0.1...30))
    switch engine.isStock ? 1 : world.pick(0...2) {
    case 0: engine.run { engine.drain() }
    case 1: controller?.run { [weak self] in self?.controller?.drain(engine.uuid, thenStop: false) }
    default:
      controller?.run { [weak self] in self?.controller?.drain(engine.uuid, thenStop: true) }
      return
    }
    world.after(time) { [weak self, weak engine] in
      guard let self, let engine, engine.isAlive else { return }
      // A signal that it may answer, or one that it does not see.
      if !engine.isStock, world.chance(70) { engine.run { engine.leave() } } else { kill(engine) }
    }
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
