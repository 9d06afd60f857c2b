@testable import ApusController
import ApusMessaging

/// One run: a cluster at work while things go wrong, and then in peace until everything has ended.
public struct Simulation {
  public let seed: UInt64
  public var scenario: Scenario

  public init(seed: UInt64, mutation: Mutation? = nil) {
    self.seed = seed
    scenario = Scenario(seed: seed, mutation: mutation)
  }

  public struct Outcome: Sendable {
    /// What is wrong; `nil` if nothing is.
    public var fault: String?
    /// Virtual seconds until the fault, or the end.
    public var seconds: Double
    public var steps: Int
    public var tasks: Int
    /// Runs of tasks that were not asked for.
    public var again: Int
    /// Of everything that happened, in its order.
    public var digest: UInt64
    public var last: [String]
    /// How many tasks ended in which way, how many faults there were.
    public var counts: [String: Int]
  }

  /// Seconds within which something ends when nothing goes wrong any more, as long as there is something.
  private static let patience = 120.0
  /// Seconds after which nothing is kept any longer for those who may come back.
  private static let memory = 90.0

  /// - Parameter kept: so many of the last things that happened are told.
  public func run(keeping kept: Int = 80) -> Outcome { run(in: World(seed: seed, kept: kept), keeping: kept) }

  /// Nothing of it holds the world afterwards.
  func run(in world: World, keeping kept: Int) -> Outcome {
    let cluster = Cluster(world, scenario)
    defer {
      cluster.end()
      world.end()
    }
    cluster.start()
    var faults = Faults(cluster)
    faults.begin()
    let end = Int(scenario.seconds * 1e6)
    while world.step(until: end) {}
    if world.fault == nil { settle(world, cluster) }
    return Outcome(
      fault: world.fault, seconds: Double(world.now) / 1e6, steps: world.steps, tasks: cluster.ledger.order.count,
      again: cluster.ledger.again, digest: world.trace.digest, last: world.trace.last(kept), counts: cluster.ledger.counts)
  }

  /// No more faults, and no more tasks: all that there are end.
  private func settle(_ world: World, _ cluster: Cluster) {
    world.note("from here on nothing goes wrong")
    cluster.rest()
    cluster.disk.isFull = false
    for process in cluster.processes { process.proceed() }
    // One that keeps quiet may wait for ever.
    for client in cluster.stockClients { client.submit() }
    cluster.ledger.giveUpLost()
    let began = world.now
    func wait(_ seconds: Double, until isDone: () -> Bool) {
      let end = world.now + Int(seconds * 1e6)
      while !isDone(), world.step(until: end) {}
    }
    func waitForEnds() {
      var ended = -1
      while ended < cluster.ledger.progress, !cluster.ledger.isQuiet, world.fault == nil {
        ended = cluster.ledger.progress
        wait(Self.patience) { cluster.ledger.isQuiet || cluster.ledger.progress > ended }
      }
    }
    waitForEnds()
    // Those that follow what cannot be reached wait until somebody loses patience.
    for client in cluster.clients {
      let left = cluster.ledger.order.filter { id in
        guard let task = cluster.ledger.tasks[id], task.client == client.name, cluster.ledger.open.contains(id) else {
          return false
        }
        return cluster.mayWaitForEver(task)
      }
      if !left.isEmpty { client.abort(left) }
    }
    waitForEnds()
    guard world.fault == nil else { return }
    if let id = cluster.ledger.order.first(where: { cluster.ledger.open.contains($0) }) {
      return world.fail(

        "\(id) and \(cluster.ledger.open.count - 1) others have not ended after \((world.now - began) / 1_000_000) s of peace: \(cluster.whereabouts(of: id))"
      )
    }
    if let id = cluster.ledger.openShares.min(by: { $0.text < $1.text }) {
      return world.fail("\(id) has not ended after \((world.now - began) / 1_000_000) s of peace")
    }
    // What clients that died have left behind ends as well, however much it is, and so does what is kept for clients that may come back.
    wait(Self.memory) { false }
    var ran = -1
    while ran < cluster.ledger.progress, cluster.firstAbandoned != nil, world.fault == nil {
      ran = cluster.ledger.progress
      wait(Self.patience) { cluster.firstAbandoned == nil }
      // The hub hears of it a moment later.
      wait(1) { false }
    }
    guard world.fault == nil else { return }
    cluster.checkRest()
  }
}
