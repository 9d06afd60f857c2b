import Apus
import TestSupport
import Testing

@Suite("Values on engines", .timeLimit(.minutes(1 * patience))) struct ValueTests {
  @Test("push, use, pull") func pushPull() async throws {
    try await withThreads { client in
      let view = client.directView()
      try await view.push("greeting", "hello")
      #expect(try await view.pull("greeting", as: String.self) == ["hello", "hello"])
      #expect(try await view.apply { try TaskContext.value("greeting", as: String.self) + "!" } == ["hello!", "hello!"])
      try await client.broadcastView().push("greeting", "all")
      #expect(try await view.pull("greeting", as: String.self) == ["all", "all"])
      try await client[0].push("greeting", "one")
      #expect(try await view.pull("greeting", as: String.self) == ["one", "all"])
    }
  }

  @Test("scatter and gather", arguments: [0, 1, 5, 100_003]) func scatter(_ count: Int) async throws {
    try await withThreads(3) { client in
      let numbers = (0..<count).map { Double($0) }
      let sizes = try await client.directView().scatter("numbers", numbers)
      #expect(sizes.reduce(0, +) == count)
      #expect(sizes == sizes.sorted(by: >))
      #expect(try await client.directView().gather("numbers") == numbers)
    }
  }

  @Test("names and types that are not there") func wrong() async throws {
    try await withThreads(1) { client in
      let view = client.directView()
      let unknown = await #expect(throws: RemoteError.self) { try await view.pull("nothing", as: Int.self) }
      #expect(unknown?.value.contains("“nothing”") == true)
      try await view.push("text", "x")
      await #expect(throws: (any Error).self) { try await view.pull("text", as: Int.self) }
      await #expect(throws: RemoteError.self) { try await view.apply { try TaskContext.value("text", as: Int.self) } }
      try await client.clear()
      await #expect(throws: RemoteError.self) { try await view.pull("text", as: String.self) }
    }
  }
}
