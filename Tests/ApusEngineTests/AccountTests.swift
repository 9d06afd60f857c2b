import ApusMessaging
import Foundation
import Glibc
import TestSupport
import Testing

@testable import ApusEngine
@testable import Transport

/// By which way, and when, an engine says to a controller that is another one what it has.
@Suite struct AccountTests {
  /// An engine whose loop does not run: what it would put into the mailbox the test puts there.
  private struct Bench {
    let engine: Engine
    let shell: Shell
    let line: LocalSocket
    /// Nobody has taken the line yet.
    let listener: LocalListener
    var controller = Session(key: "key")

    init() throws {
      let side = ConnectionFile.Side.engine(heartbeatPing: 1, heartbeatPong: 1, broadcast: [1])
      let connection = ConnectionFile(
        interface: "tcp://127.0.0.1", registration: 1, control: 1, mux: 1, task: 1, iopub: 1, side: side, key: "key",
        location: "localhost")
      engine = try Engine(EngineConfiguration(connection: connection, uuid: "engine"))
      shell = Shell(engine: engine)
      let path = NSTemporaryDirectory() + "account-\(UUID().uuidString.prefix(8))"
      listener = try #require(LocalListener(path: path))
      line = try #require(LocalSocket(connectingTo: path))
      engine.replies.keepReplies(true)
    }

    func reply(_ task: String) {
      let parent = Frame(["msg_id": .string(task), "msg_type": "apply_request", "session": "client"])
      let reply = engine.engineSession.message(
        .applyReply, content: Frame(["status": "ok"]), parent: parent, metadata: engine.engineSession.engineMetadata,
        identities: [Frame("task_out"), Frame("client")], forBatch: true)
      engine.replies.hold(reply, task: MessageID(task), isLast: true)
    }

    /// Lets the shell do what there is to do.
    func turn() throws { guard case .timedOut = shell.next(milliseconds: 0) else { throw CancellationError() } }

    mutating func welcome(_ end: LocalSocket) {
      let sending = end.send(controller.message(LocalSocket.welcome, content: ["status": "ok"]).frames)
      #expect(sending == .sent)
    }
  }

  private func types(_ end: LocalSocket) -> [String] {
    var types: [String] = []
    while case .message(let frames) = end.receive() {
      types.append(type(frames, identities: 1))
    }
    return types
  }

  private func type(_ frames: [Frame], identities: Int) -> String {
    MessageBatch.isBatch(frames, identities: identities) ? "batch" : Envelope(frames)?.messageType?.text ?? "?"
  }

  @Test("nothing goes by a line before the controller has taken it, and then the account does, with what was not confirmed")
  func line() throws {
    var bench = try Bench()
    bench.reply("before")
    bench.engine.mailbox.put { contents in
      (contents.local, contents.renewsLine, contents.owesAccount) = (bench.line, true, true)
    }
    try bench.turn()
    bench.reply("meanwhile")
    let end = try #require(try bench.listener.accept())
    #expect(types(end) == [])
    bench.welcome(end)
    try bench.turn()
    // What had found no way, and the account, which has it again, with what was for the controller before.
    #expect(types(end) == ["batch", "tasks_held", "batch"])
    bench.reply("later")
    #expect(types(end) == ["batch"])
    // The line ends, and with it perhaps what was in it.
    let path = NSTemporaryDirectory() + "account-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let renewed = try #require(LocalSocket(connectingTo: path))
    let next = try #require(try listener.accept())
    bench.engine.mailbox.put { ($0.local, $0.renewsLine) = (renewed, true) }
    try bench.turn()
    bench.welcome(next)
    try bench.turn()
    #expect(types(next) == ["tasks_held", "batch"])
  }

  @Test("the account goes before a request that waits") func beforeRequests() throws {
    var bench = try Bench()
    let end = try #require(try bench.listener.accept())
    bench.engine.mailbox.put { ($0.local, $0.renewsLine) = (bench.line, true) }
    bench.welcome(end)
    for task in ["a", "b"] {
      let request = bench.controller.message(.applyRequest, identities: [Frame("task_out"), Frame(task)])
      #expect(end.send(request.frames) == .sent)
    }
    guard case .request = bench.shell.next(milliseconds: 0) else { throw CancellationError() }
    // "b" is still in the line when the next controller comes.
    let path = NSTemporaryDirectory() + "account-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let renewed = try #require(LocalSocket(connectingTo: path))
    let next = try #require(try listener.accept())
    bench.engine.mailbox.put { contents in
      (contents.local, contents.renewsLine, contents.owesAccount) = (renewed, true, true)
    }
    bench.welcome(next)
    guard case .request = bench.shell.next(milliseconds: 0) else { throw CancellationError() }
    #expect(types(next).contains("tasks_held"))
  }

  /// Its next controller has come, and has not taken the line yet.
  private func another(_ bench: Bench) throws -> LocalSocket {
    let path = NSTemporaryDirectory() + "account-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let renewed = try #require(LocalSocket(connectingTo: path))
    let next = try #require(try listener.accept())
    bench.engine.mailbox.put { contents in
      (contents.local, contents.renewsLine, contents.owesAccount) = (renewed, true, true)
    }
    return next
  }

  @Test("whoever only looks does not wait for the account, and is told when to look again") func looking() throws {
    var bench = try Bench()
    let end = try #require(try bench.listener.accept())
    bench.engine.mailbox.put { ($0.local, $0.renewsLine) = (bench.line, true) }
    bench.welcome(end)
    for task in ["a", "b"] {
      let request = bench.controller.message(.applyRequest, identities: [Frame("task_out"), Frame(task)])
      #expect(end.send(request.frames) == .sent)
    }
    guard case .request = bench.shell.next(milliseconds: 0) else { throw CancellationError() }
    bench.shell.finishWithoutReply()
    let next = try another(bench)
    // "b" is here, and may not begin yet.
    try bench.turn()
    try bench.turn()
    bench.engine.loop.start()
    defer { bench.engine.finish() }
    var item = pollfd(fd: bench.engine.mailbox.descriptor, events: Int16(POLLIN), revents: 0)
    #expect(poll(&item, 1, Int32(10_000 * patience)) == 1)
    guard case .request = bench.shell.next(milliseconds: 0) else { throw CancellationError() }
    withExtendedLifetime(next) {}
  }

  @Test("an engine that is to end gives its account first, of what is not confirmed") func end() throws {
    var bench = try Bench()
    bench.reply("task")
    let next = try another(bench)
    bench.engine.mailbox.put { $0.exitCode = 0 }
    try bench.turn()
    bench.welcome(next)
    guard case .stopped(0) = bench.shell.next(milliseconds: -1) else { throw CancellationError() }
    #expect(types(next).contains("tasks_held"))
    // And not where there is nothing to say, or nobody to say it to.
    let idle = try Bench()
    let silent = try another(idle)
    idle.engine.mailbox.put { $0.exitCode = 0 }
    guard case .stopped(0) = idle.shell.next(milliseconds: 0) else { throw CancellationError() }
    idle.reply("task")
    guard case .stopped(0) = idle.shell.next(milliseconds: -1) else { throw CancellationError() }
    withExtendedLifetime(silent) {}
  }

  @Test("where the line is not taken the account goes by the socket, when that is connected, and again when another one is")
  func socket() throws {
    let bench = try Bench()
    let context = try Context()
    let controller = try Socket(.dealer, in: context)
    try controller.set(.identity, Array("task_out".utf8))
    let socket = try Socket(.router, in: context)
    try socket.set(.identity, Array("engine".utf8))
    try socket.set(.routerMandatory, 1)
    try controller.connect(try socket.bind("tcp://127.0.0.1:*"))
    try controller.send([Frame("so that they know each other")])
    let areConnected = try socket.waitReadable(milliseconds: 10_000 * patience)
    #expect(areConnected)
    let handed = HandedSocket(socket)
    bench.engine.mailbox.put { contents in
      (contents.socket, contents.local, contents.isConnected, contents.owesAccount) = (handed, bench.line, false, true)
    }
    try bench.turn()
    bench.reply("task")
    bench.engine.mailbox.put { $0.isConnected = true }
    try bench.turn()
    // Behind what had found no way.
    for expected in ["batch", "tasks_held", "batch"] {
      let got = try next(controller)
      #expect(got == expected)
    }
    bench.engine.mailbox.put { $0.isConnected = false }
    try bench.turn()
    bench.engine.mailbox.put { $0.isConnected = true }
    try bench.turn()
    for expected in ["tasks_held", "batch"] {
      let got = try next(controller)
      #expect(got == expected)
    }
  }

  /// What comes by libzmq.
  private func next(_ controller: borrowing Socket) throws -> String {
    guard try controller.waitReadable(milliseconds: 10_000 * patience), let frames = try controller.receive() else {
      return "nothing"
    }
    return type(frames, identities: 0)
  }
}
