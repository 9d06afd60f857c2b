import ApusMessaging
import CZeroMQ
import Glibc
import Transport

/// One engine as the controller sees it: registers, answers hearts, and answers every task with `ok` at once.
final class PlayedEngine {
  /// The order of this engine's sockets among those that are polled.
  enum Slot: Int, CaseIterable { case shell, heart, registration, control }

  private let uuid: String
  private let connection: EchoEngineConnection
  private let context: LoadContext
  private let registration: LoadSocket
  private let shell: LoadSocket
  private let heart: LoadSocket
  private let pong: LoadSocket
  private let control: LoadSocket
  private let output: LoadSocket
  private var session: Session
  private var reply: SignedTemplate
  private var busy: SignedTemplate?
  private var idle: SignedTemplate?
  private var isRegistered = false
  private let parts = MessageParts()

  /// Tasks answered before hearts and other engines have their turn.
  private static let batch = 256

  init(_ connection: EchoEngineConnection, publishesStatus: Bool, in context: LoadContext) throws(LoadError) {
    self.connection = connection
    self.context = context
    let id = SessionID.random()
    uuid = id.text
    session = Session(id: id, key: connection.file.key, username: "bench")
    registration = try LoadSocket(.dealer, in: context, identity: uuid)
    shell = try LoadSocket(.router, in: context, identity: uuid)
    heart = try LoadSocket(.sub, in: context)
    pong = try LoadSocket(.dealer, in: context, identity: uuid)
    control = try LoadSocket(.router, in: context, identity: uuid)
    output = try LoadSocket(.pub, in: context, identity: uuid)
    let metadata: JSONValue = [
      "started": .string(Timestamp.now().description), "dependencies_met": true, "engine": .string(uuid), "is_broadcast": false,
      "is_coalescing": false, "original_msg_id": "", "label": .null, "status": "ok",
    ]
    let signer = session.signer
    reply = SignedTemplate(.applyReply, session: id, name: "r", metadata: metadata, content: ["status": "ok"], signer: signer)
    guard publishesStatus else { return }
    let mine: JSONValue = ["engine": .string(uuid)]
    busy = SignedTemplate(.status, session: id, name: "b", metadata: mine, content: ["execution_state": "busy"], signer: signer)
    idle = SignedTemplate(.status, session: id, name: "i", metadata: mine, content: ["execution_state": "idle"], signer: signer)
  }

  func handle(_ slot: Slot) -> UnsafeMutableRawPointer {
    switch slot {
    case .shell: shell.handle
    case .heart: heart.handle
    case .registration: registration.handle
    case .control: control.handle
    }
  }

  /// Asks the hub for an id; the sockets of the schedulers are connected when it has answered.
  func register() throws(LoadError) {
    if connection.isBare {
      shell.set(ZMQ_PROBE_ROUTER, 1)
      return try shell.connect(connection.file, port: connection.file.task)
    }
    try registration.connect(connection.file, port: connection.file.registration)
    try registration.send(session.message(.registrationRequest, content: ["uuid": .string(uuid)]).frames)
  }

  /// - Parameter slot: the socket that is readable.
  func serve(_ slot: Slot) throws(LoadError) {
    switch slot {
    case .shell: answerTasks()
    case .heart: answerPings()
    case .registration: try takeRegistration()
    case .control: while parts.receive(from: control) {}
    }
  }

  private func takeRegistration() throws(LoadError) {
    while parts.receive(from: registration) {
      guard !isRegistered, let message = Envelope(parts.frames), message.messageType == .registrationReply else { continue }
      guard let content = try? message.content(), let id = content["id"]?.intValue else {
        throw LoadError("the hub refuses engine \(uuid): \(message.contentFrame.text)")
      }
      isRegistered = true
      let file = connection.file
      try shell.connect(file, port: file.mux)
      try shell.connect(file, port: file.task)
      if !connection.broadcast.isEmpty {
        try shell.connect(file, port: connection.broadcast[id % connection.broadcast.count])
      }
      try control.connect(file, port: file.control)
      try output.connect(file, port: file.iopub)
      try pong.connect(file, port: connection.heartbeatPong)
      try heart.connect(file, port: connection.heartbeatPing)
    }
  }

  private func answerPings() {
    while parts.receive(from: heart) { parts.send(0, on: pong, more: false) }
  }

  private func answerTasks() {
    for _ in 0..<Self.batch {
      guard parts.receive(from: shell) else { return }
      // A probe, or nonsense.
      guard let delimiter = parts.delimiter else { continue }
      let header = parts[delimiter + 2]
      publish(\.busy, header)
      for index in 0..<delimiter { parts.send(index, on: shell, more: true) }
      reply.send(parent: header, on: shell)
      publish(\.idle, header)
    }
  }

  private func publish(
    _ template: ReferenceWritableKeyPath<PlayedEngine, SignedTemplate?>, _ header: UnsafeMutablePointer<zmq_msg_t>
  ) {
    guard self[keyPath: template] != nil else { return }
    zmq_send(output.handle, "engine.status", 13, ZMQ_SNDMORE)
    self[keyPath: template]?.send(parent: header, on: output)
  }
}

/// Where engines connect, taken from the connection file once.
struct EchoEngineConnection {
  let file: ConnectionFile
  let heartbeatPing: Int
  let heartbeatPong: Int
  let broadcast: [Int]
  /// The other end is `raw-relay`: no hub, no hearts; the shell says hello by a probe.
  let isBare: Bool

  init(_ file: ConnectionFile, isBare: Bool) throws(LoadError) {
    guard case .engine(let ping, let pong, let broadcast) = file.side else {
      throw LoadError("an engine's connection file is needed")
    }
    self.file = file
    heartbeatPing = ping
    heartbeatPong = pong
    self.broadcast = broadcast
    self.isBare = isBare
  }
}
