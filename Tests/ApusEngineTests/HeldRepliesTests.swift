import ApusMessaging
import Foundation
import TestSupport
import Testing

@testable import ApusEngine
@testable import Transport

@Suite struct HeldRepliesTests {
  private static let key = "0123456789"

  /// It may have been here already, before the new controller knew which tasks this engine has.
  @Test("what is sent again after a restart is no replay of what was sent before", arguments: [false, true])
  func again(isAlone: Bool) throws {
    let path = NSTemporaryDirectory() + "held-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let line = try #require(LocalSocket(connectingTo: path))
    let end = try #require(try listener.accept())
    let engineSession = EngineSession(uuid: EngineUUID("engine"), key: Self.key)
    let replies = HeldReplies(engineSession: engineSession) { _ in }
    replies.keepReplies(true)
    replies.use(nil, line)
    let parent = Frame(["msg_id": "task", "msg_type": "apply_request", "session": "client"])
    // A third identity has no place in a batch.
    let identities = [Frame("task_out"), Frame("client")] + (isAlone ? [Frame("further")] : [])
    let reply = engineSession.message(
      .applyReply, content: Frame(["status": "ok"]), parent: parent, metadata: engineSession.engineMetadata,
      identities: identities, forBatch: true)
    replies.hold(reply, task: "task", isLast: true)
    replies.account(waiting: [])

    let controller = Session(key: Self.key)
    func next() throws -> Envelope {
      guard case .message(let frames) = end.receive() else { throw CancellationError() }
      guard MessageBatch.isBatch(frames, identities: 1) else { return try controller.open(frames, sealedFor: .reply(.task)) }
      var batch = try controller.openBatch(frames, .engineToScheduler)
      return try #require(try batch.next())
    }
    let (first, account, second) = (try next(), try next(), try next())
    #expect(account.messageType == .tasksHeld)
    #expect(first.messageType == .applyReply && second.messageType == .applyReply)
    #expect(first.messageID != second.messageID)
    #expect(second.parentID == "task" && second.contentFrame == first.contentFrame)
    #expect(try first.header().date == second.header().date)
  }

  @Test("of replies that left together those come again that are not confirmed, and so do those that wait for others")
  func batches() throws {
    let path = NSTemporaryDirectory() + "held-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let line = try #require(LocalSocket(connectingTo: path))
    let end = try #require(try listener.accept())
    let engineSession = EngineSession(uuid: EngineUUID("engine"), key: Self.key)
    let replies = HeldReplies(engineSession: engineSession) { _ in }
    replies.use(nil, line)
    func hold(_ number: Int, isLast: Bool) {
      let reply = engineSession.message(
        .applyReply, content: Frame(["status": "ok", "number": .int(number)]),
        parent: Frame(["msg_id": .string("t\(number)"), "msg_type": "apply_request", "session": "client"]),
        metadata: engineSession.engineMetadata, identities: [Frame("task_out"), Frame("client")], forBatch: true)
      replies.hold(reply, task: MessageID("t\(number)"), isLast: isLast)
    }
    // In the same batch as others, and before anybody wants to have replies kept.
    hold(0, isLast: false)
    replies.keepReplies(true)
    for number in 1...4 { hold(number, isLast: number == 4) }
    for number in 5...6 { hold(number, isLast: false) }
    replies.confirm(["t1", "t3"])
    replies.account(waiting: [])

    let controller = Session(key: Self.key)
    var (account, found): (Envelope?, [Envelope]) = (nil, [])
    while case .message(let frames) = end.receive() {
      if MessageBatch.isBatch(frames, identities: 1) {
        var batch = try controller.openBatch(frames, .engineToScheduler)
        while let reply = try batch.next() { if account != nil { found.append(reply) } }
      } else {
        account = try controller.open(frames, sealedFor: .reply(.task))
      }
    }
    #expect(try account?.content()["msg_ids"] == ["t2", "t4", "t5", "t6"])
    #expect(found.map { $0.parentID?.text } == ["t2", "t4", "t5", "t6"])
    #expect(try found.map { try $0.content()["number"] } == [2, 4, 5, 6])
  }

  @Test("what finds no room in the line is not given to a socket that is not connected: it waits, and so does an account")
  func fullLine() throws {
    let path = NSTemporaryDirectory() + "held-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let line = try #require(LocalSocket(connectingTo: path))
    let end = try #require(try listener.accept())
    let engineSession = EngineSession(uuid: EngineUUID("engine"), key: Self.key)
    let timers = Mutex(0)
    let replies = HeldReplies(engineSession: engineSession) { _ in timers.withLock { $0 += 1 } }
    replies.keepReplies(true)
    let context = try Context()
    // Of nobody.
    let socket = try Socket(.router, in: context)
    try socket.set(.routerMandatory, 1)
    replies.use(HandedSocket(socket), line)
    let content = Frame([UInt8](repeating: 32, count: 30_000) + Array("{}".utf8))
    let count = 400
    for number in 0..<count {
      let parent = Frame(["msg_id": .string("\(number)"), "msg_type": "apply_request", "session": "client"])
      replies.send(
        engineSession.message(
          .applyReply, content: content, parent: parent, metadata: engineSession.engineMetadata,
          identities: [Frame("task_out"), Frame("client"), Frame("further")]), task: MessageID("\(number)"))
    }
    #expect(timers.withLock { $0 } == 1, "somebody looks whether there is room again")
    var (answered, accounts): (Set<String>, Int) = ([], 0)
    func read() throws -> Int {
      var read = 0
      while case .message(let frames) = end.receive() {
        read += 1
        let message = try #require(Envelope(frames))
        if message.messageType == .tasksHeld { accounts += 1 } else { answered.insert(message.parentID?.text ?? "?") }
      }
      return read
    }
    let fitted = try read()
    #expect(fitted < count)
    #expect(replies.timerFired())
    while try read() > 0 { _ = replies.timerFired() }
    #expect(!replies.timerFired())
    #expect(answered.count == count)

    answered = []
    replies.account(waiting: [])
    replies.account(waiting: [])
    while try read() > 0 { replies.flush() }
    #expect(answered.count == count && (1...2).contains(accounts))
  }

  @Test("what found no way to the controller that asked is not given to the next one; without a line only balanced tasks wait")
  func another() throws {
    let engineSession = EngineSession(uuid: EngineUUID("engine"), key: Self.key)
    let replies = HeldReplies(engineSession: engineSession) { _ in }
    replies.keepReplies(true)
    let context = try Context()
    let socket = try Socket(.router, in: context)
    try socket.set(.routerMandatory, 1)
    let handed = HandedSocket(socket)
    func connect() throws -> (line: LocalSocket, end: LocalSocket) {
      let path = NSTemporaryDirectory() + "held-\(UUID().uuidString.prefix(8))"
      let listener = try #require(LocalListener(path: path))
      let line = try #require(LocalSocket(connectingTo: path))
      return (line, try #require(try listener.accept()))
    }
    func answerMany() {
      let content = Frame([UInt8](repeating: 32, count: 30_000) + Array("{}".utf8))
      for number in 0..<400 {
        let parent = Frame(["msg_id": .string("\(number)"), "msg_type": "apply_request", "session": "client"])
        replies.send(
          engineSession.message(
            .applyReply, content: content, parent: parent, metadata: engineSession.engineMetadata,
            identities: [Frame("mux_out"), Frame("client")]))
      }
    }
    func count(_ end: LocalSocket) -> Int {
      var count = 0
      while case .message = end.receive() { count += 1 }
      return count
    }
    let (first, second, third) = (try connect(), try connect(), try connect())
    replies.use(handed, first.line)
    answerMany()
    replies.use(handed, second.line, ofAnother: true)
    #expect(count(second.end) == 0)
    #expect((1..<400).contains(count(first.end)))
    replies.use(handed, nil)
    answerMany()
    replies.use(handed, third.line)
    #expect(count(third.end) == 0)
  }

  @Test("the answer to a frontend of the engine itself does not go by the controller's line")
  func frontend() throws {
    let path = NSTemporaryDirectory() + "held-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let line = try #require(LocalSocket(connectingTo: path))
    let end = try #require(try listener.accept())
    let context = try Context()
    let socket = try Socket(.router, in: context)
    try socket.set(.routerMandatory, 1)
    let frontend = try Socket(.dealer, in: context)
    try frontend.set(.identity, Array("frontend".utf8))
    try frontend.connect(try socket.bind("tcp://127.0.0.1:*"))
    try frontend.send([Frame("question")])
    let isThere = try socket.waitReadable(milliseconds: 10_000 * patience)
    #expect(isThere)
    let engineSession = EngineSession(uuid: EngineUUID("engine"), key: Self.key)
    let replies = HeldReplies(engineSession: engineSession) { _ in }
    replies.keepReplies(true)
    replies.use(HandedSocket(socket), line)
    for identity in ["frontend", "one that has gone"] {
      replies.send(
        engineSession.message(
          .executeReply, content: Frame(["status": "ok"]), parent: .emptyObject, metadata: .emptyObject,
          identities: [Frame(identity)]))
    }
    #expect(!replies.timerFired(), "nothing waits")
    if case .message = end.receive() { Issue.record("it went to the controller") }
    let hasAnswer = try frontend.waitReadable(milliseconds: 10_000 * patience)
    #expect(hasAnswer)
  }
}
