import Apus

distributed actor Squares: RemoteTask {
  distributed func square(_ x: Int) -> Int { x &* x }
}

/// The Swift client with Swift engines, measured: prints one flat JSON object of numbers for `scripts/bench`.
@main struct SwiftBench: ClusterProgram {
  static let help = """
    Usage: apus-swift-bench [PART…] [--tasks N] [--hwm N] [--quick] [cluster options]

    Parts: tasks, roundtrip, map, array, call, stream (default: all but stream).
    """

  static func configure(_ cluster: inout EmbeddedCluster) {
    guard let mark = number(after: "--hwm") else { return }
    cluster.configureController = { $0.highWaterMark = mark }
  }

  static func run(_ client: Client) async throws {
    var parts = arguments.filter { !$0.hasPrefix("-") && Int($0) == nil }
    let isQuick = arguments.contains("--quick")
    let tasks = number(after: "--tasks") ?? (isQuick ? 20_000 : 200_000)
    if parts.isEmpty { parts = ["call", "roundtrip", "array", "map", "tasks"] }
    var report: [(String, Double)] = []
    for part in parts {
      switch part {
      case "tasks": report += try await Measurements.tasks(client, tasks)
      case "roundtrip": report += try await Measurements.roundTrip(client, isQuick ? 500 : 4000)
      case "map": report += try await Measurements.map(client, isQuick ? 1_000_000 : 10_000_000)
      case "array": report += try await Measurements.array(client, isQuick ? 5 : 30)
      case "call": report += try await Measurements.call(isQuick ? 20_000 : 200_000)
      case "stream": report += try await Measurements.stream(client, isQuick ? 100_000 : 1_000_000)
      default: throw UnknownPart(description: "there is no part “\(part)”; see --help")
      }
    }
    var object = JSONObject()
    for (key, value) in report { object[key] = .double(value) }
    print(JSONValue.object(object).text)
  }

  private static func number(after option: String) -> Int? {
    guard let index = arguments.firstIndex(of: option), arguments.indices.contains(index + 1) else { return nil }
    return Int(arguments[index + 1])
  }
}

struct UnknownPart: Error, CustomStringConvertible { let description: String }
