import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Cluster: the hub's answers", .serialized, .timeLimit(.minutes(2 * patience)))
struct HubRequestTests {
  private func withOne(
    _ configure: (inout ControllerConfiguration) -> Void = { _ in }, _ body: (TestClient, TestEngine) async throws -> Void
  ) async throws {
    try await TestCluster.with(configure) { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          try await body(client, engines[0])
        }
      }
    }
  }

  @Test("results: pending, completed, with their buffers", arguments: [ControllerConfiguration.Database.memory, .sqlite])
  func results(database: ControllerConfiguration.Database) async throws {
    try await withOne {
      $0.database = database
    } _: { client, engine in
      let direct = try await client.send(.mux, to: engine.uuid, buffers: [Frame("direct")])
      let balanced = try await client.send(.task, metadata: ["label": "mine"], buffers: [Frame("balanced"), Frame("twice")])
      _ = try await client.answer(.mux, to: direct)
      _ = try await client.answer(.task, to: balanced)
      let ids = [direct, balanced].sorted { $0.text < $1.text }
      let reply = try await client.hub(.resultRequest, ["msg_ids": .array(ids.map { .string($0.text) })])
      let content = try reply.content()
      #expect(content["status"] == "ok")
      #expect(content["completed"]?.stringArrayValue == ids.map(\.text))
      #expect(content["pending"] == [])
      // Buffers come in the order of the sorted ids.
      #expect(reply.buffers.map(\.text) == ids.flatMap { $0 == direct ? ["direct"] : ["balanced", "twice"] })
      let entry = try #require(content[balanced.text]?.objectValue)
      #expect(entry["result_header"]?["msg_type"] == "apply_reply")
      #expect(entry["result_metadata"]?["engine"] == .string(engine.uuid))
      #expect(entry["metadata"]?["label"] == "mine")
      #expect(entry["io"]?["stdout"] == "")
      let status = try await client.content(.resultRequest, ["msg_ids": .string(direct.text), "status_only": true])
      #expect(status["completed"]?.stringArrayValue == [direct.text])
      #expect(status[direct.text] == nil)
      #expect(try await client.content(.resultRequest, ["msg_ids": ["nobody"]])["ename"] == "KeyError")
      #expect(try await client.content(.resultRequest, [:])["ename"] == "KeyError")
      // What the engine publishes is in the record.
      try await engine.publish(
        .stream, ["name": "stdout", "text": "said"], about: Frame(["msg_id": .string(balanced.text), "msg_type": "x"]))
      _ = try await client.output(.stream)
      let again = try await client.content(.resultRequest, ["msg_ids": [.string(balanced.text)]])
      #expect(again[balanced.text]?["io"]?["stdout"] == "said")
      // Queries.
      let found = try await client.hub(
        .dbRequest, ["query": ["msg_id": .string(balanced.text)], "keys": ["engine_uuid", "buffers", "result_buffers", "label"]])
      #expect(
        try found.content()["records"] == [
          ["msg_id": .string(balanced.text), "engine_uuid": .string(engine.uuid), "label": "mine"]
        ])
      #expect(try found.content()["buffer_lens"] == [2])
      #expect(found.buffers.map(\.text) == ["balanced", "twice", "balanced", "twice"])
      #expect(try await client.content(.dbRequest, ["query": ["msg_id": ["$strange": 1]]])["status"] == "error")
      #expect(try await client.content(.dbRequest, ["query": [:], "keys": ["strange"]])["ename"] == "KeyError")
      #expect(try await client.content(.historyRequest)["history"]?.stringArrayValue == [direct.text, balanced.text])
      // Purging.
      #expect(try await client.content(.purgeRequest, ["msg_ids": [.string(direct.text)]])["status"] == "ok")
      #expect(try await client.content(.historyRequest)["history"]?.stringArrayValue == [balanced.text])
      #expect(try await client.content(.purgeRequest, ["msg_ids": [], "engine_ids": [0]])["status"] == "ok")
      #expect(try await client.content(.historyRequest)["history"] == [])
    }
  }

  @Test("counters: queued, running, unassigned, completed")
  func counters() async throws {
    try await withOne { client, engine in
      try await engine.behave(.hold)
      let direct = try await client.send(.mux, to: engine.uuid)
      let first = try await client.send(.task)
      let second = try await client.send(.task)
      while await engine.received.count < 2 { try await Task.sleep(for: .milliseconds(2)) }
      // The task that waits goes another way than the question for it.
      while try await client.content(.queueRequest, ["targets": .null])["unassigned"] != 1 {
        try await Task.sleep(for: .milliseconds(2))
      }
      let status = try await client.content(.queueRequest, ["targets": .null, "verbose": true])
      #expect(status["0"] == ["queue": [.string(direct.text)], "tasks": [.string(first.text)], "completed": []])
      #expect(status["unassigned"] == [.string(second.text)])
      #expect(try await client.content(.queueRequest, ["targets": 0])["0"] == ["queue": 1, "tasks": 1, "completed": 0])
      #expect(try await client.content(.loadRequest, ["targets": [.string(engine.uuid)]])["0"] == 2)
      #expect(
        try await client.content(.resultRequest, ["msg_ids": [.string(second.text)]])["pending"]?.stringArrayValue == [second.text])
      #expect(try await client.content(.purgeRequest, ["msg_ids": [.string(first.text)]])["ename"] == "IndexError")
      try await engine.behave(.echo)
      for id in [first, second] { _ = try await client.answer(.task, to: id) }
      _ = try await client.answer(.mux, to: direct)
      // Never older than the answer that the client has seen.
      #expect(try await client.content(.queueRequest, ["targets": "all"])["0"] == ["queue": 0, "tasks": 0, "completed": 3])
      for targets in [[], ["nobody"], [7], 7] as [JSONValue] {
        let reply = try await client.hub(.queueRequest, ["targets": targets])
        #expect(reply.messageType == .hubError)
        #expect(try reply.content()["ename"] == "IndexError")
      }
      #expect(try await client.content(.queueRequest)["ename"] == "KeyError")
    }
  }

  @Test("resubmitted tasks are new ones, whose results are for the database")
  func resubmit() async throws {
    try await withOne { client, engine in
      let old = try await client.send(.task, metadata: ["retries": 2], buffers: [Frame("again")])
      _ = try await client.answer(.task, to: old)
      let answer = try await client.content(.resubmitRequest, ["msg_ids": [.string(old.text)]])
      let new = try #require(answer["resubmitted"]?[old.text]?.stringValue)
      #expect(new != old.text)
      var completed: [String] = []
      for _ in 0..<1000 * patience where completed.isEmpty {
        let reply = try await client.hub(.resultRequest, ["msg_ids": [.string(new)]])
        completed = try reply.content()["completed"]?.stringArrayValue ?? []
        if !completed.isEmpty {
          #expect(reply.buffers.map(\.text) == ["again"])
        } else {
          try await Task.sleep(for: .milliseconds(2))
        }
      }
      #expect(completed == [new])
      #expect(await engine.received.map(\.text) == [old.text, new])
      #expect(
        try await client.content(.dbRequest, ["query": ["msg_id": .string(old.text)], "keys": ["resubmitted"]])["records"]
          == [["msg_id": .string(old.text), "resubmitted": .string(new)]])
      #expect(try await client.content(.resubmitRequest, ["msg_ids": ["nobody"]])["ename"] == "KeyError")
    }
  }

  @Test("a task that is sent again is written as it was: its codec and its label stay")
  func resubmitsCodec() async throws {
    try await withOne { client, engine in
      let old = try await client.send(.task, metadata: ["retries": 2, "codec": "msgpack", "label": "mine", "targets": []])
      _ = try await client.answer(.task, to: old)
      _ = try await client.content(.resubmitRequest, ["msg_ids": [.string(old.text)]])
      while await engine.received.count < 2 { try await Task.sleep(for: .milliseconds(2)) }
      #expect(await engine.lastMetadata == ["codec": "msgpack", "label": "mine"])
    }
  }

  @Test("what is no task is answered, and takes nobody's place", arguments: ["foo", "comm_open", "shutdown_request", ""])
  func noTask(_ type: String) async throws {
    try await withOne { client, engine in
      for _ in 0..<3 {
        let reply = try await client.answer(.task, to: client.send(.task, MessageType(type)))
        let content = try reply.content()
        #expect(content["ename"] == "NotImplementedError")
      }
      try await client.roundTrip(await engine.target)
      #expect(await engine.received.count == 3)
    }
  }

  @Test("a direct request to nobody has failed, and is not kept for ever as unfinished")
  func stray() async throws {
    try await withOne { client, _ in
      let id = try await client.send(.mux, to: "nobody")
      var name: String?
      for _ in 0..<1000 * patience where name == nil {
        name = try await client.content(.resultRequest, ["msg_ids": [.string(id.text)]])[id.text]?["result_content"]?["ename"]?
          .stringValue
        if name == nil { try await Task.sleep(for: .milliseconds(2)) }
      }
      #expect(name == "EngineError")
    }
  }

  @Test("without a database there is no data, and status all the same")
  func noDatabase() async throws {
    try await withOne {
      $0.database = .none
    } _: { client, _ in
      let id = try await client.send(.task)
      _ = try await client.answer(.task, to: id)
      for type in [MessageType.historyRequest, .dbRequest] { #expect(try await client.content(type)["ename"] == "NoData") }
      #expect(try await client.content(.resultRequest, ["msg_ids": [.string(id.text)]])["status"] == "error")
      #expect(
        try await client.content(.resultRequest, ["msg_ids": [.string(id.text)], "status_only": true])["completed"]?
          .stringArrayValue == [id.text])
    }
  }

  @Test("stock peers hear nothing of kinds; one that is not Python is told")
  func kinds() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        let absurd: [JSONValue?] = [nil, "python", 5, "", [], .null, .string(String(repeating: "x", count: 1000))]
        let engines = try absurd.map { _ in try TestEngine(cluster.engine) } + [TestEngine(cluster.engine)]
        defer { for engine in engines { engine.close() } }
        for (engine, kind) in zip(engines, absurd) {
          try await engine.register(kind: kind)
          let told = try #require(try await client.notification(.registrationNotification)).content()
          #expect(Set(told.members.map(\.key)) == ["id", "uuid", "arrival"])
        }
        #expect(Set(try await client.content(.connectionRequest).members.map(\.key)) == ["status", "engines"])
        try await engines.last?.register(kind: "swift")
        let told = try #require(try await client.notification(.registrationNotification)).content()
        #expect(told["kind"] == "swift")
        let number = try #require(told["id"]?.intValue)
        #expect(try await client.content(.connectionRequest)["kinds"] == .object(JSONObject(members: [("\(number)", "swift")])))
      }
    }
  }

  @Test("requests that the hub does not know, and absurd contents of those it knows")
  func absurd() async throws {
    try await withOne { client, engine in
      #expect(try await client.hub("nonsense_request").messageType == .hubError)
      let types: [MessageType] = [.queueRequest, .loadRequest, .resultRequest, .dbRequest, .purgeRequest, .resubmitRequest]
      let values: [JSONValue] = [
        .null, true, -1, .int(.max), .int(.min), 1.5, "", "x", [], [[]], [:], ["a": []],
        .bigInteger("123456789012345678901234567890"),
      ]
      for type in types {
        for value in values {
          let reply = try await client.hub(
            type,
            [
              "targets": value, "msg_ids": value, "engine_ids": value, "query": value, "keys": value, "verbose": value,
              "status_only": value,
            ])
          #expect(["ok", "error"].contains(try reply.content()["status"]))
        }
      }
      for value in values { _ = try await client.hub(.connectionRequest, ["anything": value]) }
      try await client.roundTrip(await engine.target)
    }
  }
}
