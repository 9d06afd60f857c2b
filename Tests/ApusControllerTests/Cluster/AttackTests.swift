import ApusController
import ApusMessaging
import TestSupport
import Testing
import Transport

/// What somebody could do who got as far as a socket: each layer holds by itself (docs/security.md).
@Suite("Cluster: attacks", .timeLimit(.minutes(2 * patience)))
struct AttackTests {
  private func leaves(_ file: ConnectionFile) -> [Int] {
    if case .engine(_, _, let leaves) = file.side { leaves } else { [] }
  }

  private func pongPort(_ file: ConnectionFile) -> Int {
    if case .engine(_, let pong, _) = file.side { pong } else { 0 }
  }

  @Test("an identity in use is nobody else's: the engine stays, and the newcomer hears nothing", arguments: [true, false])
  func identities(isEncrypted: Bool) async throws {
    try await TestCluster.with {
      $0.enableCurve = isEncrypted
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          try await client.roundTrip(await engines[0].target)
          let connector = try Connector(cluster.engine)
          let file = cluster.engine
          let uuid = engines[0].uuid
          let thief = try connector.connect(.router, identity: uuid, to: file.mux, file.task, leaves(file)[0])
          let other = try connector.connect(.router, identity: uuid, to: file.control)
          let heart = try connector.connect(.dealer, identity: uuid, to: pongPort(file))
          try heart.send([Frame("0.0")])
          for _ in 0..<20 { try await client.roundTrip(await engines[0].target) }
          #expect(try thief.receive() == nil)
          #expect(try other.receive() == nil)
          #expect(try await client.engines().count == 1)
        }
      }
    }
  }

  @Test("a captured request does nothing on another channel, with or without other buffers")
  func replays() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          let direct = await client.sign(.applyRequest, identities: [Frame(engines[0].uuid)])
          try await client.sendRaw([direct], to: cluster.client.mux)
          try await client.roundTrip(await engines[0].target)
          let captured = Array(direct.dropFirst())
          let id = try #require(Envelope(direct)?.messageID)
          guard case .client(_, let broadcast, _) = cluster.client.side else { return }
          for port in [cluster.client.task, cluster.client.control, broadcast, cluster.client.registration, cluster.client.mux] {
            try await client.sendRaw([captured + [Frame("evil")], direct + [Frame("evil")]], to: port)
          }
          try await client.roundTrip(await engines[0].target)
          #expect(await engines[0].received.filter { $0 == id }.count == 1)
        }
      }
    }
  }

  @Test("what our own said on one hop is nobody's on another")
  func hops() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          let signer = Signer(key: Array(cluster.client.key.utf8))
          var session = Session(key: cluster.client.key)
          var stolen: [[Frame]] = []
          for scope in [MessageScope.schedulerToEngine, .engineToScheduler, .schedulerToClient] {
            stolen.append(session.message(.applyRequest).batchOfOne(signer, scope))
          }
          for scope: MessageScope in [.request(.mux), .request(.hub), .reply(.task)] {
            stolen.append(session.message(.applyRequest, sealedFor: scope).frames)
          }
          try await client.sendRaw(stolen, to: cluster.client.task)
          for scope: MessageScope in [.request(.mux), .request(.task), .reply(.hub)] {
            try await client.sendRaw([session.message(.shutdownRequest, sealedFor: scope).frames], to: cluster.client.registration)
          }
          // In its place each of them is good.
          try await client.sendRaw(
            [session.message(.applyRequest, sealedFor: .request(.task)).frames, session.message(.applyRequest).batchOfOne(signer)],
            to: cluster.client.task)
          while await engines[0].received.count < 2 { try await Task.sleep(for: .milliseconds(2)) }
          try await client.roundTrip(await engines[0].target)
          // Two of these, and direct, balanced and broadcast of the round trip.
          #expect(await engines[0].received.count == 5)
        }
      }
    }
  }

  @Test("a header that does not say who sends is published to nobody")
  func nameless() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          let signer = Signer(key: Array(cluster.client.key.utf8))
          var session = Session(key: cluster.client.key)
          let connector = try Connector(cluster.engine)
          let output = try connector.connect(.pub, to: cluster.engine.iopub)
          func publish(_ header: JSONValue) throws {
            let parts = [Frame(header), .emptyObject, .emptyObject, Frame(["execution_state": "idle"])]
            try output.send([Frame("engine.0.status"), .delimiter, signer.sign(parts[...])] + parts)
          }
          // Until one that is whole comes through, the publisher may not be heard at all; what it said before it is in order.
          for number in 0..<400 {
            try publish(["msg_id": "1", "msg_type": "status"])
            try publish(["msg_id": 1, "msg_type": "status", "session": "s"])
            try publish(["session": "s", "msg_type": "status"])
            try publish(["msg_id": "1", "session": "s"])
            try output.send(session.message("stream", content: ["n": .int(number)], identities: [Frame("engine.0.x")]).frames)
            if let heard = try await client.anyOutput(within: .milliseconds(50)) {
              #expect(heard.messageType == "stream")
              return
            }
          }
          Issue.record("nothing was published")
        }
      }
    }
  }
}
