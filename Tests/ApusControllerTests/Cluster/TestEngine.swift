import ApusController
import ApusMessaging
import TestSupport
import Testing
import Transport

/// An engine on the wire that gives back what it gets. It lives on a loop of its own.
actor TestEngine {
  private nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  nonisolated let uuid: String
  private let connector: Connector
  private var session: Session
  private var wire: Wire?
  private var readers: [EventLoop.ReaderID] = []
  private var beats = true
  private(set) var id = -1
  private(set) var received: [MessageID] = []
  private(set) var lastMetadata: JSONObject?
  /// Those of them that came in batches, whose answers go back in batches too.
  private(set) var batched = 0
  private var held: [Envelope] = []
  private var conduct: Conduct

  enum Conduct: Sendable {
    case echo, fail, refuse
    /// Answers when it is told to.
    case hold
  }

  private final class Wire {
    let query: Socket
    let shell: Socket
    let control: Socket
    let output: Socket
    let ping: Socket
    let pong: Socket

    init(_ connector: Connector, uuid: String) throws {
      guard case .engine(let pingPort, let pongPort, _) = connector.file.side else { throw TestFailure("not an engine's file") }
      let file = connector.file
      query = try connector.connect(.dealer, identity: uuid, to: file.registration)
      ping = try connector.connect(.sub, to: pingPort)
      pong = try connector.connect(.dealer, identity: uuid, to: pongPort)
      shell = try connector.connect(.router, identity: uuid)
      control = try connector.connect(.router, identity: uuid)
      output = try connector.connect(.pub, to: file.iopub)
    }
  }

  init(_ file: ConnectionFile, uuid: String = SessionID.random().text, conduct: Conduct = .echo) throws {
    connector = try Connector(file)
    loop = EventLoop(name: "engine")
    self.uuid = uuid
    self.conduct = conduct
    session = Session(id: SessionID(uuid), key: file.key)
    loop.start()
  }

  nonisolated func close() {
    loop.stop()
    loop.join()
  }

  /// Engines that are registered; they are closed at the end.
  static func with<R>(
    _ count: Int, _ file: ConnectionFile, conduct: Conduct = .echo, _ body: ([TestEngine]) async throws -> R
  ) async throws -> R {
    let engines = try (0..<count).map { _ in try TestEngine(file, conduct: conduct) }
    defer { for engine in engines { engine.close() } }
    for engine in engines { try await engine.register() }
    return try await body(engines)
  }

  var target: (id: Int, uuid: String) { (id, uuid) }

  // MARK: life

  /// - Parameter beatsFirst: the heart answers before the registration, as that of an engine that comes back.
  func register(
    wanted: Int? = nil, resumes: Bool = false, beatsFirst: Bool = false, kind: JSONValue? = nil, takesBatches: Bool = false
  ) throws {
    guard case .engine(_, _, let leaves) = connector.file.side else { throw TestFailure("not an engine's file") }
    let file = connector.file
    let wire = try self.wire ?? Wire(connector, uuid: uuid)
    if beatsFirst {
      for _ in 0..<3 {
        guard try wire.ping.waitReadable(milliseconds: 5000 * patience), let frames = try wire.ping.receive() else {
          throw TestFailure("no ping")
        }
        try wire.pong.send(frames)
      }
    }
    var content: JSONObject = ["uuid": .string(uuid)]
    if let wanted { content["id"] = .int(wanted) }
    if resumes { content["resume"] = true }
    if let kind { content["kind"] = kind }
    if takesBatches { content["batches"] = true }
    try wire.query.send(session.message(.registrationRequest, content: .object(content)).frames)
    guard let reply = try wire.query.next(where: { $0.messageType == .registrationReply }) else {
      throw TestFailure("no registration reply")
    }
    let answer = try reply.content()
    guard answer["status"] == "ok", let id = answer["id"]?.intValue else {
      throw TestFailure("refused: \(JSONValue.object(answer).text)")
    }
    if self.wire != nil { return }
    self.id = id
    self.wire = wire
    for port in [file.mux, file.task, leaves[id % leaves.count]] {
      try wire.shell.connect(file.endpoint(port: port, host: "127.0.0.1"))
    }
    try wire.control.connect(file.endpoint(port: file.control, host: "127.0.0.1"))
    readers = [
      loop.whenReadable(wire.shell) { [weak self] in self?.assumeIsolated { $0.workArrived() } },
      loop.whenReadable(wire.control) { [weak self] in self?.assumeIsolated { $0.controlArrived() } },
      loop.whenReadable(wire.ping) { [weak self] in self?.assumeIsolated { $0.pingArrived() } },
    ]
  }

  func unregister() throws {
    try wire?.query.send(session.message(.unregistrationRequest, content: ["id": .int(id)]).frames)
  }

  /// Closes every connection at once, as the system does for a process that was killed.
  func vanish() {
    for reader in readers { loop.forget(reader) }
    readers = []
    wire = nil
  }

  func setHeart(beats: Bool) { self.beats = beats }

  // MARK: work

  func behave(_ conduct: Conduct) throws {
    self.conduct = conduct
    guard conduct != .hold else { return }
    let waiting = held
    held = []
    for request in waiting { try answer(request) }
  }

  /// Something is published about a request.
  func publish(_ type: MessageType, _ content: JSONValue, about header: Frame) throws {
    try wire?.output.send(
      session.message(type, content: content, parentHeader: header, identities: [Frame("engine.\(id).x")]).frames)
  }

  private func workArrived() {
    while let frames = try? wire?.shell.receive() {
      if MessageBatch.isBatch(frames, identities: 1) {
        answerBatch(frames)
        continue
      }
      guard let request = try? session.open(frames), let id = request.messageID else { continue }
      received.append(id)
      lastMetadata = try? request.metadata()
      if conduct == .hold { held.append(request) } else { try? answer(request) }
    }
  }

  private func answerBatch(_ frames: [Frame]) {
    guard var batch = try? session.openBatch(frames, .schedulerToEngine) else { return }
    var answers = MessageBatchWriter()
    while let request = (try? batch.next()) ?? nil, let answer = try? reply(to: request) {
      request.messageID.map { received.append($0) }
      batched += 1
      guard answers.append(answer.identities.last, answer.payload) else { continue }
    }
    try? wire?.shell.send([frames[0]] + answers.take(signedBy: session.signer, .engineToScheduler))
  }

  private func answer(_ request: Envelope) throws { try wire?.shell.send(reply(to: request).frames) }

  private func reply(to request: Envelope) throws -> Envelope {
    let asked = try request.metadata()
    var metadata: JSONObject = [
      "started": .string(Timestamp.now().description), "dependencies_met": .bool(conduct != .refuse), "engine": .string(uuid),
      "is_broadcast": asked["is_broadcast"] ?? false, "is_coalescing": asked["is_coalescing"] ?? false,
      "original_msg_id": asked["original_msg_id"] ?? "", "status": "ok",
    ]
    var content: JSONValue = ["status": "ok"]
    if conduct != .echo {
      metadata["status"] = "error"
      content =
        RemoteError(
          name: conduct == .refuse ? "UnmetDependency" : "ValueError", value: "no", traceback: ["no"],
          engine: .init(uuid: EngineUUID(uuid), id: EngineID(id), method: "apply")
        ).content
    }
    let type = request.messageType?.reply ?? .applyReply
    return session.message(
      type, content: content, parentHeader: request.headerFrame, metadata: .object(metadata), identities: Array(request.identities),
      buffers: conduct == .echo ? Array(request.buffers) : [])
  }

  private func controlArrived() {
    while let frames = try? wire?.control.receive() {
      guard let request = try? session.open(frames), let type = request.messageType else { continue }
      let reply = session.message(
        type.reply, content: ["status": "ok"], parentHeader: request.headerFrame, identities: Array(request.identities))
      try? wire?.control.send(reply.frames)
    }
  }

  private func pingArrived() {
    while let frames = try? wire?.ping.receive() { if beats { try? wire?.pong.send(frames) } }
  }
}
