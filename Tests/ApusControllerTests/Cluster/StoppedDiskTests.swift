import ApusMessaging
import Foundation
import TestSupport
import Testing
import Transport

@testable import ApusController

/// A disk that does not answer: whoever waits for it waits alone.
@Suite("Cluster: a disk that stopped", .serialized, .timeLimit(.minutes(2 * patience)))
struct StoppedDiskTests {
  /// The database's loop, held as a write to such a disk holds it.
  private final class Disk: Sendable {
    private let gate = DispatchSemaphore(value: 0)
    init(stopping store: TaskStore) { store.loop.execute { [gate] in gate.wait() } }
    func goOn() { gate.signal() }
  }

  /// A cluster whose disk has stopped, and goes on at the end at the latest.
  private func withStoppedDisk(
    _ configure: (inout ControllerConfiguration) -> Void = { _ in }, _ body: (TestCluster, TestClient, Disk) async throws -> Void
  ) async throws {
    try await TestCluster.with(configure) { cluster in
      try await TestClient.with(cluster.client) { client in
        let disk = Disk(stopping: cluster.controller.store)
        defer { disk.goOn() }
        try await body(cluster, client, disk)
      }
    }
  }

  @Test("engines register, and tasks and direct requests end; questions about tasks are answered when it goes on")
  func served() async throws {
    try await withStoppedDisk {
      $0.database = .sqlite
    } _: { cluster, client, disk in
      try await TestEngine.with(2, cluster.engine) { engines in
        try await client.waitForEngines(2)
        let tasks = try await client.send(.task, buffers: [Frame("balanced")])
        _ = try await client.answer(.task, to: tasks)
        let direct = try await client.send(.mux, to: engines[0].uuid)
        _ = try await client.answer(.mux, to: direct)
        #expect(try await client.content(.queueRequest, ["targets": "all"])["status"] == "ok")
        let question = try await client.ask(.resultRequest, ["msg_ids": [.string(tasks.text)]])
        // The hub has read the question when it answers the next.
        #expect(try await client.content(.connectionRequest)["status"] == "ok")
        disk.goOn()
        let answer = try await client.answer(to: question)
        #expect(try answer.content()["completed"] == [.string(tasks.text)])
        #expect(answer.buffers.map(\.text) == ["balanced"])
      }
    }
  }

  @Test("the list of engines is written when it goes on, as it is then")
  func engineList() async throws {
    try await withStoppedDisk { cluster, client, disk in
      try await TestEngine.with(3, cluster.engine) { _ in
        try await client.waitForEngines(3)
        disk.goOn()
        let path = cluster.controller.configuration.engineStatePath
        for _ in 0..<1000 * patience {
          let engines = (try? JSONValue(parsing: AtomicFile.read(path)))?["engines"]?.objectValue
          if engines?.members.count == 3 { return }
          try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("three engines are not in the file")
      }
    }
  }

  @Test("very many questions: the last are refused and not kept")
  func questions() async throws {
    try await withStoppedDisk { _, client, _ in
      var last: MessageID?
      for _ in 0...4096 { last = try await client.ask(.historyRequest) }
      let refusal = try await client.answer(to: try #require(last)).content()
      #expect(refusal["ename"] == "RuntimeError")
      #expect(refusal["evalue"]?.stringValue?.contains("does not answer") ?? false)
    }
  }
}
