import Apus
import TestSupport
import Testing

@Suite("Closures on engines", .timeLimit(.minutes(1 * patience))) struct ClosureTests {
  @Test("maps, whatever the chunks") func map() async throws {
    try await withThreads { client in
      let view = client.loadBalancedView()
      #expect(try await view.map(0..<32) { $0 * $0 } == (0..<32).map { $0 * $0 })
      #expect(try await view.map(0..<1000, chunk: .items(7)) { $0 + 1 } == Array(1...1000))
      #expect(try await view.map(0..<100, chunk: .items(1)) { "\($0)" } == (0..<100).map { "\($0)" })
      #expect(try await view.map([Int](), { $0 }) == [])
      #expect(try await client.directView().map(0..<33) { $0 * 2 } == (0..<33).map { $0 * 2 })
      #expect(try await client.directView().map([Point(x: 1, y: 2)]) { Point(x: $0.y, y: $0.x) } == [Point(x: 2, y: 1)])
      let large = try await view.map(0..<300_000) { Double($0) * 0.5 }
      #expect(large == (0..<300_000).map { Double($0) * 0.5 })
    }
  }

  @Test("a shared value instead of captures") func shared() async throws {
    try await withThreads { client in
      let factor = Int.random(in: 2...9)
      let expected = (0..<20).map { $0 * factor }
      let balanced = try await client.loadBalancedView().map(0..<20, with: factor) { $0 * $1 }
      #expect(balanced == expected)
      let direct = try await client.directView().map(0..<20, with: [1, factor]) { $0[1] * $1 }
      #expect(direct == expected)
    }
  }

  @Test("single calls") func apply() async throws {
    try await withThreads { client in
      #expect(try await client.loadBalancedView().apply(20) { $0 + 1 } == 21)
      #expect(try await client.directView().apply { TaskContext.current?.engine.number ?? -1 } == [0, 1])
      #expect(try await client.directView().apply("a") { $0 + "b" } == ["ab", "ab"])
      #expect(try await client.broadcastView().apply("a") { $0 + "b" } == ["ab", "ab"])
      let later = try await client.loadBalancedView().applyAsync { 5 }
      #expect(try await later.value == 5)
    }
  }

  @Test("captures are refused") func captures() async throws {
    try await withThreads(1) { client in
      let number = Int.random(in: 0...9)
      let error = await #expect(throws: TaskError.self) { try await client.loadBalancedView().map(0..<3) { $0 * number } }
      #expect(error?.code == .captures)
      let other = await #expect(throws: TaskError.self) { try await client.loadBalancedView().apply { number } }
      #expect(other?.code == .captures)
    }
  }

  @Test("a failing item ends the map with its error") func failure() async throws {
    try await withThreads { client in
      await #expect(throws: BadInput(why: "7")) {
        try await client.loadBalancedView().map(0..<10, chunk: .items(1)) { (x: Int) -> Int in
          guard x != 7 else { throw BadInput(why: "\(x)") }
          return x
        }
      }
      var good: [Int] = []
      var bad: [Int] = []
      let results = try client.loadBalancedView().results(of: 0..<10, chunk: .items(1)) { (x: Int) -> Int in
        guard x % 4 != 3 else { throw BadInput(why: "\(x)") }
        return 10 * x
      }
      for try await outcome in results.outcomes {
        switch outcome.result {
        case .success(let value): good.append(value)
        case .failure(let error):
          bad.append(outcome.index)
          #expect(error as? BadInput == BadInput(why: "\(outcome.index)"))
        }
      }
      #expect(good == [0, 10, 20, 40, 50, 60, 80, 90])
      #expect(bad == [3, 7])
    }
  }

  @Test("results as they come, over an endless input") func endless() async throws {
    try await withThreads { client in
      var ordered: [Int] = []
      for try await value in try client.loadBalancedView().results(of: 0..., chunk: .items(1), ahead: 16, { $0 * 2 }) {
        ordered.append(value)
        if ordered.count == 200 { break }
      }
      #expect(ordered == (0..<200).map { $0 * 2 })
      var unordered: Set<Int> = []
      for try await value in try client.loadBalancedView().results(of: 0..<500, isOrdered: false, { $0 }) {
        unordered.insert(value)
      }
      #expect(unordered == Set(0..<500))
    }
  }

  @Test("items that arrive over time") func arriving() async throws {
    try await withThreads { client in
      let (items, source) = AsyncStream<Int>.makeStream()
      for item in 0..<100 { source.yield(item) }
      source.finish()
      var found: [Int] = []
      for try await value in try client.loadBalancedView().results(arriving: items, ahead: 10, { $0 + 1 }) { found.append(value) }
      #expect(found == Array(1...100))
    }
  }

  @Test("an asynchronous map: progress, values one by one, and all") func asynchronous() async throws {
    try await withThreads { client in
      let map = try await client.loadBalancedView().mapAsync(0..<100, chunk: .items(5)) { $0 }
      var found: [Int] = []
      for try await value in map { found.append(value) }
      #expect(found == Array(0..<100))
      #expect(try await map.value == found)
      #expect(map.progress == .init(done: 100, total: 100, isFinished: true))
    }
  }
}
