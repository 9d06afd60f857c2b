@testable import ApusController

/// What a run is made of; all of it follows from the seed.
public struct Scenario: Sendable {
  var engines = 3
  var clients = 2
  /// Seconds of work and faults, before everything is left in peace.
  public var seconds = 60.0
  /// Between two tasks of a client.
  var pause = 0.2
  /// How long tasks take, in seconds.
  var length = 0.001...3.0
  var sync = JournalConfiguration.Sync.interval
  var policy = SchedulingPolicy.leastLoad
  var highWaterMark = 1
  var lookAhead = 0
  /// A journal of this size is full.
  var sizeLimit = 4 << 30
  /// Seconds between two faults of a kind, on average; 0 is never.
  var controllerDeaths = 0.0
  var powerFailures = 0.0
  var engineDeaths = 0.0
  var clientDeaths = 0.0
  var stops = 0.0
  var cuts = 0.0
  var fullDisks = 0.0
  /// Engines that are to take no more tasks, and go then.
  var drains = 0.0
  /// Percent of the deaths of controllers, engines and connections that come within a moment of something that the controller does.
  var aimed = 0.0
  /// Percent of tasks with another priority than the usual one, that ask for resources, that rest between tries.
  var priorities = 0.0
  var needs = 0.0
  var rests = 0.0
  /// How many of the engines are ipyparallel's, and how many such clients there are beside the others.
  var stockEngines = 0
  var stockClients = 0
  /// Percent of the requests of stock clients behind which they only wait, for long.
  var silences = 3.0
  /// Percent of requests that are broadcasts.
  var broadcasts = 0.0
  /// Percent of messages that are slow.
  var slowMessages = 2.0
  /// Percent of messages from clients that arrive twice.
  var duplicates = 0.0
  var mutation: Mutation?

  init(seed: UInt64, mutation: Mutation? = nil) {
    var random = SeededGenerator(seed: seed ^ 0x5EED)
    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    func some(_ percent: Int, _ range: ClosedRange<Double>) -> Double {
      let value = Double.random(in: range, using: &random)
      return chance(percent) ? value : 0
    }
    self.mutation = mutation
    engines = Int.random(in: 1...5, using: &random)
    clients = Int.random(in: 1...3, using: &random)
    seconds = Double.random(in: 20...120, using: &random)
    pause = Double.random(in: 0.02...0.6, using: &random)
    length = chance(30) ? 0.0005...0.01 : chance(40) ? 0.01...10 : 0.001...1
    sync = JournalConfiguration.Sync.allCases.randomElement(using: &random) ?? .interval
    policy =
      chance(70) ? .leastLoad : [.leastRecentlyUsed, .twoBin, .weighted, .plainRandom].randomElement(using: &random) ?? .leastLoad
    highWaterMark = [1, 1, 1, 2, 4, 0].randomElement(using: &random) ?? 1
    lookAhead = chance(40) ? 4 : 0
    controllerDeaths = some(85, 3...20)
    powerFailures = some(25, 10...60)
    engineDeaths = some(50, 5...60)
    clientDeaths = some(30, 10...60)
    stops = some(40, 5...40)
    cuts = some(40, 3...40)
    fullDisks = some(20, 10...60)
    slowMessages = chance(30) ? 20 : 2
    duplicates = chance(20) ? 2 : 0
    if chance(25) {
      (powerFailures, engineDeaths, clientDeaths, stops, cuts, fullDisks) = (0, 0, 0, 0, 0, 0)
      (controllerDeaths, slowMessages) = (max(3, controllerDeaths), 2)
    }
    priorities = some(40, 5...60)
    needs = some(30, 3...40)
    rests = some(40, 5...60)
    drains = some(isMild ? 0 : 35, 4...40)
    broadcasts = some(30, 2...20)
    if chance(20), engines > 1 { stockEngines = Int.random(in: 1..<engines, using: &random) }
    if chance(25) { stockClients = Int.random(in: 1...2, using: &random) }
    if chance(15) {
      (controllerDeaths, powerFailures, stops, cuts, fullDisks) = (0, 0, 0, 0, 0)
      engineDeaths = max(4, engineDeaths)
    }
    aimed = some(60, 20...100)
    // Who has no name may be taken for another one; that must not be believed by the controller after the next.
    if chance(8) {
      stockClients = Int.random(in: 2...3, using: &random)
      silences = 20
      controllerDeaths = Double.random(in: 3...8, using: &random)
    }
  }

  /// The controller is killed and nothing else goes wrong.
  var isMild: Bool {
    powerFailures == 0 && engineDeaths == 0 && stops == 0 && cuts == 0 && fullDisks == 0 && clientDeaths == 0 && drains == 0
      && stockEngines == 0
      && slowMessages <= 2
  }

  /// No task runs more often than it was asked to, not even for what was lost: the controller is killed and nothing else goes wrong. (An engine that
  /// is busy then says afterwards what waits for it; of tasks that came there in the last two milliseconds, before that was written, the new
  /// controller does not know it. With `always` there are none, and without a queue on engines neither, unless a broadcast keeps one busy.)
  var runsOnce: Bool { isMild && (sync == .always || highWaterMark == 1 && lookAhead == 0 && broadcasts == 0) }

  /// Engines come and go, and nothing else goes wrong: a task runs no more often than asked.
  var isSteady: Bool { controllerDeaths == 0 && powerFailures == 0 && stops == 0 && cuts == 0 && fullDisks == 0 }
}
