import ApusController
import ApusMessaging
import TestSupport
import Testing

@testable import ApusClient

/// What tasks mean, by the cases that a stock Python client runs too (Tests/python/test_semantics.py). Here the Swift client runs them.
@Suite(
  .serialized, .timeLimit(.minutes(2 * patience)),
  .enabled(if: PythonEngine.isAvailable, "needs python3 and the compiled core: swift build --product _core"))
struct SemanticsTests {
  @Test func thereAreCases() { #expect(SemanticCase.all.count >= 25) }

  @Test(arguments: SemanticCase.all) func tasksMean(_ one: SemanticCase) async throws {
    let cluster = try await TestCluster.start(engines: 0)
    var engines: [PythonEngine] = []
    var failure: (any Error)?
    do {
      for _ in 0..<one.engines {
        engines.append(try PythonEngine(cluster.controller.engineConnection, modules: SemanticCase.directory))
      }
      let client = try await cluster.connect()
      do { try await run(one, client) { try await cluster.connect() } } catch { failure = error }
      await client.close()
    } catch { failure = error }
    for engine in engines { engine.end() }
    await cluster.stop()
    if let failure { throw failure }
  }

  private func run(_ one: SemanticCase, _ client: Client, connect: @escaping () async throws -> Client) async throws {
    try await client.waitForEngines(one.engines, timeout: .seconds(30))
    var run = try await SemanticRun(client, connect: connect)
    for step in one.steps { try await run.perform(step) }
    for (name, expected) in one.members("expect") {
      let found = await run.outcome(name)
      #expect(Self.matches(expected, found), "\(name): \(found.text)")
    }
    let events = run.log().map { $0.prefix(2).joined(separator: " ") }
    for pair in one.json["order"]?.arrayValue ?? [] {
      let pair = pair.stringArrayValue ?? []
      let first = try #require(events.firstIndex(of: pair.first ?? ""))
      let second = try #require(events.firstIndex(of: pair.last ?? ""))
      #expect(first < second, "\(pair)")
    }
    for (name, count) in one.members("runs") { #expect(run.engines(of: name).count == count.intValue, "runs of \(name)") }
    for name in one.json["different"]?.stringArrayValue ?? [] {
      let engines = run.engines(of: name)
      #expect(Set(engines).count == engines.count, "\(name) came to an engine twice")
    }
    for pair in one.json["same"]?.arrayValue ?? [] {
      let pair = pair.stringArrayValue ?? []
      #expect(run.engines(of: pair.first ?? "") == run.engines(of: pair.last ?? ""))
    }
    for (name, numbers) in one.members("among") {
      #expect(Set(run.engines(of: name)).isSubset(of: numbers.arrayValue?.compactMap(\.intValue) ?? []))
    }
    for (name, label) in one.members("labels") {
      #expect(try await run.ids(labelled: label.stringValue ?? "") == run.ids(of: name))
    }
    await run.close()
  }

  private static func matches(_ expected: JSONValue, _ found: JSONValue) -> Bool {
    if let expected = expected.arrayValue {
      guard let found = found.arrayValue else { return false }
      return expected.count == found.count && zip(expected, found).allSatisfy { matches($0, $1) }
    }
    if let names = expected["error"]?.arrayValue { return found["error"].map { names.contains($0) } ?? false }
    return expected == found
  }
}
