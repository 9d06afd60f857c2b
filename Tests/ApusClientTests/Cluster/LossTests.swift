import ApusController
import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// What happens when engines and controllers go.
@Suite(.timeLimit(.minutes(1 * patience)))
struct LossTests {
  @Test func engineLossFailsWhatItOwes() async throws {
    try await withTestCluster(engines: 2) { cluster, client in
      let victim = client.engines[0]
      let direct = try await client[0].submit(TaskTests.hang)
      let spared = try await client[1].submit(TaskSubmission(content: ["do": "slow", "milliseconds": 200]))
      let shares = try await client.broadcastView().submit(TaskTests.hang)
      let coalesced = try await client.broadcastView(isCoalescing: true).submit(TaskTests.hang)
      let frozen = try client.directView().frozen()
      try await Task.sleep(for: .milliseconds(100))
      await cluster.engine(victim.uuid)?.die()
      for task in [direct[0], shares[0], coalesced[0]] {
        let error = await #expect(throws: RemoteError.self) { try await task.reply(within: .seconds(10)) }
        #expect(error?.isEngineLoss == true)
      }
      #expect(shares[1].status == .outstanding)
      _ = try await spared.replies
      #expect(client.ids == [EngineID(1)])
      #expect(try client.directView().engines.count == 1)
      let error = await #expect(throws: ClientError.self) { try await frozen.submit(TaskSubmission()) }
      #expect(error?.code == .unknownEngine)
    }
  }

  @Test func balancedTasksOfALostEngineAreRetriedOrFail() async throws {
    try await withTestCluster(engines: 1) { cluster, client in
      let task = try await client.loadBalancedView().submit(TaskTests.hang)
      try await Task.sleep(for: .milliseconds(100))
      await cluster.engines[0].die()
      let error = await #expect(throws: RemoteError.self) { try await task.reply(within: .seconds(20)) }
      #expect(error?.isEngineLoss == true)
    }
  }

  @Test func enginesComeAndGoAsEvents() async throws {
    try await withTestCluster(engines: 1) { cluster, client in
      var events = client.engineEvents.makeAsyncIterator()
      let first = client.engines[0]
      #expect(await events.next() == .arrived(first))
      let another = try EchoEngine(cluster.controller.engineConnection)
      try await another.start()
      guard case .arrived(let second)? = await events.next() else { throw ClientError(.badReply, "no arrival") }
      #expect(second.uuid == another.uuid)
      await another.die()
      #expect(await events.next() == .departed(second))
      await client.close()
      #expect(await events.next() == .departed(first))
      #expect(await events.next() == nil)
    }
  }

  @Test func waitingForEnginesEnds() async throws {
    try await withTestCluster(engines: 1) { _, client in
      let error = await #expect(throws: ClientError.self) { try await client.waitForEngines(2, timeout: .milliseconds(50)) }
      #expect(error?.code == .timeout)
      #expect(error?.reason.contains("there are 1 engines") == true)
    }
  }

  @Test func closingFailsWhatIsUnderWay() async throws {
    try await withTestCluster(engines: 1) { _, client in
      let task = try await client[0].submit(TaskTests.hang)[0]
      await client.close()
      let error = await #expect(throws: ClientError.self) { try await task.reply }
      #expect(error?.code == .closed)
      await #expect(throws: ClientError.self) { try await client.loadBalancedView().submit(TaskSubmission()) }
      await #expect(throws: ClientError.self) { try await client.history() }
    }
  }

  @Test func controllerLossFailsWhatIsUnderWay() async throws {
    var configuration = ClientConfiguration()
    configuration.controllerGrace = .milliseconds(200 * patience)
    let client: Client
    let task: TaskHandle
    let engines: [EchoEngine]
    do {
      // Its sockets close when nobody holds it any more.
      let cluster = try await TestCluster.start(engines: 1)
      client = try await cluster.connect(configuration)
      task = try await client[0].submit(TaskTests.hang)[0]
      engines = cluster.engines
      cluster.running.cancel()
      _ = try? await cluster.running.value
    }
    let error = await #expect(throws: ClientError.self) { try await task.reply(within: .seconds(20)) }
    #expect(error?.code == .controllerLost)
    let later = await #expect(throws: ClientError.self) { try await client.loadBalancedView().submit(TaskSubmission()) }
    #expect(later?.code == .controllerLost)
    #expect(client.ids == [])
    await client.close()
    await client.close()
    for engine in engines { await engine.die() }
  }

  @Test func shutdownEndsEnginesAndHub() async throws {
    try await withTestCluster(engines: 2) { cluster, client in
      try await client.shutdown(hub: true)
      try await cluster.running.value
    }
  }

  @Test func droppingAClientLetsGo() async throws {
    let cluster = try await TestCluster.start(engines: 1)
    weak var connection: ClientConnection?
    do {
      let client = try await cluster.connect()
      connection = client.connection
      _ = try await client[0].submit(TaskSubmission()).replies
    }
    for _ in 0..<100 * patience where connection != nil { try await Task.sleep(for: .milliseconds(20)) }
    #expect(connection == nil)
    await cluster.stop()
  }
}
