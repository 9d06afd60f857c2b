import ApusMessaging
import Synchronization
import Transport

/// An engine that does what the request's content says under `do`: `echo` (default) returns its buffers, `fail` fails, `print` writes and
/// echoes, `hang` answers only an abort, `slow` echoes after `milliseconds`.
actor EchoEngine {
  private nonisolated let loop = EventLoop(name: "echo")
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
  nonisolated let uuid: EngineUUID
  private nonisolated let isDead = Atomic(false)

  private var session: Session
  private var registrar: Socket?
  private var shell: Socket?
  private var control: Socket?
  private var ping: Socket?
  private var pong: Socket?
  private var output: Socket?
  private var readers: [EventLoop.ReaderID] = []
  private let file: ConnectionFile
  /// What it says of itself when it registers; `nil` says nothing, as a stock engine.
  private let kind: EngineKind?
  private let context: Context
  private var id = 0
  private var hanging: [MessageID: Envelope] = [:]
  /// Requests seen on the shell, by kind.
  private(set) var seen: [String: Int] = [:]
  private(set) var signals: [Int] = []
  private(set) var aborted: [String] = []

  init(_ file: ConnectionFile, kind: EngineKind? = nil) throws {
    self.file = file
    self.kind = kind
    let session = Session(key: file.key)
    self.session = session
    uuid = EngineUUID(session.id.text)
    context = try Context()
    loop.start()
  }

  func start() throws {
    let route = ControllerRoute(file)
    func socket(_ kind: Socket.Kind, _ ports: [Int]) throws -> Socket {
      let socket = try Socket(kind, in: context)
      try socket.set(.identity, Array(uuid.text.utf8))
      try socket.set(.linger, 200)
      for port in ports { try socket.connect(route.endpoint(port)) }
      return socket
    }
    guard case .engine(let pingPort, let pongPort, _) = file.side else { return }
    registrar = try socket(.dealer, [file.registration])
    control = try socket(.router, [file.control])
    output = try socket(.pub, [file.iopub])
    pong = try socket(.dealer, [pongPort])
    let heart = try Socket(.sub, in: context)
    try heart.set(.subscribe, [])
    try heart.connect(route.endpoint(pingPort))
    ping = consume heart
    shell = try socket(.router, [file.mux, file.task])
    watch(registrar!) { $0.readRegistrar() }
    watch(shell!) { $0.readShell() }
    watch(control!) { $0.readControl() }
    watch(ping!) { $0.readPing() }
    var content: JSONObject = ["uuid": .string(uuid.text)]
    if let kind { content["kind"] = .string(kind.rawValue) }
    try registrar?.send(session.message(.registrationRequest, content: .object(content)).frames)
  }

  private func watch(_ socket: borrowing Socket, _ handler: @escaping @Sendable (isolated EchoEngine) -> Void) {
    readers.append(loop.whenReadable(socket) { [weak self] in self?.assumeIsolated { handler($0) } })
  }

  /// As a killed process: connections drop, nothing is said.
  nonisolated func die() async {
    // A loop that has ended would never answer.
    if isDead.exchange(true, ordering: .relaxed) { return }
    await close()
  }

  private func dieLater() { if !isDead.exchange(true, ordering: .relaxed) { close() } }

  private func close() {
    for reader in readers { loop.forget(reader) }
    readers = []
    registrar = nil
    shell = nil
    control = nil
    ping = nil
    pong = nil
    output = nil
    loop.stop()
  }

  private func readRegistrar() {
    while let frames = (try? registrar?.receive()) ?? nil {
      guard let content = try? Envelope(frames)?.content(), let number = content["id"]?.intValue else { continue }
      id = number
      guard case .engine(_, _, let leaves) = file.side else { continue }
      try? shell?.connect(ControllerRoute(file).endpoint(leaves[number % leaves.count]))
    }
  }

  private func readPing() { while let frames = (try? ping?.receive()) ?? nil { try? pong?.send(frames) } }

  private func readShell() {
    for _ in 0..<512 {
      guard let frames = (try? shell?.receive()) ?? nil else { return }
      if let request = try? session.open(frames) { run(request) }
    }
  }

  private func run(_ request: Envelope) {
    let content = request.contentFrame.isIdentical(to: .emptyObject) ? JSONObject() : (try? request.content()) ?? JSONObject()
    let work = request.messageType == .executeRequest ? "print" : content["do"]?.stringValue ?? "echo"
    seen[work, default: 0] += 1
    switch work {
    case "fail":
      let error = RemoteError(
        name: "ValueError", value: "no", traceback: ["line 1"], engine: .init(uuid: uuid, id: EngineID(id), method: "apply"))
      answer(request, content: error.content, status: "error", buffers: [])
    case "hang": hanging[request.messageID ?? ""] = request
    case "slow":
      loop.schedule(after: .milliseconds(content["milliseconds"]?.intValue ?? 50)) { [weak self] in
        self?.assumeIsolated { $0.answer(request) }
      }
    case "print":
      publish("status", .status, ["execution_state": "busy"], request)
      publish("stdout", .stream, ["name": "stdout", "text": .string(content["code"]?.stringValue ?? "hello\n")], request)
      publish("stderr", .stream, ["name": "stderr", "text": "oh"], request)
      answer(request)
      publish("displaypub", .displayData, ["data": ["text/plain": "shown"], "metadata": [:]], request)
      publish("status", .status, ["execution_state": "idle"], request)
    default: answer(request)
    }
  }

  private func answer(_ request: Envelope) {
    answer(request, content: ["status": "ok", "execution_count": 1], status: "ok", buffers: Array(request.buffers))
  }

  private func answer(_ request: Envelope, content: JSONValue, status: String, buffers: [Frame]) {
    var metadata: JSONObject = ["status": .string(status), "engine": .string(uuid.text), "dependencies_met": true]
    let asked = request.metadataFrame.isIdentical(to: .emptyObject) ? JSONObject() : (try? request.metadata()) ?? JSONObject()
    for key in ["is_broadcast", "is_coalescing", "original_msg_id"] {
      metadata[key] = asked[key] ?? (key == "original_msg_id" ? "" : false)
    }
    let reply = session.message(
      request.messageType?.reply ?? .applyReply, content: content, parentHeader: request.headerFrame, metadata: .object(metadata),
      identities: Array(request.identities), buffers: buffers)
    try? shell?.send(reply.frames)
  }

  private func publish(_ kind: String, _ type: MessageType, _ content: JSONValue, _ request: Envelope) {
    let message = session.message(
      type, content: content, parentHeader: request.headerFrame, identities: [Frame("engine.\(id).\(kind)")])
    try? output?.send(message.frames)
  }

  private func readControl() {
    while let frames = (try? control?.receive()) ?? nil {
      guard let request = try? session.open(frames), let type = request.messageType, let content = try? request.content() else {
        continue
      }
      if type == .signalRequest, let number = content["sig"]?.intValue { signals.append(number) }
      let reply = session.message(
        type.reply, content: ["status": "ok"], parentHeader: request.headerFrame,
        metadata: ["status": "ok", "engine": .string(uuid.text)],
        identities: Array(request.identities))
      try? control?.send(reply.frames)
      if type == .abortRequest {
        for id in content["msg_ids"]?.stringArrayValue ?? [] {
          aborted.append(id)
          guard let task = hanging.removeValue(forKey: MessageID(id)) else { continue }
          answer(task, content: ["status": "aborted"], status: "aborted", buffers: [])
        }
      }
      if type == .shutdownRequest {
        loop.schedule(after: .milliseconds(20)) { [weak self] in self?.assumeIsolated { $0.dieLater() } }
      }
    }
  }
}
