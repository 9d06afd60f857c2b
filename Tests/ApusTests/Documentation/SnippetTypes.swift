import Apus

// The declarations that the catalogue of Sources/Apus shows, as they stand there.

struct Squares: ClusterProgram {
  static func run(_ client: Client) async throws {
    print(try await client.loadBalancedView().map(0..<32) { $0 * $0 })
  }
}

func cube(_ x: Int) -> Int { x * x * x }

/// Counts words, and knows how many it has seen.
distributed actor WordCounter: RemoteTask {
  private var total = 0

  distributed func count(_ text: String) -> [String: Int] {
    let words = text.split(separator: " ").map { String($0) }
    total += words.count
    return Dictionary(words.map { ($0, 1) }, uniquingKeysWith: +)
  }

  distributed func wordsSoFar() -> Int { total }
}

struct BadLine: Error, Codable, Equatable { var number: Int }

distributed actor LineReader: RemoteTask {
  distributed func numbers(in lines: [String]) throws -> [Double] {
    try lines.enumerated().map { index, line in
      guard let number = Double(line) else { throw BadLine(number: index + 1) }
      return number
    }
  }

  distributed func last<Element: Codable & Sendable>(of elements: [Element]) -> Element? { elements.last }
}

@Resolvable
protocol Thermometer: DistributedActor where ActorSystem == ClusterActorSystem {
  distributed func celsius(in room: String) throws -> Double
}

distributed actor Probe: RemoteTask, Thermometer {
  distributed func celsius(in room: String) throws -> Double { 20 + Double(room.count) }
}

struct ProbeProgram: ClusterProgram {
  static func prepare(_ kernel: SwiftKernel) { kernel.actors.host(Probe.self, as: $Thermometer.self) }

  static func run(_ client: Client) async throws {
    let thermometer = try client.loadBalancedView().actor($Thermometer.self)
    print(try await thermometer.celsius(in: "kitchen"))
  }
}

struct Settings: Codable, Sendable {
  var scale: Double
  var offset: Double
}
