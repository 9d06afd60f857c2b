import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Cluster: the log of events", .serialized, .timeLimit(.minutes(2 * patience)))
struct EventLogTests {
  private func withOne(
    _ configure: (inout ControllerConfiguration) -> Void = { _ in },
    _ body: (TestCluster, TestClient, TestEngine) async throws -> Void
  ) async throws {
    try await TestCluster.with(configure) { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          try await body(cluster, client, engines[0])
        }
      }
    }
  }

  private func events(_ reply: JSONObject) -> [StoryEvent] { (reply["events"]?.arrayValue ?? []).compactMap { StoryEvent($0) } }

  @Test("everything is in it in order: the controller, clients, engines, tasks of every kind")
  func whole() async throws {
    try await withOne { _, client, engine in
      let target = await engine.target
      let balanced = try await client.send(.task, metadata: ["label": "mine"])
      _ = try await client.answer(.task, to: balanced)
      let direct = try await client.send(.mux, to: engine.uuid)
      _ = try await client.answer(.mux, to: direct)
      let broadcast = try await client.send(.broadcast, metadata: TestClient.targets([target], coalescing: true))
      _ = try await client.answer(.broadcast, to: broadcast, original: true)
      // Never older than the answers that the client has seen.
      let reply = try await client.content(.eventsRequest)
      let all = events(reply)
      #expect(reply["status"] == "ok" && reply["more"] == false && reply["lost"] == 0)
      #expect(all.map(\.number) == Array(0..<all.count) && reply["next"]?.intValue == all.count)
      #expect(all.first?.kind == .controllerStarted)
      func kinds(_ id: MessageID) -> [StoryEvent.Kind] { all.filter { $0.task == id }.map(\.kind) }
      #expect(kinds(balanced) == [.submitted, .placed, .finished])
      #expect(kinds(direct) == [.submitted, .finished])
      #expect(kinds(broadcast) == [.submitted, .finished])
      #expect(kinds(MessageID("\(broadcast)_\(engine.uuid)")) == [.submitted, .finished])
      #expect(all.first { $0.task == balanced }?.label == "mine")
      let came = try #require(all.firstIndex { $0.kind == .engineRegistered })
      #expect(all[came].engine == EngineUUID(engine.uuid) && all[came].engineID == EngineID(target.id))
      #expect(all.last { $0.task == balanced }?.engineID == EngineID(target.id))
      let session = try #require(all.first { $0.task == direct }?.client)
      #expect(all.filter { $0.kind == .clientConnected }.map(\.client) == [session])
      let its = events(try await client.content(.eventsRequest, ["filter": ["client": .string(session)]]))
      #expect(its.first?.kind == .clientConnected && its.count(where: { $0.kind == .finished }) == 4)
      // In parts, and filtered.
      let part = try await client.content(.eventsRequest, ["limit": 2, "text": true])
      #expect(events(part).map(\.number) == [0, 1] && part["more"] == true)
      #expect(part["events"]?.arrayValue?.first?["text"]?.stringValue == "the controller started")
      let rest = try await client.content(.eventsRequest, ["since": part["next"] ?? 0, "log": part["log"] ?? ""])
      #expect(events(rest).first?.number == 2 && rest["restarted"] == false)
      let other = try await client.content(.eventsRequest, ["since": part["next"] ?? 0, "log": "of before"])
      #expect(events(other).first?.number == 0 && other["restarted"] == true)
      let own = try await client.content(.eventsRequest, ["filter": ["tasks": [.string(direct.text)]]])
      #expect(events(own).map(\.kind) == [.submitted, .finished])
      let new = try await client.content(.eventsRequest, ["since": "end"])
      #expect(events(new) == [] && new["next"] == new["end"])
    }
  }

  @Test("who waits is answered when something happens, or when the time is over")
  func waits() async throws {
    try await withOne { _, client, engine in
      let end = try await client.content(.eventsRequest, ["since": "end"])["next"] ?? 0
      let question = try await client.ask(.eventsRequest, ["since": end, "filter": ["kinds": "finished"], "wait": 60])
      let task = try await client.send(.task)
      _ = try await client.answer(.task, to: task)
      let found = events(try await client.answer(to: question).content())
      #expect(found.map(\.kind) == [.finished] && found.first?.task == task)
      let start = ContinuousClock.now
      let nothing = try await client.content(.eventsRequest, ["since": "end", "wait": 0.2])
      #expect(events(nothing) == [] && nothing["status"] == "ok")
      #expect(ContinuousClock.now - start >= .milliseconds(200))
      _ = engine
    }
  }

  @Test("too many waits are refused, and those of a client that has gone are forgotten")
  func bounds() async throws {
    try await withOne { cluster, client, _ in
      try await TestClient.with(cluster.client) { other in
        _ = try await other.content(.connectionRequest)
        for _ in 0..<EventWaits.mostOfClient {
          _ = try await other.ask(.eventsRequest, ["since": "end", "filter": ["tasks": "x"], "wait": 200])
        }
        let refused = try await other.content(.eventsRequest, ["since": "end", "filter": ["tasks": "x"], "wait": 200])
        #expect(refused["ename"] == "RuntimeError")
      }
      // It is gone: that is an event, after which nothing waits.
      var gone: [StoryEvent] = []
      for _ in 0..<100 where gone.isEmpty {
        gone = events(try await client.content(.eventsRequest, ["filter": ["kinds": "client_gone"], "wait": 1]))
      }
      #expect(gone.count == 1)
      #expect(await cluster.controller.log.waitCount == 0)
    }
  }

  @Test("requests that make no sense get an error that says why")
  func absurd() async throws {
    try await withOne { _, client, _ in
      for content: JSONValue in [
        ["since": -1], ["since": "yesterday"], ["since": []], ["since": 1.5], ["limit": 0], ["limit": "many"], ["wait": -1],
        ["wait": "long"], ["last": 0], ["last": "all"], ["filter": []], ["filter": ["strange": 1]],
        ["filter": ["kinds": ["nothing"]]], ["log": 5],
      ] {
        let reply = try await client.hub(.eventsRequest, content)
        #expect(reply.messageType == MessageType.eventsRequest.reply)
        #expect(try reply.content()["ename"] == "ValueError", "\(content.text)")
      }
      for content: JSONValue in [[:], ["task": 5], ["task": ""], ["engine": []], ["engine": ""], ["engine": 1.5]] {
        #expect(try await client.content(.explainRequest, content)["ename"] == "ValueError", "\(content.text)")
      }
      // Larger than any number of an event, and more than there is.
      let late = try await client.content(.eventsRequest, ["since": .int(.max), "limit": .int(.max), "wait": 0])
      #expect(late["status"] == "ok" && late["next"] == late["end"])
      let text = String(repeating: "é", count: 100_000)
      #expect(try await client.content(.explainRequest, ["task": .string(text)])["explanation"]?["status"] == "unknown")
    }
  }

  @Test("a history of no bytes keeps nothing, and says so")
  func nothing() async throws {
    try await withOne {
      $0.historyLimit = 0
    } _: { _, client, _ in
      let task = try await client.send(.task)
      _ = try await client.answer(.task, to: task)
      #expect(try await client.content(.eventsRequest)["ename"] == "NoEvents")
      // The task database still knows of it.
      let found = try await client.content(.explainRequest, ["task": .string(task.text)])["explanation"]
      #expect(found?["status"] == "ended" && found?["facts"]?["outcome"] == "ok")
    }
  }

  private func explain(_ client: TestClient, _ content: JSONValue) async throws -> Explanation {
    let reply = try await client.content(.explainRequest, content)
    return try #require(reply["explanation"].flatMap { Explanation($0) })
  }

  @Test("explanations: waiting, behind others, aborted, resubmitted, unknown, of an engine and of one that was lost")
  func explanations() async throws {
    try await withOne { cluster, client, engine in
      try await engine.behave(.hold)
      let uuid = engine.uuid
      let first = try await client.send(.task, metadata: ["label": "first"])
      while await engine.received.isEmpty { try await Task.sleep(for: .milliseconds(2)) }
      let second = try await client.send(.task)
      let third = try await client.send(.task, metadata: ["after": [.string(second.text)]])
      let missing = try await client.send(.task, metadata: ["targets": ["nobody"]])
      let direct = try await client.send(.mux, to: uuid)
      while await engine.received.count < 2 { try await Task.sleep(for: .milliseconds(2)) }
      // What the scheduler has read by then: the last that came.
      var state = ""
      while state != "ended" { state = try await explain(client, ["task": .string(missing.text)]).status }
      #expect(try await explain(client, ["task": .string(missing.text)]).facts["outcome"] == "impossible")
      let runs = try await explain(client, ["task": .string(first.text)])
      #expect(runs.status == "running" && runs.facts["label"] == "first")
      let queued = try await explain(client, ["task": .string(second.text)])
      #expect(queued.status == "queued" && queued.reasons.map(\.code) == ["busy"])
      let waiting = try await explain(client, ["task": .string(third.text)])
      #expect(waiting.status == "waiting" && waiting.reasons.map(\.code) == ["dependency"])
      let behind = try await explain(client, ["task": .string(direct.text)])
      #expect(behind.status == "placed" && behind.reasons.map(\.code) == ["behind", "engine_runs"])
      let id = await engine.target.id
      let busy = try await explain(client, ["engine": .int(id)])
      #expect(busy.status == "registered" && busy.facts["open"] == 2)
      #expect(busy.reasons.contains { $0.code == "heartbeat" })
      _ = try await client.send(.control, .abortRequest, to: uuid, content: ["msg_ids": [.string(second.text)]])
      _ = try await client.answer(.task, to: second)
      let aborted = try await explain(client, ["task": .string(second.text)])
      #expect(aborted.facts["outcome"] == "aborted" && aborted.reasons.map(\.code) == ["aborted"])
      #expect(try await explain(client, ["task": .string(third.text)]).facts["outcome"] == "impossible")
      try await engine.behave(.echo)
      _ = try await client.answer(.task, to: first)
      let again = try await client.content(.resubmitRequest, ["msg_ids": [.string(first.text)]])["resubmitted"]?[first.text]
      let ended = try await explain(client, ["task": .string(first.text)])
      #expect(ended.facts["resubmitted"] == again && ended.reasons.map(\.code) == ["resubmitted"])
      #expect(try await explain(client, ["task": "nobody"]).status == "unknown")
      #expect(try await explain(client, ["engine": 77]).status == "unknown")
      _ = cluster
    }
  }

  @Test("an engine that is gone: why")
  func lostEngine() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        let uuid = try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          return engines[0].uuid
        }
        try await client.waitForEngines(0)
        let lost = try await explain(client, ["engine": .string(uuid)])
        #expect(lost.status == "lost" && lost.reasons.last?.code == "registered")
        #expect(["disconnected", "unregistered"].contains(lost.reasons.first?.code))
      }
    }
  }
}
