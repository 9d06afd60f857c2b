import ApusMessaging
import Foundation
import TestSupport
import Testing
import Transport

@testable import ApusController

/// A whole cluster in this process: a controller, and peers that are as short as the wire allows.
@Suite("Cluster", .serialized, .timeLimit(.minutes(2 * patience)))
struct ClusterTests {
  @Test("registration: a reply, a heartbeat, a notification, and the client's list")
  func registration() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        #expect(try await client.engines().isEmpty)
        try await TestEngine.with(2, cluster.engine) { engines in
          let first = try #require(try await client.notification(.registrationNotification))
          #expect(try first.content()["id"] == 0)
          #expect(try first.content()["uuid"] == .string(engines[0].uuid))
          #expect(first.identities.isEmpty)
          #expect(first.parentHeaderFrame == .emptyObject)
          _ = try #require(try await client.notification(.registrationNotification))
          #expect(try await client.engines() == [0: engines[0].uuid, 1: engines[1].uuid])
          try await engines[0].unregister()
          let gone = try #require(try await client.notification(.unregistrationNotification))
          let arrival = try #require(try first.content()["arrival"])
          #expect(try gone.content() == ["id": 0, "uuid": .string(engines[0].uuid), "arrival": arrival] as JSONObject)
          #expect(try await client.engines() == [1: engines[1].uuid])
        }
      }
    }
  }

  @Test("every way to an engine and back, and its output", arguments: [0, 1, 2])
  func roundTrips(depth: Int) async throws {
    try await TestCluster.with {
      $0.broadcastDepth = depth
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(3, cluster.engine) { engines in
          try await client.waitForEngines(3)
          for engine in engines { try await client.roundTrip(await engine.target) }
          // Several engines' answers as one, in the order of the request, and one by one.
          var targets: [(id: Int, uuid: String)] = []
          for engine in engines.reversed() { targets.append(await engine.target) }
          let one = try await client.send(
            .broadcast, metadata: TestClient.targets(targets, coalescing: true), buffers: [Frame("x")])
          #expect(try await client.answer(.broadcast, to: one, original: true).buffers.count == 3)
          let each = try await client.send(
            .broadcast, metadata: TestClient.targets(targets, coalescing: false), buffers: [Frame("x")])
          var answered: Set<String> = []
          for _ in targets {
            let answer = try await client.next(.broadcast)
            #expect(answer.buffers.count == 1)
            if let id = answer.parentID { answered.insert(id.text) }
          }
          #expect(answered == Set(targets.map { "\(each)_\($0.uuid)" }))
          let id = try await client.send(.mux, to: targets[0].uuid)
          let header = Frame(["msg_id": .string(id.text), "msg_type": "apply_request", "session": "s"])
          try await engines[2].publish(.stream, ["name": "stdout", "text": "hello"], about: header)
          let output = try #require(try await client.output(.stream))
          #expect(output.parentID == id)
          #expect(output.identities.map(\.text) == ["engine.\(targets[0].id).x"])
        }
      }
    }
  }

  @Test("what the scheduler decides reaches the client")
  func schedulerErrors() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(2, cluster.engine, conduct: .fail) { engines in
          try await client.waitForEngines(2)
          func name(_ metadata: JSONValue) async throws -> String? {
            try await client.answer(.task, to: client.send(.task, metadata: metadata)).content()["ename"]?.stringValue
          }
          #expect(try await name([:]) == "ValueError")
          #expect(try await name(["retries": 1]) == "ValueError")
          #expect(try await name(["retries": 5, "timeout": 0.05]) == "TaskTimeout")
          #expect(try await name(["after": ["nobody"]]) == "InvalidDependency")
          #expect(try await name(["targets": ["nobody"]]) == "ImpossibleDependency")
          #expect(try await name(["retries": "many"]) == "ValueError")
          #expect(try await name(["after": 7]) == "ValueError")
          let failed = try await client.send(.task)
          _ = try await client.answer(.task, to: failed)
          #expect(try await name(["after": [.string(failed.text)]]) == "ImpossibleDependency")
          for engine in engines { try await engine.behave(.refuse) }
          #expect(
            try await name(["targets": .array([.string(engines[0].uuid), .string(engines[1].uuid)])]) == "ImpossibleDependency")
          try await engines[1].behave(.echo)
          #expect(try await name([:]) == nil)
          let broadcast = try await client.send(.broadcast, metadata: ["targets": "all", "is_coalescing": true])
          #expect(try await client.answer(.broadcast, to: broadcast).content()["ename"] == "ValueError")
          // An error among coalesced answers is the whole answer.
          var targets: [(id: Int, uuid: String)] = []
          for engine in engines { targets.append(await engine.target) }
          let mixed = try await client.send(.broadcast, metadata: TestClient.targets(targets, coalescing: true))
          #expect(try await client.answer(.broadcast, to: mixed, original: true).content()["status"] == "error")
        }
      }
    }
  }

  @Test("a thousand tasks, each answered once")
  func manyTasks() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(3, cluster.engine) { engines in
          try await client.waitForEngines(3)
          var ids: [MessageID] = []
          for number in 0..<1000 { ids.append(try await client.send(.task, buffers: [Frame("\(number)")])) }
          var answers: [MessageID: String] = [:]
          for _ in ids {
            let answer = try await client.next(.task)
            let id = try #require(answer.parentID)
            #expect(answers[id] == nil)
            answers[id] = answer.buffers.first?.text
          }
          for (number, id) in ids.enumerated() { #expect(answers[id] == "\(number)") }
          var received = 0
          for engine in engines { received += await engine.received.count }
          #expect(received == 1000)
        }
      }
    }
  }

  @Test("a full queue makes clients wait, and loses nothing")
  func fullQueue() async throws {
    try await TestCluster.with {
      $0.queueByteLimit = 50_000
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine, conduct: .hold) { engines in
          try await client.waitForEngines(1)
          var ids: Set<MessageID> = []
          for _ in 0..<600 { ids.insert(try await client.send(.task, buffers: [Frame([UInt8](repeating: 1, count: 1000))])) }
          while await engines[0].received.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
          // Not all of them are in the scheduler; what it does not read waits in sockets.
          let status = try await client.content(.queueRequest, ["targets": .null])
          #expect(try #require(status["unassigned"]?.intValue) < 600)
          try await engines[0].behave(.echo)
          while !ids.isEmpty {
            let answered = try #require(try await client.next(.task).parentID)
            #expect(ids.remove(answered) != nil)
          }
        }
      }
    }
  }

  @Test("aborting what waits in the scheduler")
  func abort() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine, conduct: .hold) { engines in
          try await client.waitForEngines(1)
          let running = try await client.send(.task)
          let waiting = try await client.send(.task)
          while await engines[0].received.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
          let ids: JSONValue = ["msg_ids": [.string(waiting.text), .string(running.text)]]
          _ = try await client.answer(.control, to: client.send(.control, .abortRequest, to: engines[0].uuid, content: ids))
          #expect(try await client.answer(.task, to: waiting).content()["status"] == "aborted")
          try await engines[0].behave(.echo)
          #expect(try await client.answer(.task, to: running).content()["status"] == "ok")
        }
      }
    }
  }

  @Test("CURVE: everything as without, and plain peers get nothing")
  func curve() async throws {
    try await TestCluster.with {
      $0.enableCurve = true
    } _: { cluster in
      #expect(cluster.client.curveServerKey?.utf8.count == 40)
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          try await client.roundTrip(await engines[0].target)
          var plain = cluster.client
          plain.curveServerKey = nil
          try await TestClient.with(plain) { stranger in
            _ = await #expect(throws: TestFailure.self) { try await stranger.hub(.connectionRequest, within: .milliseconds(100)) }
          }
        }
      }
    }
  }

  @Test("without a key nothing is signed, and all is well")
  func unsigned() async throws {
    try await TestCluster.with {
      $0.key = ""
      $0.allowsInsecure = true
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          try await client.roundTrip(await engines[0].target)
        }
      }
    }
  }
}
