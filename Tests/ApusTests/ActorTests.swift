import Apus
import TestSupport
import Testing

@Suite("Distributed actors on engines", .timeLimit(.minutes(1 * patience))) struct ActorTests {
  @Test("state lasts between calls, on each engine") func state() async throws {
    try await withThreads { client in
      let view = client.directView()
      #expect(try await view.onAll(Tool.self) { try await $0.count() } == [1, 1])
      let first = try client[0].actor(Tool.self)
      #expect(try await first.count() == 2)
      try await first.nothing()
      #expect(try await view.onAll(Tool.self) { try await $0.count() } == [4, 2])
      #expect(try await view.onAll(Tool.self) { try await $0.engine() } == [0, 1])
    }
  }

  @Test("values, arrays and generic functions") func values() async throws {
    try await withThreads(1) { client in
      let tool = try client.loadBalancedView().actor(Tool.self)
      #expect(try await tool.square(12) == 144)
      let numbers = (0..<100_000).map { Double($0) }
      #expect(try await tool.doubled(numbers) == numbers.map { 2 * $0 })
      try await tool.keep(numbers)
      #expect(try await tool.sum() == numbers.reduce(0, +))
      #expect(try await tool.largest([3, 9, 2]) == 9)
      #expect(try await tool.largest([Point(x: 1, y: 2), Point(x: 1, y: 3)]) == Point(x: 1, y: 3))
      #expect(try await tool.largest([String]()) == nil)
    }
  }

  @Test("arguments without anything in them") func empty() async throws {
    try await withThreads(1) { client in
      let tool = try client.loadBalancedView().actor(Tool.self)
      #expect(try await tool.after(Nothing(), 7) == 7)
      #expect(try await tool.last(Nothing(), Nothing(), 8) == 8)
      #expect(try await tool.last("other", Nothing(), 9) == 9)
      #expect(try await client.loadBalancedView().map([Nothing(), Nothing()]) { $0 } == [Nothing(), Nothing()])
    }
  }

  @Test("errors come back as themselves, or as what they say") func errors() async throws {
    try await withThreads(1) { client in
      let tool = try client.loadBalancedView().actor(Tool.self)
      await #expect(throws: BadInput(why: "too small")) { try await tool.fail("too small") }
      let error = await #expect(throws: RemoteError.self) { try await tool.failPlainly() }
      #expect(error?.name == "Plain")
      #expect(error?.value == "oops")
      #expect(error?.engine?.id == EngineID(0))
    }
  }

  @Test("a map over an actor's function") func maps() async throws {
    try await withThreads { client in
      let expected = (0..<50).map { $0 * $0 }
      #expect(try await client.loadBalancedView().map(0..<50, on: Tool.self) { try await $0.square($1) } == expected)
      #expect(try await client.directView().map(0..<50, on: Tool.self) { try await $0.square($1) } == expected)
      let owners = try await client.directView().map(0..<5, on: Tool.self) { tool, _ in try await tool.engine() }
      #expect(owners == [0, 0, 0, 1, 1])
    }
  }

  @Test("a protocol's stub calls the actor that hosts it") func resolvable() async throws {
    try await withThreads(1, { $0.prepare = { $0.actors.host(Host.self, as: $Greeter.self) } }) { client in
      let greeter = try client.loadBalancedView().actor($Greeter.self)
      #expect(try await greeter.greet("you") == "hello you")
      #expect(try await greeter.add(2, 3) == 5)
    }
  }

  @Test("a proxy of several engines, and an actor without engines") func wrong() async throws {
    try await withThreads { client in
      let error = #expect(throws: ClientError.self) { try client.directView().actor(Tool.self) }
      #expect(error?.code == .invalidArgument)
    }
    let local = localTool()
    #expect(try await local.square(3) == 9)
  }
}
