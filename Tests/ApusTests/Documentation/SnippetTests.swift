import Apus
import ApusController
import TestSupport
import Testing

/// Runs the code of the catalogue as far as it needs no cluster of processes.
@Suite("Code of the documentation", .timeLimit(.minutes(1 * patience))) struct SnippetTests {
  static let simple: [@Sendable (Client) async throws -> Void] = [
    Snippets.closures, Snippets.sharedValue, Snippets.functionInBraces, Snippets.refusedCapture, Snippets.actors, Snippets.proxies,
    Snippets.thrownValue, Snippets.resolvable, Snippets.pushed, Snippets.scattered, Snippets.directViews, Snippets.balancedSettings,
    Snippets.dependencies, Snippets.broadcast, Snippets.chunks, Snippets.asyncMap, Snippets.endless, Snippets.outcomes,
    Snippets.cancellation, Snippets.queries, Snippets.errors,
  ]

  @Test("with two engines that are threads", arguments: simple.indices) func withEngines(_ index: Int) async throws {
    func configure(_ cluster: inout EmbeddedCluster) {
      cluster.prepare = ProbeProgram.prepare
      cluster.configureController = { $0.database = .memory }
    }
    try await withThreads(2, configure) { client in try await Self.simple[index](client) }
  }

  @Test("with items that arrive") func arriving() async throws {
    try await withThreads { client in
      let (lines, source) = AsyncStream<String>.makeStream()
      for line in ["one..", "two.."] { source.yield(line) }
      source.finish()
      try await Snippets.arriving(client, lines)
    }
  }

  @Test("programs") func programs() async throws {
    try await Snippets.loopback()
    try await Snippets.embedded()
    try await Snippets.configured()
    try await withThreads { try await Squares.run($0) }
    try await withThreads { try await Tour.run($0) }
    try await withThreads(1, { $0.prepare = ProbeProgram.prepare }) { try await ProbeProgram.run($0) }
  }
}
