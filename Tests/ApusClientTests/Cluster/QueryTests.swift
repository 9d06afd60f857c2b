import ApusController
import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// The hub's answers, and the control channel.
@Suite(.timeLimit(.minutes(1 * patience)))
struct QueryTests {
  @Test func theHubKnowsOurTasks() async throws {
    try await withTestCluster(engines: 2) { _, client in
      let view = client.loadBalancedView().with { $0.label = "mine" }
      let done = try await view.submit(TaskSubmission(buffers: [Frame("payload")]))
      _ = try await done.reply
      let failed = try await client[1].submit(TaskTests.fail)[0]
      _ = try? await failed.reply
      let waiting = try await client[0].submit(TaskTests.hang)[0]

      var status = try await client.queueStatus()
      // The task goes another way than the question.
      while status.engines[EngineID(0)]?.queued != 1 {
        try await Task.sleep(for: .milliseconds(5))
        status = try await client.queueStatus()
      }
      #expect(status.engines.count == 2)
      #expect(status.engines[EngineID(0)]?.queued == 1)
      #expect(status.engines.values.reduce(0) { $0 + $1.completed } == 2)
      let results = try await client.resultStatus(of: [done.id, waiting.id])
      #expect(results == ResultStatus(pending: [waiting.id], completed: [done.id]))
      #expect(try await client.history() == [done.id, failed.id, waiting.id])

      let other = try await Client.connect(.connection(client.connectionFile))
      #expect(try await other.result(of: done.id).buffers.map(\.text) == ["payload"])
      let error = await #expect(throws: RemoteError.self) { try await other.result(of: failed.id) }
      #expect(error?.name == "ValueError")
      await #expect(throws: RemoteError.self) { try await other.result(of: "nobody_knows") }
      let late = await #expect(throws: ClientError.self) { try await other.result(of: waiting.id, timeout: .milliseconds(150)) }
      #expect(late?.code == .timeout)
      await other.close()

      let found = try await client.taskQuery(["label": "mine"], fields: ["label", "buffers", "result_buffers"])
      #expect(found.map(\.id) == [done.id])
      #expect(found.first?.buffers.map(\.text) == ["payload"])
      #expect(found.first?.resultBuffers.map(\.text) == ["payload"])
      #expect(try await client.taskQuery().count == 3)

      let renamed = try await client.resubmit([done.id])
      let again = try #require(renamed[done.id])
      #expect(try await client.result(of: again, timeout: .seconds(10)).buffers.map(\.text) == ["payload"])

      await #expect(throws: RemoteError.self) { try await client.purge([waiting.id]) }
      try await client.purge([done.id])
      try await client.purge(engines: [EngineID(1)])
      try await client.purgeEverything()
      #expect(try await client.history() == [waiting.id])
      try await client.abort([waiting.id])
      await #expect(throws: RemoteError.self) { try await waiting.reply }
    }
  }

  @Test func tasksThatWaitForAnEngineAreAborted() async throws {
    try await withTestCluster(engines: 0) { _, client in
      let waiting = try await client.loadBalancedView().submit(TaskSubmission())
      let other = try await Client.connect(.connection(client.connectionFile))
      var outstanding = OutstandingTasks(engines: [:], unassigned: [])
      while outstanding.ids.isEmpty { outstanding = try await other.outstandingTasks() }
      #expect(outstanding.unassigned == [waiting.id])
      try await other.abort(Array(outstanding.ids))
      let error = await #expect(throws: RemoteError.self) { try await waiting.reply(within: .seconds(20)) }
      #expect(error?.isAborted == true)
      #expect(try await other.outstandingTasks().ids.isEmpty)
      await other.close()
    }
  }

  @Test func outstandingTasksAreKnownByPlace() async throws {
    try await withTestCluster(engines: 2) { _, client in
      let hanging = try await client[1].submit(TaskTests.hang)[0]
      var outstanding = OutstandingTasks(engines: [:], unassigned: [])
      while outstanding.ids.isEmpty { outstanding = try await client.outstandingTasks() }
      #expect(outstanding.engines == [EngineID(0): [], EngineID(1): [hanging.id]])
      try await client.abort([hanging.id], interruptsRunning: true)
      _ = try? await hanging.reply
    }
  }

  @Test func enginesHearTheControlChannel() async throws {
    try await withTestCluster(engines: 2) { cluster, client in
      try await client.signal(2, on: .engine(1))
      #expect(await cluster.engine(client.engines[1].uuid)?.signals == [2])
      #expect(await cluster.engine(client.engines[0].uuid)?.signals == [])
      try await client.clear()
      let error = await #expect(throws: ClientError.self) { try await client.signal(2, on: .engine(7)) }
      #expect(error?.code == .unknownEngine)
      #expect(error?.description.contains("0, 1") == true)
    }
  }

  @Test func enginesAreSelectedByKind() async throws {
    try await withTestCluster(engines: 1) { cluster, client in
      let refusal = #expect(throws: ClientError.self) { try client.directView(.kind(.swift)).engines }
      #expect(refusal?.code == .noEngines)
      #expect(refusal?.description.contains("kind python") == true)
      // One that the client is told of, and one that it finds in the list when it connects.
      let engine = try EchoEngine(cluster.controller.engineConnection, kind: .swift)
      try await engine.start()
      try await client.waitForEngines(2, timeout: .seconds(20))
      let later = try await Client.connect(.connection(client.connectionFile))
      for client in [client, later] {
        try await client.waitForEngines(2, timeout: .seconds(20))
        #expect(client.engines.map(\.kind) == [.python, .swift])
        #expect(try client.directView(.kind(.swift)).engines.map(\.uuid) == [engine.uuid])
        #expect(try client.directView(.kind(.python)).engines.map(\.id) == [EngineID(0)])
        let task = try await client.directView(.kind(.swift)).submit(TaskSubmission(buffers: [Frame("x")]))[0]
        #expect(try await task.reply.engine == engine.uuid)
      }
      await later.close()
      await engine.die()
    }
  }

  @Test func slicesSelectByPosition() async throws {
    try await withTestCluster(engines: 3) { _, client in
      try await client.waitForEngines(3)
      func ids(_ selection: EngineSelection) throws -> [Int] { try client.directView(selection).engines.map(\.id.number) }
      #expect(try ids(.slice(0, step: 2)) == [0, 2])
      #expect(try ids(.slice(1)) == [1, 2])
      #expect(try ids(.slice(0, end: 2)) == [0, 1])
      #expect(try ids(.engines([EngineID(2), EngineID(0)])) == [2, 0])
      #expect(throws: ClientError.self) { try ids(.slice(3)) }
      #expect(throws: ClientError.self) { try ids(.slice(0, step: 0)) }
      #expect(throws: ClientError.self) { try ids(.engines([EngineID(1), EngineID(1)])) }
    }
  }
}
