import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusController

/// Messages that travel together, between those who do so and those who do not.
@Suite("Cluster: batches", .serialized, .timeLimit(.minutes(1 * patience)))
struct BatchTests {
  @Test("who takes batches gets them, everybody else gets signed messages", arguments: [false, true], [false, true])
  func everyPair(client clientBatches: Bool, engine engineBatches: Bool) async throws {
    try await TestCluster.with {
      $0.highWaterMark = 0
    } _: { cluster in
      let engine = try TestEngine(cluster.engine)
      defer { engine.close() }
      try await engine.register(takesBatches: engineBatches)
      try await TestClient.with(cluster.client) { client in
        try await client.waitForEngines(1)
        // Among the small ones one that is too large for batches.
        let payloads = (0..<40).map { Frame([UInt8](repeating: UInt8($0), count: $0 == 20 ? 20_000 : $0)) }
        var ids: [MessageID] = []
        if clientBatches {
          ids += try await client.sendBatch(Array(payloads[..<20]))
          ids.append(try await client.send(.task, buffers: [payloads[20]]))
          ids += try await client.sendBatch(Array(payloads[21...]))
        } else {
          for payload in payloads { ids.append(try await client.send(.task, buffers: [payload])) }
        }
        let (answers, batched) = try await client.answers(40)
        for (id, payload) in zip(ids, payloads) { #expect(answers[id] == payload) }
        #expect(batched == (clientBatches ? 39 : 0))
        #expect(await engine.batched == (engineBatches ? 39 : 0))
        #expect(await engine.received == ids, "in the order in which they were sent")
      }
    }
  }

  @Test("the hub tells of batches those who ask") func hub() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        let stock = try await client.content(.connectionRequest)
        let own = try await client.content(.connectionRequest, ["batches": true])
        #expect(stock["batches"] == nil && own["batches"] == true)
      }
    }
  }

  @Test("forged, replayed and damaged batches change nothing") func hostile() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          func batch(key: String, cut: Int = 0) -> [Frame] {
            var session = Session(key: key)
            var frames = session.message(.applyRequest).batchOfOne(session.signer)
            guard cut > 0 else { return frames }
            frames[2] = Frame(frames[2].bytes.dropLast(cut))
            frames[1] = session.signer.sign([frames[0], frames[2]])
            return frames
          }
          let good = batch(key: cluster.client.key)
          let port = cluster.client.task
          try await client.sendRaw(
            [
              good, good, batch(key: "another"), batch(key: ""), batch(key: cluster.client.key, cut: 1),
              batch(key: cluster.client.key, cut: 400), [MessageBatch.marker, .empty, .empty], [MessageBatch.marker, .empty],
              [MessageBatch.marker], batch(key: cluster.client.key),
            ], to: port)
          // They come by one connection: everything has been read when the last of them is here.
          let end = ContinuousClock.now + .seconds(20 * patience)
          while await engines[0].received.count < 2, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(5)) }
          _ = try await client.answer(.task, to: client.send(.task))
          #expect(await engines[0].received.count == 3, "the good one once, the last one, and the client's")
        }
      }
    }
  }
}
