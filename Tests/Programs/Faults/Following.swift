import Apus
import Glibc

/// A cluster that follows its work. The scenario wants `-n 1-3`.
enum Following {
  static func run(_ client: Client) async {
    await step("at first") { client.ids.count }
    await step("work") {
      try await client.loadBalancedView().map(0..<40, chunk: .items(1)) { item -> Int in
        usleep(200_000)
        return item
      }.reduce(0, +)
    }
    await step("then") { client.ids.count }
    await step("range") { try await client.scaling().range.map { "\($0)" } ?? "none" }
    await step("fewer") {
      try await client.scale(to: 2, isForced: true)
      return try await count(client) { $0.count == 2 }
    }
    let before = Set(client.engines.map(\.uuid))
    await step("anew") {
      try await client.restart(nil)
      return try await count(client) { $0.count == 2 && before.isDisjoint(with: $0.map(\.uuid)) }
    }
    // Another comes in its place.
    await step("a death") {
      _ = try? await client.directView(.slice(0, end: 1)).apply { Int(kill(getpid(), SIGKILL)) }
      return try await count(client) { $0.count == 2 }
    }
    await step("afterwards") { try await client.loadBalancedView().map(0..<40) { $0 * $0 }.reduce(0, +) }
  }

  /// Waits until the engines are as they should be.
  private static func count(_ client: Client, _ isSo: ([RegisteredEngine]) -> Bool) async throws -> Int {
    while !isSo(client.engines) { try await Task.sleep(for: .milliseconds(20)) }
    return client.engines.count
  }
}
