import Apus

/// Estimates π by throwing darts: small tasks without input that engines do in parallel, and whose results come as they are ready.
///
///     swift run -c release MonteCarloPi [DARTS] [--engines N]
@main struct MonteCarloPi: ClusterProgram {
  static let help = "Usage: MonteCarloPi [DARTS, by default 200000000] [cluster options]"

  static func run(_ client: Client) async throws {
    let darts = arguments.first.flatMap { Int($0) } ?? 200_000_000
    let tasks = 64
    let clock = ContinuousClock()
    var hits = 0
    var thrown = 0
    let time = try await clock.measure {
      // Each task has a seed of its own, so the estimate does not depend on who runs it.
      let seeds = (0..<tasks).map { Throw(seed: UInt64($0) &* 0x9E37_79B9_7F4A_7C15 &+ 1, darts: darts / tasks) }
      for try await hit in try client.loadBalancedView().results(of: seeds, chunk: .items(1), isOrdered: false, { $0.hits() }) {
        hits += hit
        thrown += darts / tasks
      }
    }
    let estimate = 4 * Double(hits) / Double(max(1, thrown))
    print("π ≈ \(estimate) from \(thrown) darts in \(time) on \(client.ids.count) engines")
    guard abs(estimate - Double.pi) < 20 / Double(max(1, thrown)).squareRoot() else { throw Wide(estimate: estimate) }
  }
}

struct Wide: Error, CustomStringConvertible {
  let estimate: Double
  var description: String { "\(estimate) is too far from π" }
}

/// Darts on a square, and how many fall into the circle.
struct Throw: Codable, Sendable {
  var seed: UInt64
  var darts: Int

  func hits() -> Int {
    var state = seed
    var hits = 0
    for _ in 0..<darts {
      let (x, y) = (Self.next(&state), Self.next(&state))
      if x * x + y * y < 1 { hits += 1 }
    }
    return hits
  }

  /// A number in 0..<1, by xorshift.
  private static func next(_ state: inout UInt64) -> Double {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return Double(state >> 11) * 0x1p-53
  }
}
