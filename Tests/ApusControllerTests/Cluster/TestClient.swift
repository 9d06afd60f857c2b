import ApusController
import ApusMessaging
import TestSupport
import Testing
import Transport

/// A client on the wire, as little of one as a test needs. It lives on a loop of its own, where it may wait.
actor TestClient {
  private nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private let connector: Connector
  private var session: Session
  private let query: Socket
  private let mux: Socket
  private let task: Socket
  private let control: Socket
  private let broadcast: Socket
  private let notifications: Socket
  private let output: Socket

  init(_ file: ConnectionFile) throws {
    guard case .client(let notification, let broadcastPort, _) = file.side else { throw TestFailure("not a client's file") }
    connector = try Connector(file)
    loop = EventLoop(name: "client")
    session = Session(key: file.key)
    query = try connector.connect(.dealer, to: file.registration)
    mux = try connector.connect(.dealer, to: file.mux)
    task = try connector.connect(.dealer, to: file.task)
    control = try connector.connect(.dealer, to: file.control)
    broadcast = try connector.connect(.dealer, to: broadcastPort)
    notifications = try connector.connect(.sub, to: notification)
    output = try connector.connect(.sub, to: file.iopub)
    loop.start()
  }

  nonisolated func close() {
    loop.stop()
    loop.join()
  }

  static func with<R>(_ file: ConnectionFile, _ body: (TestClient) async throws -> R) async throws -> R {
    let client = try TestClient(file)
    defer { client.close() }
    return try await body(client)
  }

  // MARK: the hub

  @discardableResult
  func hub(_ type: MessageType, _ content: JSONValue = [:], within limit: Duration = .seconds(30 * patience)) throws -> Envelope {
    try answer(to: ask(type, content), within: limit)
  }

  /// Without waiting for the answer.
  func ask(_ type: MessageType, _ content: JSONValue = [:]) throws -> MessageID {
    let request = session.message(type, content: content)
    try query.send(request.frames)
    guard let id = request.messageID else { throw TestFailure("a message without an id") }
    return id
  }

  func answer(to question: MessageID, within limit: Duration = .seconds(30 * patience)) throws -> Envelope {
    guard let reply = try query.next(within: limit, where: { $0.parentID == question }) else {
      throw TestFailure("the hub does not answer \(question)")
    }
    return reply
  }

  func content(_ type: MessageType, _ content: JSONValue = [:]) throws -> JSONObject { try hub(type, content).content() }

  /// Ids and uuids of the engines that are registered.
  func engines() throws -> [Int: String] {
    let engines = try content(.connectionRequest)["engines"]?.objectValue ?? [:]
    return Dictionary(
      uniqueKeysWithValues: engines.members.compactMap { key, uuid in Int(key).flatMap { id in uuid.stringValue.map { (id, $0) } } }
    )
  }

  /// Waits until so many engines are registered.
  func waitForEngines(_ count: Int) async throws {
    let end = ContinuousClock.now + .seconds(20)
    while try engines().count != count {
      guard ContinuousClock.now < end else { throw TestFailure("not \(count) engines: \(try engines())") }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  func notification(_ type: MessageType, within limit: Duration = .seconds(20 * patience)) throws -> Envelope? {
    try notifications.next(within: limit) { $0.messageType == type }
  }

  func output(_ type: MessageType) throws -> Envelope? { try output.next { $0.messageType == type } }

  func anyOutput(within limit: Duration) throws -> Envelope? { try output.next(within: limit) }

  // MARK: work

  enum Channel { case mux, task, control, broadcast }

  @discardableResult
  func send(
    _ channel: Channel, _ type: MessageType = .applyRequest, to engine: String? = nil, metadata: JSONValue = [:],
    content: JSONValue = [:],
    buffers: [Frame] = []
  ) throws -> MessageID {
    let message = session.message(
      type, content: content, metadata: metadata, identities: engine.map { [Frame($0)] } ?? [], buffers: buffers)
    switch channel {
    case .mux: try mux.send(message.frames)
    case .task: try task.send(message.frames)
    case .control: try control.send(message.frames)
    case .broadcast: try broadcast.send(message.frames)
    }
    guard let id = message.messageID else { throw TestFailure("a message without an id") }
    return id
  }

  /// - Parameter original: the answer to a broadcast names its request in its metadata.
  func answer(_ channel: Channel, to id: MessageID, original: Bool = false, within limit: Duration = .seconds(30 * patience)) throws
    -> Envelope
  {
    func fits(_ envelope: Envelope) -> Bool {
      original ? (try? envelope.metadata()["original_msg_id"]?.stringValue) == id.text : envelope.parentID == id
    }
    let found =
      switch channel {
      case .mux: try mux.next(within: limit, where: fits)
      case .task: try task.next(within: limit, where: fits)
      case .control: try control.next(within: limit, where: fits)
      case .broadcast: try broadcast.next(within: limit, where: fits)
      }
    guard let found else { throw TestFailure("no answer to \(id)") }
    // What the controller sends is signed.
    if session.signer.isEnabled, !session.signer.verify(found.signature, found.signedParts) {
      throw TestFailure("an answer that is not signed")
    }
    return found
  }

  /// Whatever comes next.
  func next(_ channel: Channel, within limit: Duration = .seconds(20 * patience)) throws -> Envelope {
    let found =
      switch channel {
      case .mux: try mux.next(within: limit)
      case .task: try task.next(within: limit)
      case .control: try control.next(within: limit)
      case .broadcast: try broadcast.next(within: limit)
      }
    guard let found else { throw TestFailure("nothing came") }
    return found
  }

  /// One task to one engine and back, on every channel.
  func roundTrip(_ engine: (id: Int, uuid: String)) throws {
    let payload = [Frame("payload"), Frame([UInt8](repeating: 3, count: 3000))]
    let direct = try answer(.mux, to: send(.mux, to: engine.uuid, buffers: payload))
    #expect(Array(direct.buffers) == payload)
    #expect(direct.identities.map(\.text) == [engine.uuid])
    let balanced = try answer(.task, to: send(.task, metadata: ["targets": [.string(engine.uuid)]], buffers: payload))
    #expect(Array(balanced.buffers) == payload)
    let controlled = try answer(.control, to: send(.control, .clearRequest, to: engine.uuid))
    #expect(controlled.messageType == "clear_reply")
    let id = try send(.broadcast, metadata: Self.targets([engine], coalescing: true), buffers: payload)
    #expect(Array(try answer(.broadcast, to: id, original: true).buffers) == payload)
  }

  static func targets(_ engines: [(id: Int, uuid: String)], coalescing: Bool) -> JSONValue {
    [
      "targets": .array(engines.map { [.string($0.uuid), .int($0.id)] }), "is_broadcast": true, "is_coalescing": .bool(coalescing),
    ]
  }

  // MARK: batches

  /// Balanced tasks in one message.
  func sendBatch(_ buffers: [Frame]) throws -> [MessageID] {
    var batch = MessageBatchWriter()
    var ids: [MessageID] = []
    for buffer in buffers {
      let message = session.message(.applyRequest, buffers: [buffer])
      guard batch.append(nil, message.payload), let id = message.messageID else { throw TestFailure("not for a batch") }
      ids.append(id)
    }
    try task.send(batch.take(signedBy: session.signer, .clientToScheduler))
    return ids
  }

  /// The answers to so many tasks, by their requests, and how many of them came in batches.
  func answers(_ count: Int) throws -> (buffers: [MessageID: Frame], batched: Int) {
    var found: [MessageID: Frame] = [:]
    var batched = 0
    while found.count < count {
      guard try task.waitReadable(milliseconds: 10_000 * patience) else {
        throw TestFailure("\(count - found.count) answers are missing")
      }
      while let frames = try task.receive() {
        if MessageBatch.isBatch(frames, identities: 0) {
          var batch = try session.openBatch(frames, .schedulerToClient)
          while let message = try batch.next() {
            if let id = message.parentID { found[id] = message.buffers.first }
            batched += 1
          }
        } else {
          let message = try session.open(frames)
          if let id = message.parentID { found[id] = message.buffers.first }
        }
      }
    }
    return (found, batched)
  }

  // MARK: nonsense

  /// Frames as they are, to a port.
  func sendRaw(_ messages: [[Frame]], to port: Int, kind: Socket.Kind = .dealer) async throws {
    let socket = try connector.connect(kind, to: port)
    try socket.set(.linger, 1000)
    // A port that speaks another pattern takes nothing: that is no failure of ours.
    for message in messages where !message.isEmpty { try? socket.send(message) }
    // What is sent before the connection is made goes out with it; the socket's linger waits for the rest.
    try await Task.sleep(for: .milliseconds(20))
  }

  func sign(_ type: MessageType, content: JSONValue = [:], metadata: JSONValue = [:], identities: [Frame] = []) -> [Frame] {
    session.message(type, content: content, metadata: metadata, identities: identities).frames
  }
}
