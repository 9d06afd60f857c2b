import ApusMessaging
import Glibc
import TestSupport
import Testing
import Transport

@testable import ApusController

/// Lines of this host, by their raw ends, to a whole controller.
@Suite("Local lines", .serialized, .timeLimit(.minutes(1 * patience))) struct LocalLinesTests {
  /// One end, and what it waits for.
  private struct End {
    let socket: LocalSocket

    init(_ file: ConnectionFile) throws {
      let directory = try #require(file.localDirectory)
      socket = try #require(LocalSocket(connectingTo: LocalSocket.linesPath(in: directory)))
    }

    /// - Returns: `nil` at the end of the connection.
    func next() throws -> [Frame]? {
      while true {
        switch socket.receive() {
        case .message(let frames): return frames
        case .closed: return nil
        case .nothing:
          var item = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
          guard poll(&item, 1, Int32(30_000 * patience)) == 1 else { throw TestFailure("nothing came") }
        }
      }
    }

    func message() throws -> Envelope {
      let frames = try #require(try next(), "the line has ended")
      return try #require(Envelope(frames))
    }

    func send(_ frames: [Frame]) throws {
      let sending = socket.send(frames, copying: SharedCopies())
      #expect(sending == .sent)
    }
  }

  private func client(
    _ file: ConnectionFile, _ lane: LocalSocket.Lane, as name: String, _ session: inout Session
  ) throws -> End {
    let end = try End(file)
    let greeting = session.message(LocalSocket.greeting, content: ["client": .string(name), "lane": .string(lane.rawValue)])
    try end.send(greeting.frames)
    let welcome = try end.message()
    #expect(welcome.messageType == LocalSocket.welcome)
    #expect(welcome.parentID == greeting.messageID)
    return end
  }

  private func engine(_ file: ConnectionFile, as uuid: String, _ session: inout Session) throws -> End {
    let end = try End(file)
    let greeting = session.message(LocalSocket.greeting, content: ["uuid": .string(uuid)])
    try end.send(greeting.frames)
    let welcome = try end.message()
    #expect(welcome.messageType == LocalSocket.welcome)
    #expect(welcome.parentID == greeting.messageID)
    return end
  }

  private static let large = Frame([UInt8](repeating: 7, count: 3 << 20))

  @Test("a client's name is its own: nobody gets a line under it, nor under a name of another kind")
  func names() async throws {
    try await TestCluster.with { cluster in
      let file = cluster.client
      var session = Session(key: file.key)
      let name = LocalSocket.clientIdentity()
      let own = try client(file, .requests, as: name, &session)
      let refused: [JSONValue] = [
        ["client": .string(name), "lane": "requests"], ["client": .string(name), "lane": "control"],
        ["client": .string(name)], ["client": "stock", "lane": "tasks"], ["client": "", "lane": "tasks"],
        ["client": .string(LocalSocket.clientPrefix + "00"), "lane": "tasks"], [:],
      ]
      for content in refused {
        let end = try End(file)
        try end.send(session.message(LocalSocket.greeting, content: content).frames)
        #expect(try end.next() == nil)
      }
      var forger = Session(key: "another")
      let end = try End(file)
      try end.send(
        forger.message(LocalSocket.greeting, content: ["client": .string(LocalSocket.clientIdentity()), "lane": "tasks"]).frames)
      #expect(try end.next() == nil)
      // The first is there as before, and its other lane is free.
      _ = try client(file, .tasks, as: name, &session)
      try own.send([LocalSocket.Lane.mux, Frame("nobody")] + session.message(.applyRequest).frames)
      if case .closed = own.socket.receive() { Issue.record("the client's line was closed") }
    }
  }

  @Test("requests of a line reach an engine by its line, in their order, large ones as shared memory; so do the answers")
  func order() async throws {
    try await TestCluster.with { cluster in
      var session = Session(key: cluster.client.key)
      let zmq = try TestEngine(cluster.engine)
      defer { zmq.close() }
      let engine = try engine(cluster.engine, as: zmq.uuid, &session)
      try await zmq.register(takesBatches: true)
      try await TestClient.with(cluster.client) { try await $0.waitForEngines(1) }
      let client = try client(cluster.client, .requests, as: LocalSocket.clientIdentity(), &session)
      var sent: [MessageID?] = []
      for index in 0..<12 {
        let buffers =
          index % 3 == 0 ? [Self.large] : index % 3 == 1 ? [Frame("small")] : [Frame([UInt8](repeating: 1, count: 200_000))]
        let request = session.message(.applyRequest, buffers: buffers, sealedFor: .request(.mux))
        sent.append(request.messageID)
        try client.send([LocalSocket.Lane.mux, Frame(zmq.uuid)] + request.frames)
      }
      for (index, id) in sent.enumerated() {
        let request = try engine.message()
        #expect(request.frames[0] == Frame("mux_out"))
        #expect(request.messageID == id)
        #expect(request.buffers.first?.count == (index % 3 == 0 ? 3 << 20 : index % 3 == 1 ? 5 : 200_000))
        // What is neither small nor shared comes back through libzmq, to which this client has no socket.
        let returned = index % 3 == 2 ? [] : Array(request.buffers)
        let answer = session.message(
          .applyReply, content: ["status": "ok"], parentHeader: request.headerFrame, buffers: returned, sealedFor: .reply(.mux))
        try engine.send(Array(request.identities) + answer.frames)
        let reply = try client.message()
        #expect(reply.frames[0] == LocalSocket.Lane.mux)
        #expect(reply.parentID == id)
        #expect(Array(reply.buffers) == returned)
      }
      #expect(await zmq.received == [], "nothing came by libzmq")
    }
  }

  @Test("an engine that has said its name and registers has its line, whichever of both the schedulers hear of first")
  func greetedBefore() async throws {
    try await TestCluster.with { cluster in
      var session = Session(key: cluster.client.key)
      let zmq = try TestEngine(cluster.engine)
      defer { zmq.close() }
      let client = try client(cluster.client, .requests, as: LocalSocket.clientIdentity(), &session)
      let gate = Gate()
      cluster.controller.schedulerLoop.execute { gate.stand() }
      gate.awaitStanding()
      defer { gate.open() }
      let engine = try End(cluster.engine)
      try engine.send(session.message(LocalSocket.greeting, content: ["uuid": .string(zmq.uuid)]).frames)
      try await zmq.register(takesBatches: true)
      try await TestClient.with(cluster.client) { client in
        while try await client.content(.queueRequest, ["targets": .null])["0"] == nil {
          try await Task.sleep(for: .milliseconds(2))
        }
        // The schedulers do not know it yet: whatever were sent to it would go nowhere.
        #expect(try await client.engines() == [:])
        gate.open()
        try await client.waitForEngines(1)
      }
      let request = session.message(.applyRequest, sealedFor: .request(.mux))
      try client.send([LocalSocket.Lane.mux, Frame(zmq.uuid)] + request.frames)
      #expect(try engine.message().messageType == LocalSocket.welcome)
      #expect(try engine.message().messageID == request.messageID)
    }
  }

  @Test("an engine without a line, and answers that are no shared memory: by libzmq, to the same client")
  func mixed() async throws {
    try await TestCluster.with { cluster in
      try await TestEngine.with(1, cluster.engine) { engines in
        try await TestClient.with(cluster.client) { try await $0.waitForEngines(1) }
        var session = Session(key: cluster.client.key)
        let name = LocalSocket.clientIdentity()
        let dealer = try Connector(cluster.client).connect(.dealer, identity: name, to: cluster.client.mux)
        let line = try client(cluster.client, .requests, as: name, &session)
        // The scheduler knows the way by libzmq then: what is sent there before goes to nobody.
        let first = session.message(.applyRequest, identities: [Frame(engines[0].uuid)], sealedFor: .request(.mux))
        try dealer.send(first.frames)
        #expect(try line.message().parentID == first.messageID)
        for buffer in [Frame("small"), Self.large] {
          let request = session.message(.applyRequest, buffers: [buffer], sealedFor: .request(.mux))
          try line.send([LocalSocket.Lane.mux, Frame(engines[0].uuid)] + request.frames)
          let reply = buffer.count > 100 ? try dealer.next() : try line.message()
          #expect(reply?.parentID == request.messageID)
        }
      }
    }
  }

  @Test("a broadcast by a line reaches engines by theirs, and its answers come back as one") func broadcast() async throws {
    try await TestCluster.with { cluster in
      var session = Session(key: cluster.client.key)
      let zmq = try (0..<3).map { _ in try TestEngine(cluster.engine) }
      defer { for engine in zmq { engine.close() } }
      let engines = try zmq.map { try engine(cluster.engine, as: $0.uuid, &session) }
      var targets: [JSONValue] = []
      for engine in zmq {
        try await engine.register(takesBatches: true)
        targets.append([.string(engine.uuid), .int(await engine.target.id)])
      }
      try await TestClient.with(cluster.client) { try await $0.waitForEngines(3) }
      let client = try client(cluster.client, .requests, as: LocalSocket.clientIdentity(), &session)
      let request = session.message(
        .applyRequest, metadata: ["targets": .array(targets), "is_broadcast": true, "is_coalescing": true], buffers: [Self.large],
        sealedFor: .request(.broadcast))
      try client.send([LocalSocket.Lane.broadcast] + request.frames)
      for end in engines {
        let share = try end.message()
        #expect(share.identities.first?.text.hasPrefix("sub_scheduler_") ?? false)
        #expect(share.buffers.first == Self.large)
        let answer = session.message(
          .applyReply, content: ["status": "ok"], parentHeader: share.headerFrame,
          metadata: .object(try share.metadata().merging(["status": "ok"])), buffers: [Self.large], sealedFor: .reply(.broadcast))
        try end.send(Array(share.identities) + answer.frames)
      }
      let reply = try client.message()
      #expect(reply.buffers.count == 3 && reply.buffers.allSatisfy { $0 == Self.large })
    }
  }

  @Test("what a peer says that makes no sense changes nothing for others") func nonsense() async throws {
    try await TestCluster.with { cluster in
      var session = Session(key: cluster.client.key)
      try await TestEngine.with(1, cluster.engine) { engines in
        try await TestClient.with(cluster.client) { client in
          try await client.waitForEngines(1)
          let line = try self.client(cluster.client, .requests, as: LocalSocket.clientIdentity(), &session)
          let request = session.message(.applyRequest).frames
          // Another lane, no channel, an engine's hop, nothing behind it, a batch where there are none.
          for frames in [
            [LocalSocket.Lane.task] + request, [Frame("x")] + request, [Frame("mux_out"), Frame("x")] + request,
            [LocalSocket.Lane.mux], [LocalSocket.Lane.mux, .empty], [LocalSocket.Lane.broadcast] + request,
            [LocalSocket.Lane.mux] + session.message(.applyRequest).batchOfOne(session.signer),
          ] { try line.send(frames) }
          let engine = try self.engine(cluster.engine, as: "nobody-registered", &session)
          for hop in ["task_out", "mux_out", "sub_scheduler_0", "task"] {
            try engine.send([Frame(hop)])
            try engine.send([Frame(hop), Frame("client")] + request)
          }
          try await client.roundTrip(await engines[0].target)
        }
      }
    }
  }
}

extension JSONObject {
  fileprivate func merging(_ other: JSONObject) -> JSONObject {
    var merged = self
    for (key, value) in other.members { merged[key] = value }
    return merged
  }
}
