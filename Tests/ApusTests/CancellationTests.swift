import Apus
import TestSupport
import Testing

@Suite("Cancelling", .timeLimit(.minutes(1 * patience))) struct CancellationTests {
  @Test("cancelling a Swift task frees its engine") func freesEngine() async throws {
    try await withThreads(1) { client in
      let tool = try client.loadBalancedView().actor(Tool.self)
      let sleeper = Task { try await tool.sleep(3600) }
      // It runs when the engine has said so.
      while try await client.queueStatus().engines[EngineID(0)]?.tasks != 1 { await Task.yield() }
      sleeper.cancel()
      await #expect(throws: CancellationError.self) { try await sleeper.value }
      #expect(try await tool.square(2) == 4)
    }
  }

  @Test("cancelling a map aborts what is outstanding") func map() async throws {
    try await withThreads(1) { client in
      let view = client.loadBalancedView()
      let map = try await view.mapAsync(0..<100, chunk: .items(1)) { x in
        try await Task.sleep(for: .seconds(3600))
        return x
      }
      map.cancel()
      await #expect(throws: (any Error).self) { try await map.value }
      #expect(try await view.apply { 1 } == 1)
      #expect(client.inFlight.tasks == 0)
    }
  }

  @Test("no reply waits for the task behind it") func heldReplies() async throws {
    try await withThreads(1) {
      $0.configureController = { $0.highWaterMark = 0 }
    } _: { client in
      let view = client.loadBalancedView()
      var quick: [AsyncResult<Int>] = []
      for number in 0..<20 { quick.append(try await view.applyAsync(number) { $0 }) }
      let long = try await view.applyAsync {
        try await Task.sleep(for: .seconds(3600))
        return 1
      }
      for (number, task) in quick.enumerated() { #expect(try await task.value(within: .seconds(20)) == number) }
      long.cancel()
      await #expect(throws: RemoteError.self) { try await long.value }
    }
  }

  @Test("waiting for so long only") func timeout() async throws {
    try await withThreads(1) { client in
      let task = try await client.loadBalancedView().applyAsync {
        try await Task.sleep(for: .seconds(3600))
        return 1
      }
      let error = await #expect(throws: ClientError.self) { try await task.value(within: .milliseconds(20)) }
      #expect(error?.code == .timeout)
      task.cancel()
      let aborted = await #expect(throws: RemoteError.self) { try await task.value }
      #expect(aborted?.isAborted == true)
    }
  }
}
