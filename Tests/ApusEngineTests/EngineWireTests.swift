import ApusEngine
import ApusMessaging
import Synchronization
import TestSupport
import Testing
import Transport

/// One engine over real sockets, against a controller of a few lines.
@Suite struct EngineWireTests {
  /// The controller's ends, on loopback ports of their own.
  private final class Controller {
    let context: Context
    let registration: Socket
    let mux: Socket
    let control: Socket
    let iopub: Socket
    let ping: Socket
    let pong: Socket
    let other: Socket
    var session = Session(key: "key")
    let connection: ConnectionFile
    /// With a line that nobody takes: as of a controller that has no descriptor left for it.
    private let local: (directory: LocalDirectory, lines: LocalListener)?

    init(isLocal: Bool = false) throws {
      let context = try Context()
      self.context = context
      registration = try Socket(.router, in: context)
      mux = try Socket(.router, in: context)
      control = try Socket(.router, in: context)
      iopub = try Socket(.sub, in: context)
      ping = try Socket(.pub, in: context)
      pong = try Socket(.router, in: context)
      other = try Socket(.router, in: context)
      try mux.set(.identity, Array("mux_out".utf8))
      try other.set(.identity, Array("other_out".utf8))
      try control.set(.identity, Array("control_out".utf8))
      try iopub.set(.subscribe, [])
      func port(_ endpoint: String) -> Int { endpoint.split(separator: ":").last.flatMap { Int($0) } ?? 0 }
      let address = "tcp://127.0.0.1:*"
      let registrationPort = port(try registration.bind(address))
      let controlPort = port(try control.bind(address))
      let muxPort = port(try mux.bind(address))
      let otherPort = port(try other.bind(address))
      let iopubPort = port(try iopub.bind(address))
      let side = ConnectionFile.Side.engine(
        heartbeatPing: port(try ping.bind(address)), heartbeatPong: port(try pong.bind(address)), broadcast: [otherPort])
      var connection = ConnectionFile(
        interface: "tcp://127.0.0.1", registration: registrationPort, control: controlPort, mux: muxPort, task: otherPort,
        iopub: iopubPort,
        side: side, key: "key", location: "localhost")
      if isLocal {
        let directory = try LocalDirectory()
        func bind(_ socket: borrowing Socket, _ port: Int) throws {
          try socket.bindLocal(LocalDirectory.file(String(port), in: directory.path))
        }
        try bind(registration, registrationPort)
        try bind(control, controlPort)
        try bind(mux, muxPort)
        try bind(other, otherPort)
        try bind(iopub, iopubPort)
        if case .engine(let pingPort, let pongPort, _) = side {
          try bind(ping, pingPort)
          try bind(pong, pongPort)
        }
        connection.localDirectory = directory.path
        local = (directory, try #require(LocalListener(path: LocalSocket.linesPath(in: directory.path))))
      } else {
        local = nil
      }
      self.connection = connection
    }

    func receive(_ socket: borrowing Socket) throws -> Envelope {
      try #require(try socket.waitReadable(milliseconds: 10_000 * patience), "nothing came")
      let frames = try #require(try socket.receive())
      return try #require(Envelope(frames))
    }
  }

  @Test func registersBeatsAndAnswers() throws {
    let controller = try Controller()
    var configuration = EngineConfiguration(connection: controller.connection, uuid: "engine-1")
    configuration.wantedID = EngineID(4)
    configuration.kind = .swift
    let engine = try Engine(configuration)
    let shell = Shell(engine: engine)
    engine.start()

    let request = try controller.receive(controller.registration)
    #expect(request.messageType == .registrationRequest)
    #expect(try request.content()["id"] == 4)
    #expect(try request.content()["kind"] == "swift")
    let answer = controller.session.message(
      .registrationReply, content: ["id": 4, "status": "ok", "hb_period": 100], identities: [Frame("engine-1")])
    try controller.registration.send(answer.frames)
    let id = try shell.waitForRegistration()
    #expect(id == EngineID(4))
    engine.kernelIsReady()

    // Until the subscriptions are through, pings go nowhere.
    let beat = Frame("1.25")
    var answered = false
    for _ in 0..<200 * patience where !answered {
      try controller.ping.send([beat])
      _ = try controller.iopub.waitReadable(milliseconds: 1)
      answered = try controller.pong.waitReadable(milliseconds: 50)
    }
    let pong = try controller.pong.receive()
    #expect(pong == [Frame("engine-1"), beat])

    let identities = [Frame("engine-1"), Frame("client")]
    let task = controller.session.message(
      .applyRequest, metadata: ["label": "x"], identities: identities, buffers: [Frame("payload")])
    try controller.mux.send(task.frames)
    guard case .request(let received) = shell.next(milliseconds: 10_000 * patience) else { throw Missing() }
    #expect(received.type == .applyRequest)
    #expect(Array(received.envelope.buffers) == [Frame("payload")])
    let cancelled = Mutex<[MessageID]>([])
    engine.whenTaskIsCancelled { id in cancelled.withLock { $0.append(id) } }
    let ids: JSONValue = [.string(received.id.text), "another"]
    for interrupts in [false, true] {
      let abort = controller.session.message(
        .abortRequest, content: ["msg_ids": ids, "interrupt": .bool(interrupts)], identities: identities)
      try controller.control.send(abort.frames)
      #expect(try controller.receive(controller.control).messageType == MessageType.abortRequest.reply)
      #expect(cancelled.withLock { $0 } == (interrupts ? [received.id] : []))
    }
    shell.reply(.init(type: .applyReply, succeeded: true, content: Frame(["status": "ok"]), buffers: [Frame("result")]))
    let reply = try controller.receive(controller.mux)
    #expect(Array(reply.identities) == identities)
    #expect(reply.parentHeaderFrame == task.headerFrame)
    #expect(try reply.metadata()["label"] == "x")
    #expect(Array(reply.buffers) == [Frame("result")])

    // The same bytes again are a replay.
    try controller.mux.send(task.frames)
    guard case .timedOut = shell.next(milliseconds: 200) else { throw Missing() }

    let goodbye = controller.session.message(.shutdownRequest, content: ["restart": false], identities: identities)
    try controller.control.send(goodbye.frames)
    let farewell = try controller.receive(controller.control)
    #expect(farewell.messageType == .shutdownReply)
    guard case .stopped(0) = shell.next(milliseconds: 10_000 * patience) else { throw Missing() }
    shell.close()
    engine.finish()
  }

  @Test("an engine whose line the controller never takes answers by its other connections")
  func untakenLine() throws {
    let controller = try Controller(isLocal: true)
    let engine = try Engine(EngineConfiguration(connection: controller.connection, uuid: "engine-1"))
    let shell = Shell(engine: engine)
    engine.start()
    _ = try controller.receive(controller.registration)
    let answer = controller.session.message(
      .registrationReply, content: ["id": 0, "status": "ok", "hb_period": 100], identities: [Frame("engine-1")])
    try controller.registration.send(answer.frames)
    #expect(try shell.waitForRegistration() == EngineID(0))
    engine.kernelIsReady()
    // The shell is connected before the heart.
    var hasPong = false
    for _ in 0..<200 * patience where !hasPong {
      try controller.ping.send([Frame("1")])
      _ = try controller.iopub.waitReadable(milliseconds: 1)
      hasPong = try controller.pong.waitReadable(milliseconds: 50)
    }
    let task = controller.session.message(.applyRequest, identities: [Frame("engine-1"), Frame("client")])
    try controller.mux.send(task.frames)
    guard case .request = shell.next(milliseconds: 10_000 * patience) else { throw Missing() }
    shell.reply(.init(type: .applyReply, succeeded: true, content: Frame(["status": "ok"])))
    #expect(try controller.receive(controller.mux).parentHeaderFrame == task.headerFrame)
    shell.close()
    engine.finish()
  }

  private struct Missing: Error {}
}
