import Apus

/// Scatters a large array over the engines, works on the parts where they are, and gathers the result.
///
///     swift run -c release LargeArray [NUMBERS] [--engines N]
@main struct LargeArray: ClusterProgram {
  static let help = "Usage: LargeArray [NUMBERS, by default 10000000] [cluster options]"

  static func run(_ client: Client) async throws {
    let count = arguments.first.flatMap { Int($0) } ?? 10_000_000
    let numbers = (0..<count).map { Double($0) }
    let view = client.directView()
    let clock = ContinuousClock()

    let scatter = try await clock.measure { _ = try await view.scatter("numbers", numbers) }
    var sums: [Double] = []
    let work = try await clock.measure {
      // The numbers stay on the engines: what travels is the closure's place and a sum.
      sums = try await view.apply {
        let part: [Double] = try TaskContext.value("numbers")
        let roots = part.map { $0.squareRoot() }
        try TaskContext.current?.namespace.set("roots", to: roots)
        return roots.reduce(0, +)
      }
    }
    var roots: [Double] = []
    let gather = try await clock.measure { roots = try await view.gather("roots") }

    let megabytes = Double(count * 8) / 1e6
    print("\(count) numbers (\(megabytes) MB) on \(client.ids.count) engines")
    print("scattered in \(scatter), worked on in \(work), gathered in \(gather)")
    print("sum of the square roots: \(sums.reduce(0, +))")
    guard roots.count == count, zip(roots, numbers).allSatisfy({ $0 == $1.squareRoot() }) else { throw Wrong() }
  }
}

struct Wrong: Error, CustomStringConvertible { let description = "the gathered array is not what was to be computed" }
