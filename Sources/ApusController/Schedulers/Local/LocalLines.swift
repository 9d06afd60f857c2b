import ApusMessaging
import Logging
import Transport

/// The lines of this host: local sockets of the controller's own engines and clients, beside their connections by libzmq, for all schedulers.
///
/// Each message on a line begins with the name of the socket that libzmq would have brought it to or from: a hop (`task_out`, `mux_out`,
/// `sub_scheduler_3`) for engines, a channel for clients. Behind that it is what libzmq would deliver, and the parties treat it
/// alike. What does not fit, or is for somebody without a line, goes through libzmq.
///
/// `@unchecked Sendable`: used on the schedulers' loop alone, where all parties live, and before it starts.
final class LocalLines: @unchecked Sendable {
  /// One that serves a channel.
  final class Party {
    let lane: LocalSocket.Lane
    /// As libzmq would deliver them, behind the identity of the sender.
    let fromClient: ([Frame]) -> Void
    let fromEngine: ([Frame]) -> Void
    /// Something came, and for now nothing more does.
    let turnEnds: () -> Void
    fileprivate var hasTurn = false

    init(
      lane: LocalSocket.Lane, fromClient: @escaping ([Frame]) -> Void, fromEngine: @escaping ([Frame]) -> Void,
      turnEnds: @escaping () -> Void
    ) {
      self.lane = lane
      self.fromClient = fromClient
      self.fromEngine = fromEngine
      self.turnEnds = turnEnds
    }
  }

  private enum Owner {
    /// It has not said its name yet.
    case nobody
    case engine(EngineUUID, Frame)
    case client(Frame, LocalSocket.Lane)
  }

  private struct Line {
    let socket: LocalSocket
    var reader: EventLoop.ReaderID?
    var owner = Owner.nobody
  }

  private struct ClientLines {
    var tasks: LocalSocket?
    var requests: LocalSocket?
  }

  /// So many descriptors are spent on it; further peers do without.
  private static let limit = 1024
  /// Messages taken from a line before others get their turn.
  private let batch: Int
  /// So many are read before an engine is given up.
  private static let lastMessages = 64 * 256

  private let loop: EventLoop
  private let listener: LocalListener
  private var session: Session
  private let logger: Logger
  private var rejections: DroppedMessages
  private var listenerReader: EventLoop.ReaderID?
  /// By the descriptor, which nobody else has while the socket lives.
  private var lines: [Int32: Line] = [:]
  private var engines: [EngineUUID: LocalSocket] = [:]
  private var enginesByName: [Frame: LocalSocket] = [:]
  private var clients: [Frame: ClientLines] = [:]
  private var channels: [Frame: Party] = [:]
  private var hops: [Frame: Party] = [:]
  private var areTasksPaused = false
  /// For frames that lost their shared memory on the way: those that waited in a file.
  private let copies = SharedCopies()

  init(loop: EventLoop, listener: LocalListener, session: Session, batch: Int = 256, logger: Logger) {
    self.batch = batch
    self.loop = loop
    self.listener = listener
    self.session = session
    self.logger = logger
    rejections = DroppedMessages("lines", logger: logger)
  }

  /// Before the start.
  func serve(_ channel: Frame, hops names: [Frame], _ party: Party) {
    channels[channel] = party
    for name in names { hops[name] = party }
  }

  /// On the loop, when all parties are there.
  func start() {
    listenerReader = loop.whenReadable(descriptor: listener.descriptor) { [unowned self] in accept() }
  }

  // MARK: sending

  func hasLine(engine identity: Frame) -> Bool { enginesByName[identity] != nil }

  /// Whether what this client asks for in order comes by its line, all of it.
  func hasRequestsLine(client: Frame) -> Bool { clients[client]?.requests != nil }

  /// A message that may as well go another way: it goes as it is, or not at all.
  func send(_ frames: [Frame], to engine: EngineUUID) -> Bool { engines[engine]?.send(frames) == .sent }
  func hasLine(_ engine: EngineUUID) -> Bool { engines[engine] != nil }

  /// A message that keeps its order: what is too large is copied.
  func send(inOrder frames: [Frame], to engine: Frame) -> LocalSocket.Sending {
    guard let socket = enginesByName[engine] else { return .closed }
    defer { copies.removeAll() }
    return socket.send(frames, copying: copies)
  }

  /// A reply, which has no order.
  /// - Returns: false if it has to go through libzmq.
  func reply(on channel: Frame, to client: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>) -> Bool {
    guard let lines = clients[client], let socket = channel.isIdentical(to: LocalSocket.Lane.task) ? lines.tasks : lines.requests
    else { return false }
    var frames = [channel]
    frames.reserveCapacity(rest.count + 2)
    if let second { frames.append(second) }
    frames.append(contentsOf: rest)
    return socket.send(frames) == .sent
  }

  /// While the scheduler's queue is full, its clients' lines are not read: that is how senders are made to wait.
  func pauseTasks(_ isPaused: Bool) {
    guard isPaused != areTasksPaused else { return }
    areTasksPaused = isPaused
    for (descriptor, line) in lines {
      guard case .client(_, .tasks) = line.owner else { continue }
      if isPaused { stopReading(descriptor) } else { read(descriptor) }
    }
  }

  // MARK: connections

  /// Takes in who is about to say its name: an engine does that before it registers, and the loop may hear of both in whichever order.
  func welcomeWaiting() {
    guard listenerReader != nil else { return }
    accept()
    for (descriptor, line) in lines { if case .nobody = line.owner { lineIsReadable(descriptor, atMost: 1) } }
  }

  private func accept() {
    do {
      while let socket = try listener.accept() {
        // Closed at once: that peer goes on with libzmq.
        if lines.count >= Self.limit { continue }
        lines[socket.descriptor] = Line(socket: socket)
        read(socket.descriptor)
      }
    } catch {
      logger.warning("nobody gets a further local line", metadata: ["reason": "\(error)"])
      if let reader = listenerReader { loop.forget(reader) }
      listenerReader = nil
    }
  }

  private func read(_ descriptor: Int32) {
    lines[descriptor]?.reader = loop.whenReadable(descriptor: descriptor) { [unowned self] in lineIsReadable(descriptor) }
  }

  private func stopReading(_ descriptor: Int32) {
    if let reader = lines[descriptor]?.reader.take() { loop.forget(reader) }
  }

  private func close(_ descriptor: Int32) {
    stopReading(descriptor)
    guard let line = lines.removeValue(forKey: descriptor) else { return }
    switch line.owner {
    case .nobody: break
    case .engine(let uuid, let identity):
      if engines[uuid] === line.socket {
        engines[uuid] = nil
        enginesByName[identity] = nil
      }
    case .client(let identity, let lane):
      guard var rest = clients[identity] else { return }
      switch lane {
      case .tasks: rest.tasks = nil
      case .requests: rest.requests = nil
      }
      clients[identity] = rest.tasks == nil && rest.requests == nil ? nil : rest
    }
  }

  // MARK: reading

  /// What an engine had sent before it was lost, as far as it is here.
  func readRest(of engine: EngineUUID) {
    for _ in 0..<Self.lastMessages / batch {
      guard let descriptor = engines[engine]?.descriptor, lineIsReadable(descriptor) else { return }
    }
  }

  /// What a client had sent by its line before it asked by another way what has become of that, even while nothing more is to be read for now.
  func readRest(ofClient client: Frame) {
    for _ in 0..<Self.lastMessages / batch {
      guard let descriptor = clients[client]?.tasks?.descriptor, lineIsReadable(descriptor, readsPaused: true) else { return }
    }
  }

  /// - Parameter readsPaused: reads on where nothing is read for now.
  /// - Returns: whether there may be more.
  @discardableResult
  private func lineIsReadable(_ descriptor: Int32, atMost most: Int? = nil, readsPaused: Bool = false) -> Bool {
    let limit = most ?? batch
    guard let socket = lines[descriptor]?.socket else { return false }
    var served: [Party] = []
    var count = 0
    reading: while count < limit {
      count += 1
      switch socket.receive() {
      case .message(let frames):
        guard let party = deliver(frames, from: descriptor) else { break }
        if !party.hasTurn {
          party.hasTurn = true
          served.append(party)
        }
      case .nothing:
        count = 0
        break reading
      case .closed:
        close(descriptor)
        count = 0
        break reading
      }
      // Closed by what it said, or not to be read for now.
      guard let line = lines[descriptor], line.socket === socket, readsPaused || line.reader != nil else { break }
    }
    for party in served {
      party.hasTurn = false
      party.turnEnds()
    }
    return count == limit
  }

  /// - Returns: the party that was given it.
  private func deliver(_ frames: [Frame], from descriptor: Int32) -> Party? {
    var frames = frames
    switch lines[descriptor]?.owner {
    case nil: return nil
    case .nobody:
      greet(frames, from: descriptor)
      return nil
    case .engine(_, let identity):
      guard let party = hops[frames[0]] else { break }
      frames[0] = identity
      party.fromEngine(frames)
      return party
    case .client(let identity, let lane):
      guard let party = channels[frames[0]], party.lane == lane else { break }
      frames[0] = identity
      party.fromClient(frames)
      return party
    }
    rejections.note("a message on a line that is for nobody")
    return nil
  }

  private func greet(_ frames: [Frame], from descriptor: Int32) {
    guard let greeting = try? session.open(frames), greeting.messageType == LocalSocket.greeting,
      let content = try? greeting.content()
    else { return turnAway(descriptor) }
    if let uuid = EngineUUID(told: content["uuid"]) {
      welcome(engine: uuid, at: descriptor, greeting)
    } else if let name = content["client"]?.stringValue, LocalSocket.isClientIdentity(name),
      let lane = content["lane"]?.stringValue.flatMap({ LocalSocket.Lane(rawValue: $0) })
    {
      welcome(client: Frame(name), lane, at: descriptor, greeting)
    } else {
      turnAway(descriptor)
    }
  }

  private func turnAway(_ descriptor: Int32) {
    rejections.note("a local socket whose owner did not say who it is")
    close(descriptor)
  }

  /// A second line of the same engine takes the place of the first, which it has given up.
  private func welcome(engine uuid: EngineUUID, at descriptor: Int32, _ greeting: Envelope) {
    guard let socket = lines[descriptor]?.socket else { return }
    guard answer(greeting, by: socket) else { return close(descriptor) }
    let identity = Frame(uuid.text)
    lines[descriptor]?.owner = .engine(uuid, identity)
    let former = engines.updateValue(socket, forKey: uuid)
    enginesByName[identity] = socket
    if let former { close(former.descriptor) }
  }

  /// A client has one line of each kind for as long as it lives: whoever comes with the name of another gets none.
  private func welcome(client: Frame, _ lane: LocalSocket.Lane, at descriptor: Int32, _ greeting: Envelope) {
    guard let socket = lines[descriptor]?.socket else { return }
    var own = clients[client] ?? ClientLines()
    switch lane {
    case .tasks:
      if own.tasks != nil { return turnAway(descriptor) }
      own.tasks = socket
    case .requests:
      if own.requests != nil { return turnAway(descriptor) }
      own.requests = socket
    }
    guard answer(greeting, by: socket) else { return close(descriptor) }
    clients[client] = own
    lines[descriptor]?.owner = .client(client, lane)
    if lane == .tasks, areTasksPaused { stopReading(descriptor) }
  }

  /// Before anything else that goes there. A line that was never taken, for want of descriptors, looks like any other to who has made it.
  private func answer(_ greeting: Envelope, by socket: LocalSocket) -> Bool {
    let answer = session.message(LocalSocket.welcome, content: ["status": "ok"], parentHeader: greeting.headerFrame)
    return socket.send(answer.frames) == .sent
  }
}

/// How a party sends by lines beside one of its libzmq sockets.
struct LineSide {
  let lines: LocalLines
  /// What its messages begin with on a line: a channel towards clients, a hop towards engines.
  let name: Frame
}
