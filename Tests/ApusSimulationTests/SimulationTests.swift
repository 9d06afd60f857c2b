import Glibc
import TestSupport
import Testing

@testable import ApusSimulation

/// The cluster's states together, in virtual time. The long look is `scripts/simulate`.
@Suite("Simulation", .serialized, .timeLimit(.minutes(10 * patience)))
struct SimulationTests {
  /// New in every run, or `APUS_SEED`.
  private static func newSeed() -> UInt64 {
    if let text = getenv("APUS_SEED"), let seed = UInt64(String(cString: text)) { return seed }
    return .random(in: 0...UInt64(UInt32.max))
  }

  @Test("one seed is one history", arguments: 0..<3)
  func replays(round: UInt64) async {
    let seed = Self.newSeed() &+ round
    let outcomes = await onOwnThread { (0..<2).map { _ in Simulation(seed: seed).run() } }
    let other = await onOwnThread { Simulation(seed: seed &+ 1).run() }
    #expect(outcomes[0].digest == outcomes[1].digest, "APUS_SEED=\(seed)")
    #expect(outcomes[0].steps == outcomes[1].steps && outcomes[0].steps > 100)
    #expect(other.digest != outcomes[0].digest)
  }

  /// Ten thousand runs of one process hold no more memory than one. Everything in a run holds its world.
  @Test("a run leaves nothing behind", arguments: 0..<4)
  func leavesNothing(round: UInt64) async {
    let seed = Self.newSeed() &+ round
    let isGone = await onOwnThread {
      weak var world: World?
      do {
        let made = World(seed: seed)
        world = made
        _ = Simulation(seed: seed).run(in: made, keeping: 1)
      }
      return world == nil
    }
    #expect(isGone, "seed \(seed)")
  }

  @Test("whatever goes wrong, every task ends once", arguments: 0..<6)
  func fresh(round: UInt64) async {
    let seed = Self.newSeed() &+ round
    let outcome = await onOwnThread { Simulation(seed: seed).run() }
    #expect(outcome.fault == nil, "seed \(seed): \(outcome.last.suffix(30).joined(separator: "\n"))")
  }

  /// In each of these it was not so, once.
  @Test("seeds that have found something", arguments: Self.memorable)
  func found(seed: UInt64) async {
    let outcome = await onOwnThread { Simulation(seed: seed).run() }
    #expect(outcome.fault == nil, "seed \(seed): \(outcome.last.suffix(30).joined(separator: "\n"))")
  }

  private static let memorable: [UInt64] = [
    2, 24, 1000, 1003, 3010, 5001, 5004, 5009, 100_153, 1_334_813_326, 1001, 1521, 30_260, 1_823_859_007,
    3_816_840_892,
  ]

  @Test(
    "a rule that is broken is found",
    arguments: [
      Mutation.losesAnswers, .forgetsEnds, .sendsTheSame, .keepsNoReplies, .doesNotSync, .sendsBeforeWriting, .ignoresNeeds,
      .ignoresPriorities,
    ])
  func mutations(mutation: Mutation) async {
    let isFound = await onOwnThread { (1...40).contains { Simulation(seed: UInt64($0), mutation: mutation).run().fault != nil } }
    #expect(isFound, "nobody noticed \(mutation)")
  }
}
