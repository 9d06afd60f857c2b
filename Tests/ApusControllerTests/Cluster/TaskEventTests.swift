import ApusMessaging
import Synchronization
import TestSupport
import Testing
import Transport

@testable import ApusController

/// Reads a controller's events beside its own readers.
private final class EventLog: Sendable {
  private let events = Mutex<[TaskEvent]>([])
  private let stream: TaskEventStream

  init(_ stream: TaskEventStream) { self.stream = stream }

  func add() -> TaskEventStream.ReaderID {
    stream.addReader { [weak self] batch in self?.events.withLock { $0 += batch } }
  }

  func remove(_ reader: TaskEventStream.ReaderID) { stream.removeReader(reader) }

  var all: [TaskEvent] { events.withLock { $0 } }

  func of(_ id: MessageID) -> [String] { all.filter { $0.id == id }.map { $0.kind.text(of: "task") } }
}

@Suite("Cluster: task events", .serialized, .timeLimit(.minutes(2 * patience)))
struct TaskEventTests {
  @Test("a third reader has the whole story of each task when the hub has answered, with times, until it is removed")
  func third() async throws {
    try await TestCluster.with { cluster in
      let log = EventLog(cluster.controller.events)
      let reader = log.add()
      let start = Timestamp.now()
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          let engine = await engines[0].target
          let direct = try await client.send(.mux, to: engine.uuid)
          _ = try await client.answer(.mux, to: direct)
          let balanced = try await client.send(.task)
          _ = try await client.answer(.task, to: balanced)
          let broadcast = try await client.send(.broadcast, metadata: TestClient.targets([engine], coalescing: true))
          _ = try await client.answer(.broadcast, to: broadcast, original: true)
          let nonsense = try await client.send(.task, metadata: ["retries": "many"])
          _ = try await client.answer(.task, to: nonsense)
          let nowhere = try await client.send(.mux, to: "nobody")
          // The mux relay has read it when it answers the next.
          _ = try await client.answer(.mux, to: client.send(.mux, to: engine.uuid))
          _ = try await client.content(.queueRequest, ["targets": .null])
          #expect(log.of(direct) == ["submitted task \(engine.uuid)", "finished task \(engine.uuid) ok"])
          #expect(log.of(balanced) == ["submitted task", "placed task \(engine.uuid)", "finished task \(engine.uuid) ok"])
          #expect(log.of(broadcast) == ["submitted task", "finished task ok"])
          #expect(
            log.of(MessageID("\(broadcast)_\(engine.uuid)")) == [
              "submitted task \(engine.uuid)", "finished task \(engine.uuid) ok",
            ])
          #expect(log.of(nonsense) == ["submitted task", "finished task refused"])
          #expect(log.of(nowhere) == ["submitted task nobody", "finished task nobody refused"])
          #expect(log.all.filter { $0.id == balanced }.allSatisfy { $0.queue == .task && $0.time >= start && $0.time <= .now() })
          // As in ipyparallel: of broadcasts there are no records and no counts.
          #expect(try await client.content(.queueRequest, ["targets": 0])["0"] == ["queue": 0, "tasks": 0, "completed": 3])
          let history = try await client.content(.historyRequest)["history"]?.stringArrayValue
          #expect(history?.contains(broadcast.text) == false && history?.contains(balanced.text) == true)
          log.remove(reader)
          let last = try await client.send(.task)
          _ = try await client.answer(.task, to: last)
          #expect(try await client.content(.resultRequest, ["msg_ids": [.string(last.text)]])["status"] == "ok")
          #expect(log.of(last) == [])
        }
      }
    }
  }

  @Test("a lost engine ends its direct requests and broadcasts once, whatever it still answers")
  func loss() async throws {
    try await TestCluster.with {
      $0.heartbeatPeriod = .milliseconds(30 * patience)
      $0.maximumHeartbeatMisses = 3
      $0.graceAfterSilence = .seconds(5 * patience)
    } _: { cluster in
      let log = EventLog(cluster.controller.events)
      _ = log.add()
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine, conduct: .hold) { engines in
          try await client.waitForEngines(1)
          let engine = await engines[0].target
          let direct = try await client.send(.mux, to: engine.uuid)
          let share = try await client.send(.broadcast, metadata: TestClient.targets([engine], coalescing: false))
          while await engines[0].received.count < 2 { try await Task.sleep(for: .milliseconds(2)) }
          await engines[0].setHeart(beats: false)
          _ = try #require(try await client.notification(.unregistrationNotification))
          let record = try await client.content(.resultRequest, ["msg_ids": [.string(direct.text)]])
          #expect(record[direct.text]?["result_content"]?["ename"] == "EngineError")
          await engines[0].setHeart(beats: true)
          _ = try #require(try await client.notification(.registrationNotification))
          // It has been silent, not dead: the share has some seconds, and its answer wins.
          try await engines[0].behave(.echo)
          _ = try await client.answer(.mux, to: direct)
          _ = try await client.answer(.broadcast, to: MessageID("\(share)_\(engine.uuid)"))
          _ = try await client.content(.connectionRequest)
          #expect(
            log.of(direct) == [
              "submitted task \(engine.uuid)", "lost task \(engine.uuid) silent", "finished task \(engine.uuid) lost",
            ])
          #expect(
            log.of(MessageID("\(share)_\(engine.uuid)")) == ["submitted task \(engine.uuid)", "finished task \(engine.uuid) ok"])
        }
      }
    }
  }

  @Test("that a task has started is told where its engine says so")
  func started() async throws {
    try await TestCluster.with { cluster in
      let log = EventLog(cluster.controller.events)
      _ = log.add()
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          func about(_ id: MessageID, _ type: MessageType) -> Frame {
            Frame(["msg_id": .string(id.text), "msg_type": .string(type.text)])
          }
          try await engines[0].publish(.status, ["execution_state": "busy"], about: about("call", .applyRequest))
          try await engines[0].publish(.status, ["execution_state": "idle"], about: about("call", .applyRequest))
          try await engines[0].publish(.status, ["execution_state": "busy"], about: about("info", "kernel_info_request"))
          try await engines[0].publish(.executeInput, ["code": "1"], about: about("cell", .executeRequest))
          _ = try await client.output(.executeInput)
          _ = try await client.content(.connectionRequest)
          #expect(log.of("call") == ["started task"])
          #expect(log.of("info") == [])
          #expect(log.of("cell") == ["started task", "output task executeInput"])
        }
      }
    }
  }
}
