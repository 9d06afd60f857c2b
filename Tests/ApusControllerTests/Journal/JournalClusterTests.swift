import ApusMessaging
import Foundation
import Glibc
import TestSupport
import Testing
import Transport

@testable import ApusController

/// A controller is ended as if it had been killed: what its journal has at a moment is put back after it.
@Suite("Cluster: journal", .timeLimit(.minutes(3 * patience)))
struct JournalClusterTests {
  private static func configure(_ configuration: inout ControllerConfiguration) {
    configuration.journal = JournalConfiguration()
    configuration.key = "one key for both lives"
  }

  private func journal(_ profile: String) -> String { "\(profile)/journal" }

  /// What a controller that is started now would find.
  private func restored(_ profile: String) -> Restorer.Restored {
    Controller.readJournal(journal(profile), outcomeLimit: 1000, logger: TestCluster.logger)
  }

  /// Waits until the journal says so. Facts take some milliseconds to the file, and nobody tells of that.
  private func wait(for profile: String, until fits: (Restorer.Restored) -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(60 * patience)
    while !fits(restored(profile)) {
      guard ContinuousClock.now < end else { throw TestFailure("the journal has \(restored(profile).tasks.count) tasks") }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  /// Runs the bodies in two lives of a controller, the first of which ends badly.
  /// - Parameter first: says when the journal is as it should be at the end.
  private func inTwoLives(
    _ change: (inout ControllerConfiguration) -> Void = { _ in },
    first: (TestCluster, TestClient) async throws -> ((Restorer.Restored) -> Bool),
    second: (TestCluster, TestClient) async throws -> Void
  ) async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    let copy = "\(profile)/copy"
    func configure(_ configuration: inout ControllerConfiguration) {
      Self.configure(&configuration)
      change(&configuration)
    }
    try await TestCluster.with(in: profile, configure) { cluster in
      try await TestClient.with(cluster.client) { client in
        let isWritten = try await first(cluster, client)
        try await wait(for: profile, until: isWritten)
        try FileManager.default.copyItem(atPath: journal(profile), toPath: copy)
      }
    }
    #expect(!FileManager.default.fileExists(atPath: journal(profile)), "an end in order leaves no journal")
    try FileManager.default.moveItem(atPath: copy, toPath: journal(profile))
    try await TestCluster.with(in: profile, configure) { cluster in
      try await TestClient.with(cluster.client) { client in try await second(cluster, client) }
    }
  }

  @Test("queued tasks are run by the next controller, in their order, with their arguments")
  func queued() async throws {
    var ids: [MessageID] = []
    try await inTwoLives { cluster, client in
      for number in 0..<50 { ids.append(try await client.send(.task, buffers: [Frame("argument \(number)")])) }
      return { $0.tasks.count == 50 }
    } second: { cluster, client in
      try await TestEngine.with(1, cluster.engine) { engines in
        // Whoever asks gets the answers: it says what it waits for.
        let question = try await client.send(
          .task, .resumeRequest, content: ["msg_ids": JSONValue((ids + ["nobody's"]).map(\.text))])
        for (number, id) in ids.enumerated() {
          let answer = try await client.answer(.task, to: id)
          #expect(answer.buffers.map(\.text) == ["argument \(number)"])
        }
        _ = question
        #expect(await engines[0].received == ids)
      }
    }
  }

  @Test("a segment that cannot be read is missed: the journal begins anew behind it")
  func unreadable() throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    _ = try JournalFiles.id(in: journal(profile))
    let files = JournalFiles(directory: journal(profile), limit: 1 << 30)
    for _ in 0..<2 { try files.beginSegment() }
    #expect(restored(profile).isWhole)
    // It can be opened, and that is all.
    try FileManager.default.removeItem(atPath: JournalFiles.path(1, in: journal(profile)))
    try FileManager.default.createDirectory(atPath: JournalFiles.path(1, in: journal(profile)), withIntermediateDirectories: false)
    #expect(!restored(profile).isWhole)
  }

  @Test("what says that a result is lost does not overtake that result, which waits for its client by another way")
  func late() async throws {
    let name = LocalSocket.clientIdentity()
    var id = MessageID("")
    try await inTwoLives { cluster, client in
      let dealer = try Connector(cluster.client).connect(.dealer, identity: name, to: cluster.client.task)
      // It is gone before all of that is sent.
      try dealer.set(.linger, 30_000)
      var session = Session(key: cluster.client.key)
      // Its result is too large to be kept.
      let request = session.message(
        .applyRequest, buffers: [Frame([UInt8](repeating: 1, count: 33 << 20))], sealedFor: .request(.task))
      id = try #require(request.messageID)
      try dealer.send(request.frames)
      return { $0.tasks.count == 1 }
    } second: { cluster, client in
      try await TestEngine.with(1, cluster.engine) { _ in
        // What one engine answers it answers in order.
        let other = try await client.send(.task)
        _ = try await client.answer(.task, to: other)
        var session = Session(key: cluster.client.key)
        let directory = try #require(cluster.client.localDirectory)
        let line = try #require(LocalSocket(connectingTo: LocalSocket.linesPath(in: directory)))
        let question = session.message(
          .resumeRequest, content: ["msg_ids": [.string(id.text)]], sealedFor: .request(.task))
        for frames in [
          session.message(LocalSocket.greeting, content: ["client": .string(name), "lane": "tasks"]).frames,
          [LocalSocket.Lane.task] + question.frames,
        ] {
          let sending = line.send(frames)
          #expect(sending == .sent)
        }
        for expected in [LocalSocket.welcome, .resumeReply] {
          var item = pollfd(fd: line.descriptor, events: Int16(POLLIN), revents: 0)
          #expect(poll(&item, 1, 10_000) == 1)
          guard case .message(let frames) = line.receive() else { throw TestFailure("the line has ended") }
          #expect(Envelope(frames)?.messageType == expected)
        }
        let dealer = try Connector(cluster.client).connect(.dealer, identity: name, to: cluster.client.task)
        let first = try dealer.next()
        #expect(first?.parentID == id && first?.buffers.first?.count == 33 << 20)
        let second = try dealer.next()
        #expect(try second?.content()["ename"]?.stringValue == RemoteError.resultLost)
      }
    }
  }

  @Test("where the journal begins anew nothing can still come from before: a dependency that nobody knows is refused at once")
  func fresh() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    try await TestCluster.with(in: profile, Self.configure) { cluster in
      try await TestClient.with(cluster.client) { client in
        let began = ContinuousClock.now
        let id = try await client.send(.task, metadata: ["after": ["nobody's"]])
        #expect(try await client.answer(.task, to: id).content()["ename"] == "InvalidDependency")
        #expect(ContinuousClock.now - began < .seconds(4), "five seconds are for those of before a restart")
      }
    }
  }

  @Test("a client is told what nobody knows")
  func unknown() async throws {
    try await inTwoLives { _, client in
      try await client.send(.task)
      return { $0.tasks.count == 1 }
    } second: { _, client in
      let question = try await client.send(.task, .resumeRequest, content: ["msg_ids": ["never sent"]])
      let answer = try await client.answer(.task, to: question)
      #expect(answer.messageType == .resumeReply)
      #expect(try answer.content()["unknown"] == ["never sent"])
    }
  }

  @Test("a result that was perhaps not delivered is delivered, and not computed again")
  func results() async throws {
    var id = MessageID("")
    try await inTwoLives { cluster, client in
      try await TestEngine.with(1, cluster.engine) { _ in
        id = try await client.send(.task, buffers: [Frame("result")])
        _ = try await client.answer(.task, to: id)
      }
      return { $0.results.count == 1 }
    } second: { cluster, client in
      try await TestEngine.with(1, cluster.engine) { engines in
        try await client.send(.task, .resumeRequest, content: ["msg_ids": [.string(id.text)]])
        #expect(try await client.answer(.task, to: id).buffers.map(\.text) == ["result"])
        #expect(await engines[0].received == [])
        // It may be asked for again while it is on its way.
        try await client.send(.task, .resumeRequest, content: ["msg_ids": [.string(id.text)]])
        #expect(try await client.answer(.task, to: id).buffers.map(\.text) == ["result"])
      }
    }
  }

  @Test("what has left for a client that does not ask is noted as such")
  func delivered() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    try await TestCluster.with(in: profile, Self.configure) { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { _ in
          let id = try await client.send(.task, buffers: [Frame("result")])
          _ = try await client.answer(.task, to: id)
          try await wait(for: profile) { $0.results.map(\.isDelivered) == [true] }
        }
      }
    }
  }

  @Test("a task whose engine does not come back ends with that reason, or is tried elsewhere")
  func absentEngine() async throws {
    var (lost, retried) = (MessageID(""), MessageID(""))
    var former: TestEngine?
    defer { former?.close() }
    try await inTwoLives {
      $0.journal?.engineTimeout = .milliseconds(300)
      $0.highWaterMark = 2
    } first: { cluster, client in
      let engine = try TestEngine(cluster.engine, conduct: .hold)
      former = engine
      try await engine.register()
      try await client.waitForEngines(1)
      lost = try await client.send(.task)
      retried = try await client.send(.task, metadata: ["retries": 1])
      return { $0.tasks.filter { $0.engine != nil }.count == 2 }
    } second: { cluster, client in
      try await TestEngine.with(1, cluster.engine) { engines in
        try await client.send(.task, .resumeRequest, content: ["msg_ids": [.string(lost.text), .string(retried.text)]])
        let end = try await client.answer(.task, to: lost)
        #expect(try end.content()["ename"] == "EngineError")
        #expect(try end.content()["evalue"]?.stringValue?.contains("did not come back") ?? false)
        #expect(try await client.answer(.task, to: retried).content()["status"] == "ok")
        #expect(await engines[0].received == [retried])
      }
    }
  }

  @Test("registration and connection replies name the journal, which is another one after an end in order")
  func name() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    var names: [String] = []
    for _ in 0..<2 {
      try await TestCluster.with(in: profile, Self.configure) { cluster in
        try await TestClient.with(cluster.client) { client in
          let own = try await client.content(.connectionRequest, ["batches": true])
          names.append(own["journal"]?.stringValue ?? "none")
          // Stock clients are told nothing new.
          #expect(try await client.content(.connectionRequest)["journal"] == nil)
        }
      }
    }
    #expect(Set(names).count == 2 && !names.contains("none"))
  }

  @Test("with always nothing leaves before it is on the disk, and tasks still end")
  func always() async throws {
    try await TestCluster.with {
      Self.configure(&$0)
      $0.journal?.sync = .always
    } _: { cluster in
      try await TestEngine.with(1, cluster.engine) { _ in
        try await TestClient.with(cluster.client) { client in
          for number in 0..<20 {
            let id = try await client.send(.task, buffers: [Frame("\(number)")])
            #expect(try await client.answer(.task, to: id).buffers.map(\.text) == ["\(number)"])
            // The answer is here, so its end is on the disk.
            #expect(restored(cluster.directory).outcomes.last?.id == id)
          }
        }
      }
    }
  }

  @Test(
    "a journal that cannot be written is suspended; with always, too, tasks go on", arguments: JournalConfiguration.Sync.allCases)
  func suspended(sync: JournalConfiguration.Sync) async throws {
    try await TestCluster.with {
      Self.configure(&$0)
      $0.journal?.sync = sync
      $0.journal?.sizeLimit = 3000
    } _: { cluster in
      try await TestEngine.with(1, cluster.engine) { _ in
        try await TestClient.with(cluster.client) { client in
          var isThere = false
          var isSuspended = false
          // After ten seconds it begins anew, and there is room for a few tasks again.
          for _ in 0..<400 where !isSuspended {
            let id = try await client.send(.task, buffers: [Frame([UInt8](repeating: 7, count: 500))])
            _ = try await client.answer(.task, to: id)
            let isEmpty = JournalFiles.segments(in: journal(cluster.directory)).isEmpty
            isThere = isThere || !isEmpty
            isSuspended = isThere && isEmpty
          }
          #expect(isSuspended)
          #expect(JournalFiles.wasCutShort(journal(cluster.directory)), "clients must know it again all the same")
        }
      }
    }
  }
}
