import ApusMessaging
import Foundation
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Cluster: engines that fail", .serialized, .timeLimit(.minutes(2 * patience)))
struct EngineFaultTests {
  @Test("an engine whose connections drop is known to be gone long before a heartbeat would tell")
  func killed() async throws {
    // Heartbeats alone would take more than half an hour.
    try await TestCluster.with {
      $0.heartbeatPeriod = .seconds(3)
      $0.maximumHeartbeatMisses = 1000
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(2, cluster.engine, conduct: .hold) { engines in
          try await client.waitForEngines(2)
          let first = try await client.send(.task, metadata: ["targets": [.string(engines[0].uuid)]])
          let retried = try await client.send(.task, metadata: ["retries": 1, "targets": .array(engines.map { .string($0.uuid) })])
          let direct = try await client.send(.mux, to: engines[0].uuid)
          let target = await engines[0].target
          let broadcast = try await client.send(.broadcast, metadata: TestClient.targets([target], coalescing: true))
          while await engines[0].received.count < 3 { try await Task.sleep(for: .milliseconds(2)) }
          await engines[0].vanish()
          let lost = try #require(try await client.notification(.unregistrationNotification))
          #expect(try lost.content()["uuid"] == .string(engines[0].uuid))
          let answer = try await client.answer(.task, to: first).content()
          #expect(answer["ename"] == "EngineError")
          #expect(answer["evalue"]?.stringValue?.contains(engines[0].uuid) == true)
          #expect(try await client.answer(.broadcast, to: broadcast).content()["ename"] == "EngineError")
          // Nobody answers a direct request, but the record says what became of it.
          let record = try await client.content(.resultRequest, ["msg_ids": [.string(direct.text)]])
          #expect(record[direct.text]?["result_content"]?["ename"] == "EngineError")
          try await engines[1].behave(.echo)
          #expect(try await client.answer(.task, to: retried).content()["status"] == "ok")
          #expect(try await client.engines() == [1: engines[1].uuid])
        }
      }
    }
  }

  @Test("an engine that answers no pings is given up; heard again it has its id and its tasks go on")
  func silent() async throws {
    try await TestCluster.with {
      $0.heartbeatPeriod = .milliseconds(30 * patience)
      $0.maximumHeartbeatMisses = 3
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine, conduct: .hold) { engines in
          try await client.waitForEngines(1)
          let task = try await client.send(.task)
          while await engines[0].received.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
          await engines[0].setHeart(beats: false)
          _ = try #require(try await client.notification(.unregistrationNotification))
          #expect(try await client.engines().isEmpty)
          await engines[0].setHeart(beats: true)
          let back = try #require(try await client.notification(.registrationNotification))
          #expect(try back.content()["id"] == 0)
          try await client.waitForEngines(1)
          try await engines[0].behave(.echo)
          #expect(try await client.answer(.task, to: task).content()["status"] == "ok")
          try await client.roundTrip(await engines[0].target)
          // Its connection is known still: its end is heard at once.
          await engines[0].vanish()
          _ = try #require(try await client.notification(.unregistrationNotification))
        }
      }
    }
  }

  @Test("an engine that never answers a ping never joins")
  func neverBeats() async throws {
    try await TestCluster.with {
      $0.registrationTimeout = .milliseconds(50 * patience)
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        let engine = try TestEngine(cluster.engine)
        defer { engine.close() }
        await engine.setHeart(beats: false)
        try await engine.register()
        try await Task.sleep(for: .milliseconds(300 * patience))
        #expect(try await client.engines().isEmpty)
        // Its place was given up: it may try again.
        await engine.setHeart(beats: true)
        for _ in 0..<50 where try await client.engines().isEmpty {
          // Refused as long as the last try is pending.
          try? await engine.register()
          try await Task.sleep(for: .milliseconds(100))
        }
        try await client.waitForEngines(1)
      }
    }
  }

  @Test("an engine whose heart answers before it registers joins all the same")
  func beatsFirst() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        let engine = try TestEngine(cluster.engine)
        defer { engine.close() }
        try await engine.register(resumes: true, beatsFirst: true)
        try await client.waitForEngines(1)
        try await client.roundTrip(await engine.target)
      }
    }
  }

  @Test("uuids in use are refused, wanted ids granted, resumed engines kept")
  func registrations() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        let engine = try TestEngine(cluster.engine, uuid: "one")
        defer { engine.close() }
        try await engine.register(wanted: 41)
        try await client.waitForEngines(1)
        #expect(try await client.engines() == [41: "one"])
        try await engine.register(resumes: true)
        let second = try TestEngine(cluster.engine, uuid: "two")
        defer { second.close() }
        try await second.register(wanted: 41)
        try await client.waitForEngines(2)
        #expect(try await client.engines() == [41: "one", 42: "two"])
        try await client.roundTrip(await engine.target)
        let third = try TestEngine(cluster.engine, uuid: "three")
        defer { third.close() }
        try await third.register(wanted: .max)
        try await client.waitForEngines(3)
        #expect(try await client.engines()[43] == "three")
      }
    }
  }

  @Test("engines come and go, and every task is answered once")
  func churn() async throws {
    let seed = SeededRandom.newSeed()
    try await TestCluster.with {
      $0.highWaterMark = 2
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        var random = SeededRandom(seed: seed)
        var engines: [TestEngine] = []
        defer { for engine in engines { engine.close() } }
        var ids: Set<MessageID> = []
        for round in 0..<25 {
          let engine = try TestEngine(cluster.engine, conduct: random.chance(30) ? .hold : .echo)
          engines.append(engine)
          try await engine.register()
          for _ in 0..<20 { ids.insert(try await client.send(.task, metadata: ["retries": 100])) }
          if round > 2, let victim = engines.randomElement(using: &random) { await victim.vanish() }
        }
        for engine in engines { try await engine.behave(.echo) }
        let last = try TestEngine(cluster.engine)
        engines.append(last)
        try await last.register()
        while !ids.isEmpty {
          let answer = try await client.next(.task)
          #expect(try answer.content()["status"] == "ok", "APUS_SEED=\(seed)")
          let id = try #require(answer.parentID)
          #expect(ids.remove(id) != nil, "APUS_SEED=\(seed)")
        }
        let status = try await client.content(.queueRequest, ["targets": .null])
        #expect(status["unassigned"] == 0)
        for (_, engine) in status.members.compactMap({ member in member.value.objectValue.map { (member.key, $0) } }) {
          #expect(engine["tasks"] == 0, "APUS_SEED=\(seed)")
        }
      }
    }
  }

  @Test("tasks for an engine that is about to connect are not lost")
  func burstAtRegistration() async throws {
    try await TestCluster.with {
      $0.highWaterMark = 0
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        var ids: [MessageID] = []
        for _ in 0..<200 { ids.append(try await client.send(.task)) }
        try await TestEngine.with(4, cluster.engine) { engines in
          for _ in ids { _ = try await client.next(.task) }
          var received = 0
          for engine in engines { received += await engine.received.count }
          #expect(received == 200)
        }
      }
    }
  }
}
