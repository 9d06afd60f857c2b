import ApusMessaging
import Glibc
import TestSupport
import Testing
import Transport

@testable import ApusController

/// The scheduler on its loop, with a client's and an engine's socket.
@Suite("Task scheduler: sockets", .serialized, .timeLimit(.minutes(1 * patience))) struct TaskSchedulerTests {
  private static let key = "0123456789"
  private static let engine: EngineUUID = "engine-0"
  /// Messages that a turn takes from a line: fewer than any system's buffer holds.
  private static let lineBatch = 8

  /// - Parameter body: gets the scheduler, not yet started, the client's socket and the engine's.
  private func with(
    byteLimit: Int = .max, listener: LocalListener? = nil, journal: JournalFeed? = nil, in context: Context? = nil,
    _ log: LogLines = LogLines(), _ body: (TaskScheduler, borrowing Socket, borrowing Socket) async throws -> Void
  ) async throws {
    let context = try context ?? Context()
    let front = try Socket(.router, in: context)
    try front.bind("inproc://front")
    let router = try Socket(.router, in: context)
    try router.set(.identity, Array("back".utf8))
    let back = try EngineSocket(router, spoolDirectory: "/tmp", logger: log.logger)
    try back.socket.bind("inproc://back")
    let loop = EventLoop(name: "schedulers")
    let lines = listener.map {
      LocalLines(loop: loop, listener: $0, session: Session(key: Self.key), batch: Self.lineBatch, logger: log.logger)
    }
    let scheduler = TaskScheduler(
      loop: loop, state: TaskSchedulerState(),
      wire: TaskSchedulerSockets(
        front: try BoundedRouter(front, spoolDirectory: "/tmp", logger: log.logger), back: back, lines: lines,
        session: Session(key: Self.key),
        rejections: DroppedMessages("task", logger: log.logger),
        events: TaskEventStream(from: loop, to: loop), journal: journal),
      byteLimit: byteLimit, logger: log.logger)
    let client = try Socket(.dealer, in: context)
    try client.connect("inproc://front")
    let engine = try Socket(.dealer, in: context)
    try engine.set(.identity, Array(Self.engine.text.utf8))
    try engine.connect("inproc://back")
    lines?.start()
    loop.start()
    defer {
      loop.stop()
      loop.join()
    }
    try await body(scheduler, client, engine)
  }

  private static let hop = Frame("task_out")

  @Test("an engine may register before the scheduler starts") func earlyEngine() async throws {
    try await with { scheduler, client, engine in
      await scheduler.engineRegistered(Self.engine, takesBatches: false)
      await scheduler.start()
      var session = Session(key: Self.key)
      let task = session.message(.applyRequest)
      try client.send(task.frames)
      let request = try engine.next()
      #expect(request?.messageID == task.messageID)
    }
  }

  @Test("a full queue lets clients wait, and goes on when there is room") func fullQueue() async throws {
    let log = LogLines()
    let (size, count) = (100_000, 64)
    try await with(byteLimit: 4 * size, log) { scheduler, client, engine in
      await scheduler.start()
      var session = Session(key: Self.key)
      let tasks = (0..<count).map { _ in session.message(.applyRequest, buffers: [Frame([UInt8](repeating: 1, count: size))]) }
      for task in tasks { try client.send(task.frames) }
      await scheduler.engineRegistered(Self.engine, takesBatches: false)
      for task in tasks {
        let request = try #require(try engine.next())
        #expect(request.messageID == task.messageID)
        let answer = session.message(
          .applyReply, content: ["status": "ok"], parentHeader: request.headerFrame, identities: Array(request.identities))
        try engine.send(answer.frames)
        let reply = try client.next()
        #expect(reply?.parentID == task.messageID)
      }
    }
    let told = log.all
    #expect(
      told.contains("warning the queue is full: clients wait") && told.contains("warning the queue has room again"), "\(told)")
  }

  @Test("a journal whose disk is slow lets clients wait until it has caught up") func slowJournal() async throws {
    // Nobody writes what is handed over, until somebody takes it.
    let loop = EventLoop(name: "journal's")
    let feed = JournalFeed(loop: loop, holdsMessages: false)
    feed.open()
    let size = 40 << 20
    try await with(journal: feed) { scheduler, client, engine in
      await scheduler.start()
      await scheduler.engineRegistered(Self.engine, takesBatches: false)
      var session = Session(key: Self.key)
      for _ in 0..<4 { _ = try submit(size, &session, by: client) }
      let first = try engine.next()
      #expect(first != nil)
      let end = ContinuousClock.now + .seconds(30 * patience)
      while !feed.isBehind {
        guard ContinuousClock.now < end else { throw TestFailure("the journal is not behind") }
        try await Task.sleep(for: .milliseconds(2))
      }
      let late = try submit(10, &session, by: client)
      // It would have been read with the others: a turn of the loop comes after.
      await scheduler.afterEvents()
      #expect(await scheduler.known.count == 4)
      let taken = feed.take()
      #expect(!taken.hasOverflowed)
      await scheduler.written(0)
      while await scheduler.known.count < 5 {
        guard ContinuousClock.now < end else { throw TestFailure("it is not read again") }
        try await Task.sleep(for: .milliseconds(2))
      }
      let known = await scheduler.known
      #expect(late.map { known.contains($0) } == true)
    }
  }

  // MARK: what has left

  @Test("a small reply to a stock client is noted when it has left; a large one may still be on its way, and our own clients ask")
  func departures() async throws {
    let feed = JournalFeed(loop: EventLoop(name: "journal's"), holdsMessages: false)
    feed.open()
    try await with(journal: feed) { scheduler, client, engine in
      await scheduler.start()
      await scheduler.engineRegistered(Self.engine, takesBatches: false)
      var session = Session(key: Self.key)
      let own = session.message(.applyRequest, sealedFor: .request(.task))
      let (large, small) = (session.message(.applyRequest), session.message(.applyRequest))
      for task in [own, large, small] {
        try client.send(task.frames)
        let request = try #require(try engine.next())
        let size = task.messageID == large.messageID ? BoundedRouter.largeMessage : 10
        let answer = session.message(
          .applyReply, content: ["status": "ok"], parentHeader: request.headerFrame, identities: Array(request.identities),
          buffers: [Frame([UInt8](repeating: 1, count: size))])
        try engine.send(answer.frames)
        let reply = try client.next()
        #expect(reply?.parentID == task.messageID)
      }
      var delivered: [MessageID] = []
      let end = ContinuousClock.now + .seconds(30 * patience)
      while !delivered.contains(where: { $0 == small.messageID }) {
        guard ContinuousClock.now < end else { throw TestFailure("nothing is noted") }
        for entry in feed.take().turns.joined() { if case .delivered(let ids) = entry { delivered += ids } }
        await Task.yield()
      }
      #expect(delivered == [small.messageID])
    }
  }

  // MARK: clients that come back

  private func resume(_ ids: [MessageID], _ session: inout Session) -> [Frame] {
    session.message(.resumeRequest, content: ["msg_ids": JSONValue(ids.map(\.text))]).frames
  }

  private func client(_ name: String?, in context: Context) throws -> Socket {
    let client = try Socket(.dealer, in: context)
    if let name { try client.set(.identity, Array(name.utf8)) }
    try client.connect("inproc://front")
    return client
  }

  @Test("a client that asks what became of its tasks is told so when what it has sent by its line is read")
  func resumesBehindLine() async throws {
    let listener = try #require(LocalListener(path: "/tmp/apus-test-\(UInt32.random(in: 0...UInt32.max))"))
    let context = try Context()
    try await with(listener: listener, in: context) { scheduler, _, _ in
      await scheduler.start()
      var session = Session(key: Self.key)
      let name = LocalSocket.clientIdentity()
      let own = try self.client(name, in: context)
      let line = try #require(LocalSocket(connectingTo: listener.path))
      let words = session.message(LocalSocket.greeting, content: ["client": .string(name), "lane": "tasks"])
      #expect(line.send(words.frames) == .sent)
      var item = pollfd(fd: line.descriptor, events: Int16(POLLIN), revents: 0)
      #expect(poll(&item, 1, Int32(30_000 * patience)) == 1)
      // More than a turn takes from a line.
      let gate = Gate()
      scheduler.loop.execute { gate.stand() }
      gate.awaitStanding()
      var ids: [MessageID] = []
      while ids.count < 4000 {
        let task = session.message(.applyRequest)
        guard let id = task.messageID, line.send([LocalSocket.Lane.task] + task.frames) == .sent else { break }
        ids.append(id)
      }
      #expect(ids.count > 2 * Self.lineBatch)
      try own.send(self.resume(ids, &session))
      gate.open()
      // By its line, behind the welcome.
      var answer: Envelope?
      while answer?.messageType != .resumeReply {
        guard poll(&item, 1, Int32(30_000 * patience)) == 1 else { throw TestFailure("no answer") }
        if case .message(let frames) = line.receive() { answer = Envelope(frames) }
      }
      #expect(try answer?.content()["unknown"] == [])
    }
  }

  @Test("the same where they have come by a connection that has broken since")
  func resumesBehindConnection() async throws {
    let context = try Context()
    try await with(in: context) { scheduler, _, _ in
      await scheduler.start()
      var session = Session(key: Self.key)
      let before = try self.client(nil, in: context)
      let now = try self.client(nil, in: context)
      let gate = Gate()
      scheduler.loop.execute { gate.stand() }
      gate.awaitStanding()
      let tasks = (0..<2 * TaskScheduler.batch).map { _ in session.message(.applyRequest) }
      for task in tasks { try before.send(task.frames) }
      try now.send(self.resume(tasks.compactMap(\.messageID), &session))
      gate.open()
      let answer = try now.next()
      #expect(try answer?.content()["unknown"] == [])
    }
  }

  @Test(
    "the same where a turn ends with the question, and finds out at another time that there is no more", arguments: [false, true])
  func resumesAtEndOfTurn(isFull: Bool) async throws {
    try await with(byteLimit: isFull ? 1000 : .max) { scheduler, client, _ in
      await scheduler.start()
      var session = Session(key: Self.key)
      let gate = Gate()
      scheduler.loop.execute { gate.stand() }
      gate.awaitStanding()
      let tasks = (1..<TaskScheduler.batch).map { _ in session.message(.applyRequest) }
      for task in tasks { try client.send(task.frames) }
      let ids = tasks.compactMap(\.messageID)
      try client.send(self.resume(ids, &session))
      gate.open()
      if isFull {
        // Room comes when nothing is left in the socket.
        let end = ContinuousClock.now + .seconds(30 * patience)
        while await !scheduler.isPaused {
          guard ContinuousClock.now < end else { throw TestFailure("the queue is not full") }
          await Task.yield()
        }
        await scheduler.abort(ids)
      }
      while true {
        let answer = try #require(try client.next())
        if answer.messageType == .resumeReply { break }
      }
    }
  }

  @Test("what the hub submits is answered to nobody, whatever a client calls itself") func nobody() async throws {
    let context = try Context()
    try await with(in: context) { scheduler, client, engine in
      await scheduler.start()
      await scheduler.engineRegistered(Self.engine, takesBatches: false)
      var session = Session(key: Self.key)
      let curious = try self.client(ReturningClients.nobody.text, in: context)
      await scheduler.resubmit(session.message(.applyRequest))
      let last = session.message(.applyRequest)
      try client.send(last.frames)
      for _ in 0..<2 {
        let request = try #require(try engine.next())
        let answer = session.message(
          .applyReply, content: ["status": "ok"], parentHeader: request.headerFrame, identities: Array(request.identities))
        try engine.send(answer.frames)
      }
      let reply = try client.next()
      #expect(reply?.parentID == last.messageID)
      let told = try curious.receive()
      #expect(told == nil)
    }
  }

  // MARK: local sockets

  private func greeting(_ session: inout Session) -> [Frame] {
    session.message(LocalSocket.greeting, content: ["uuid": .string(Self.engine.text)]).frames
  }

  /// Waits for what comes next by a local socket; `nil` is its end.
  private func next(_ socket: LocalSocket) throws -> [Frame]? {
    var item = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&item, 1, 10_000) == 1 else { throw TestFailure("nothing came") }
    switch socket.receive() {
    case .message(let frames):
      // The controller takes the line, and says so before anything else.
      if frames.first == .delimiter, Envelope(frames)?.messageType == LocalSocket.welcome { return try next(socket) }
      #expect(frames.first == Self.hop)
      return Array(frames.dropFirst())
    case .closed: return nil
    case .nothing: throw TestFailure("readable, and nothing was there")
    }
  }

  private func submit(_ size: Int, _ session: inout Session, by client: borrowing Socket) throws -> MessageID? {
    let task = session.message(.applyRequest, buffers: [Frame([UInt8](repeating: 1, count: size))])
    try client.send(task.frames)
    return task.messageID
  }

  private func answer(_ request: Envelope, _ session: inout Session) -> [Frame] {
    let answer = session.message(.applyReply, content: ["status": "ok"], parentHeader: request.headerFrame)
    return [Self.hop] + answer.batchOfOne(behind: request.identities.last, session.signer, .engineToScheduler)
  }

  /// The first message of a batch.
  private func open(_ frames: [Frame]?, _ session: inout Session) throws -> Envelope {
    var reader = try session.openBatch(try #require(frames), .schedulerToEngine)
    let first = try reader.next()
    return try #require(first)
  }

  /// Waits for what comes on either way.
  private func next(_ local: LocalSocket, or engine: borrowing Socket) throws -> (frames: [Frame], isLocal: Bool) {
    for _ in 0..<100 {
      if let frames = try engine.receive() { return (frames, false) }
      // Not what says that the line is taken.
      if case .message(let frames) = local.receive(), frames.first == Self.hop { return (Array(frames.dropFirst()), true) }
      _ = try engine.waitReadable(or: local.descriptor, milliseconds: 1000)
    }
    throw TestFailure("nothing came")
  }

  /// It may have results that nobody knows of, and would end with them.
  @Test("an engine of before that is drained is so for the hub when it has said what it has") func drainedBeforeItsAccount()
    async throws
  {
    try await with { scheduler, _, engine in
      await scheduler.restore(JournalConfiguration()) { Controller.Former(Restorer.Restored(), engines: [Self.engine]) }
      await scheduler.start()
      await scheduler.engineRegistered(Self.engine, takesBatches: true)
      let (steps, step) = AsyncStream<String>.makeStream()
      await scheduler.drain(Self.engine) { step.yield("is drained") }
      step.yield("says what it has")
      var session = Session(key: Self.key)
      try engine.send(session.message(.tasksHeld, content: ["msg_ids": []], identities: [Frame("controller")]).frames)
      var next = steps.makeAsyncIterator()
      #expect(await next.next() == "says what it has")
      #expect(await next.next() == "is drained")
    }
  }

  @Test("an engine of this host gets small messages by its local socket, large ones and those after its end by libzmq")
  func local() async throws {
    let listener = try #require(LocalListener(path: "/tmp/apus-test-\(UInt32.random(in: 0...UInt32.max))"))
    try await with(listener: listener) { scheduler, client, engine in
      await scheduler.start()
      await scheduler.engineRegistered(Self.engine, takesBatches: true)
      var session = Session(key: Self.key)
      try self.localTasks(listener, &session, client, engine)
      let last = try self.submit(10, &session, by: client)
      #expect(try engine.waitReadable(milliseconds: 10_000 * patience))
      let frames = try engine.receive()
      let request = try self.open(frames, &session)
      #expect(request.messageID == last)
    }
  }

  /// A result of theirs may be on its way by libzmq, and would be overtaken by the line.
  @Test("that tasks are unknown is said behind all results") func unknown() async throws {
    let listener = try #require(LocalListener(path: "/tmp/apus-test-\(UInt32.random(in: 0...UInt32.max))"))
    let context = try Context()
    try await with(listener: listener, in: context) { scheduler, _, _ in
      await scheduler.start()
      let name = LocalSocket.clientIdentity()
      var session = Session(key: Self.key)
      let line = try #require(LocalSocket(connectingTo: listener.path))
      let words = session.message(LocalSocket.greeting, content: ["client": .string(name), "lane": "tasks"])
      #expect(line.send(words.frames) == .sent)
      var item = pollfd(fd: line.descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&item, 1, 10_000) == 1, case .message(let frames) = line.receive() else { throw TestFailure("no welcome") }
      #expect(Envelope(frames)?.messageType == LocalSocket.welcome)
      let client = try Socket(.dealer, in: context)
      try client.set(.identity, Array(name.utf8))
      try client.connect("inproc://front")
      let question = session.message(.resumeRequest, content: ["msg_ids": ["long-ago"]], sealedFor: .request(.task))
      try client.send(question.frames)
      let answer = try client.next()
      #expect(try answer?.content()["unknown"]?.stringArrayValue == ["long-ago"])
    }
  }

  private func localTasks(
    _ listener: LocalListener, _ session: inout Session, _ client: borrowing Socket, _ engine: borrowing Socket
  ) throws {
    let local = try #require(LocalSocket(connectingTo: listener.path))
    #expect(local.send(greeting(&session)) == .sent)
    // The scheduler reads the greeting and the task in whichever order: until it knows the name, it uses libzmq.
    var viaLocal = 0
    for _ in 0..<100 * patience where viaLocal < 2 {
      let task = try submit(10, &session, by: client)
      let (frames, isLocal) = try next(local, or: engine)
      if isLocal { viaLocal += 1 }
      let request = try open(frames, &session)
      #expect(request.messageID == task)
      #expect(local.send(answer(request, &session)) == .sent)
      let reply = try client.next()
      #expect(reply?.parentID == task)
    }
    #expect(viaLocal == 2)

    let large = try submit(200_000, &session, by: client)
    let request = try #require(try engine.next())
    #expect(request.messageID == large)
    let answer = session.message(
      .applyReply, content: ["status": "ok"], parentHeader: request.headerFrame, identities: Array(request.identities))
    try engine.send(answer.frames)
    let reply = try client.next()
    #expect(reply?.parentID == large)
  }

  @Test("who does not say who it is, or cannot prove it, is turned away") func strangers() async throws {
    let listener = try #require(LocalListener(path: "/tmp/apus-test-\(UInt32.random(in: 0...UInt32.max))"))
    let log = LogLines()
    try await with(listener: listener, log) { scheduler, client, engine in
      await scheduler.start()
      await scheduler.engineRegistered(Self.engine, takesBatches: true)
      var (session, another) = (Session(key: Self.key), Session(key: "another"))
      let openings = [
        greeting(&another), [Frame("x")], session.message(.applyRequest).frames,
        session.message(LocalSocket.greeting, content: ["uuid": ""]).frames,
        session.message(LocalSocket.greeting, content: ["uuid": 5]).frames,
        session.message(.applyRequest).batchOfOne(session.signer),
      ]
      for opening in openings {
        let local = try #require(LocalSocket(connectingTo: listener.path))
        #expect(local.send(opening) == .sent)
        #expect(try next(local) == nil, "the connection has ended")
      }
      // A second one of the same engine takes the place of the first; a replayed greeting does not.
      let first = try #require(LocalSocket(connectingTo: listener.path))
      let words = greeting(&session)
      #expect(first.send(words) == .sent)
      let second = try #require(LocalSocket(connectingTo: listener.path))
      #expect(second.send(words) == .sent)
      #expect(try next(second) == nil)
      let third = try #require(LocalSocket(connectingTo: listener.path))
      #expect(third.send(greeting(&session)) == .sent)
      #expect(try next(first) == nil)
      // What is no batch changes nothing, and the next task arrives.
      #expect(third.send([Frame("x"), Frame("y")]) == .sent)
      let task = session.message(.applyRequest)
      try client.send(task.frames)
      var reader = try session.openBatch(try #require(try next(third)), .schedulerToEngine)
      #expect(try reader.next()?.messageID == task.messageID)
    }
    #expect(log.all.contains { $0.contains("a local socket whose owner did not say who it is") })
  }
}

extension TaskScheduler {
  fileprivate var known: Set<MessageID> { Set(state.tasks.keys) }
}
