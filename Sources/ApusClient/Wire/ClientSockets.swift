import ApusMessaging
import Logging
import Transport

/// The client's seven sockets, which are also its state's effects (protocol section 3).
struct ClientSockets: ~Copyable, ClientEffects {
  let query: Socket
  let monitor: SocketMonitor
  /// Of the sockets by which results and notifications come.
  let resultMonitors: ResultMonitors
  let task: Socket
  let mux: Socket
  let control: Socket
  let broadcast: Socket
  let notification: Socket
  let output: Socket

  /// Tell when a connection breaks.
  struct ResultMonitors: ~Copyable {
    let task: SocketMonitor
    let mux: SocketMonitor
    let broadcast: SocketMonitor
    let notification: SocketMonitor
  }

  /// To a controller of this host.
  var lines: ClientLines

  let signer: Signer
  let ids: RequestIDs
  private var headers: HeaderWriter
  private let queue: SubmissionQueue
  private let roster: EngineRoster
  private let maximumOutputBytes: Int
  private let hasListener: Bool
  /// There is no connection then that could break, and no monitor that tells of it.
  let isInProcess: Bool
  private let logger: Logger
  private var warned: Set<String> = []
  private(set) var hasStatus = false
  var welcomes: Welcomes
  /// The hub has said that its controller is one of Apus's: it reads batches and seals.
  var isOwnController = false
  /// And ids as ranges.
  var readsRanges = false
  /// Balanced tasks of this turn.
  private var batch = MessageBatchWriter()
  /// Which of our queries ask for the engines, and as of when.
  private(set) var engineQueries: [TaskNumber: Int] = [:]
  /// The seal of the message before, whose buffers the next one may have too.
  private var lastSeal: (buffers: ArraySlice<Frame>, seal: Frame)?
  private var engineIdentities: [EngineUUID: Frame] = [:]

  /// Connects; that somebody listens shows later.
  static func connect(
    _ file: ConnectionFile, in context: Context, ids: RequestIDs, queue: SubmissionQueue, roster: EngineRoster,
    configuration: ClientConfiguration, logger: Logger
  ) throws(ClientError) -> ClientSockets {
    guard case .client(let notificationPort, let broadcastPort, _) = file.side else {
      throw ClientError(
        .connectionFile, "this is the connection of an engine", advice: "Use the file whose name ends in -client.json.")
    }
    let route = configuration.inProcess.map { ControllerRoute.inProcess(name: $0.name) } ?? ControllerRoute(file)
    do throws(ZeroMQError) {
      var curve: (keys: CurveKeyPair, server: String)?
      if route.isTCP, let server = file.curveServerKey { curve = (try .generate(), server) }
      func socket(_ kind: Socket.Kind) throws(ZeroMQError) -> Socket {
        let socket = try Socket(kind, in: context)
        try socket.prepare(for: route, curve: curve)
        return socket
      }
      func connected(_ kind: Socket.Kind, _ port: Int) throws(ZeroMQError) -> Socket {
        let socket = try socket(kind)
        try socket.connect(route.endpoint(port))
        return socket
      }
      func unconnected(as identity: String?) throws(ZeroMQError) -> Socket {
        let socket = try socket(.dealer)
        if let identity { try socket.set(.identity, Array(identity.utf8)) }
        return socket
      }
      // The notifications first: what the hub says after our first query is then heard.
      let notification = try socket(.sub)
      let notificationMonitor = try SocketMonitor(of: notification, in: context, name: "client-notification-\(ids.prefix)")
      try notification.connect(route.endpoint(notificationPort))
      try notification.set(.subscribe, [])
      let output = try connected(.sub, file.iopub)
      var identity: String?
      var lines = ClientLines()
      if case .local(let directory) = route {
        let name = LocalSocket.clientIdentity()
        identity = name
        lines = ClientLines(in: directory, identity: name, key: file.key)
      }
      let task = try unconnected(as: identity)
      let mux = try unconnected(as: identity)
      let broadcast = try unconnected(as: identity)
      let resultMonitors = ResultMonitors(
        task: try SocketMonitor(of: task, in: context, name: "client-task-\(ids.prefix)"),
        mux: try SocketMonitor(of: mux, in: context, name: "client-mux-\(ids.prefix)"),
        broadcast: try SocketMonitor(of: broadcast, in: context, name: "client-broadcast-\(ids.prefix)"),
        notification: notificationMonitor)
      try task.connect(route.endpoint(file.task))
      try mux.connect(route.endpoint(file.mux))
      try broadcast.connect(route.endpoint(broadcastPort))
      let control = try connected(.dealer, file.control)
      let query = try socket(.dealer)
      let monitor = try SocketMonitor(of: query, in: context, name: "client-\(ids.prefix)", tellsReadiness: true)
      try query.connect(route.endpoint(file.registration))
      return ClientSockets(
        query: query, monitor: monitor, resultMonitors: resultMonitors, task: task, mux: mux, control: control,
        broadcast: broadcast, notification: notification,
        output: output, lines: lines, key: file.key, ids: ids, queue: queue, roster: roster, configuration: configuration,
        logger: logger)
    } catch {
      throw ClientError(.messaging, "the sockets of a client could not be made: \(error)")
    }
  }

  private init(
    query: consuming Socket, monitor: consuming SocketMonitor, resultMonitors: consuming ResultMonitors, task: consuming Socket,
    mux: consuming Socket,
    control: consuming Socket,
    broadcast: consuming Socket, notification: consuming Socket, output: consuming Socket, lines: ClientLines, key: String,
    ids: RequestIDs,
    queue: SubmissionQueue, roster: EngineRoster, configuration: ClientConfiguration, logger: Logger
  ) {
    self.query = query
    self.monitor = monitor
    self.resultMonitors = resultMonitors
    self.task = task
    self.mux = mux
    self.control = control
    self.broadcast = broadcast
    self.notification = notification
    self.output = output
    self.lines = lines
    signer = Signer(key: Array(key.utf8))
    welcomes = Welcomes(signer: signer, session: ids.session)
    self.ids = ids
    headers = HeaderWriter(ids: ids, username: configuration.username)
    self.queue = queue
    self.roster = roster
    maximumOutputBytes = configuration.maximumOutputBytes
    hasListener = configuration.listener != nil
    if hasListener { try? self.output.set(.subscribe, Array(Self.dataTopic.utf8)) }
    isInProcess = configuration.inProcess != nil
    self.logger = logger
  }

  // MARK: batches

  /// Before the first effect of a batch.
  mutating func beginBatch() { headers.setDate() }

  // MARK: effects

  mutating func send(_ request: Request) {
    if request.awaitsOutput { subscribeToStatus() }
    let header = headers.header(request.number, request.type)
    let mayBeBatched = isOwnController && request.route == .balanced
    var frames: [Frame] = []
    frames.reserveCapacity(7 + request.buffers.count)
    switch request.route {
    case .control(let engine), .direct(let engine): frames.append(identity(of: engine.uuid))
    default: break
    }
    let delimiter = frames.count
    frames.append(.delimiter)
    frames.append(.empty)
    frames.append(header)
    frames.append(.emptyObject)
    frames.append(request.metadata)
    frames.append(request.content)
    frames.append(contentsOf: request.buffers)
    if mayBeBatched, batch.append(nil, frames[...]) {
      if batch.isFull { sendBatch() }
      return
    }
    sign(&frames, delimiter, Self.channel(of: request.route))
    // What was collected came before it: an abort must not overtake its task.
    sendBatch()
    switch request.route {
    case .hub: post(frames, .hub)
    case .control: post(frames, .control)
    case .direct: sendInOrder(frames, .mux, LocalSocket.Lane.mux, request)
    case .balanced: if !lines.send(task: frames) { post(frames, .task) }
    case .coalescing, .broadcast: sendInOrder(frames, .broadcast, LocalSocket.Lane.broadcast, request)
    }
  }

  /// Through libzmq.
  private mutating func post(_ frames: [Frame], _ channel: MessageScope.Channel) {
    do throws(ZeroMQError) {
      switch channel {
      case .hub: try query.send(frames)
      case .control: try control.send(frames)
      case .mux: try mux.send(frames)
      case .task: try task.send(frames)
      case .broadcast: try broadcast.send(frames)
      }
    } catch { warn("a message was not sent", "\(error)") }
  }

  // MARK: lines

  private mutating func sendInOrder(_ frames: [Frame], _ channel: MessageScope.Channel, _ name: Frame, _ request: Request) {
    if !lines.send(request: frames, on: name, of: request) { post(frames, channel) }
  }

  /// Asked here, in place: unoptimised code that copied the lines out of this struct released what it had not retained, and crashed.
  var areLinesPending: Bool { lines.isPending }

  mutating func deliverWaiting() { for message in lines.deliverWaiting() { postInstead(message) } }

  /// - Returns: requests that have not left. Tasks go by libzmq instead: what becomes of them is asked behind them.
  mutating func closeLine(_ lane: LocalSocket.Lane) -> [Request] {
    switch lane {
    case .tasks:
      for message in lines.closeTasks() { postInstead(message) }
      return []
    case .requests: return lines.closeRequests()
    }
  }

  /// - Parameter message: as it would have gone by a line.
  private mutating func postInstead(_ message: [Frame]) {
    let channel: MessageScope.Channel =
      message.first == LocalSocket.Lane.mux ? .mux : message.first == LocalSocket.Lane.task ? .task : .broadcast
    post(Array(message.dropFirst()), channel)
  }

  /// What has been sent is to go out though the sockets are about to be closed: whoever asks for something and closes wants it done.
  borrowing func linger() {
    try? task.set(.linger, Self.lingerMilliseconds)
    try? mux.set(.linger, Self.lingerMilliseconds)
    try? control.set(.linger, Self.lingerMilliseconds)
    try? broadcast.set(.linger, Self.lingerMilliseconds)
  }

  /// As engines.
  private static let lingerMilliseconds: Int32 = 1000

  /// What is collected leaves, and the memory of callers is let go of.
  mutating func endTurn() {
    sendBatch()
    askForWelcome()
    lastSeal = nil
    lines.turnEnded()
  }

  /// - Parameter delimiter: where it stands; the place of the signature follows.
  private mutating func sign(_ frames: inout [Frame], _ delimiter: Int, _ channel: MessageScope.Channel) {
    let dictionaries = frames[delimiter + 2...delimiter + 5]
    guard isOwnController else {
      frames[delimiter + 1] = signer.sign(dictionaries)
      return
    }
    let buffers = frames[(delimiter + 6)...]
    // What goes to many engines is read once.
    let former = lastSeal.flatMap { last in
      last.buffers.count == buffers.count && zip(last.buffers, buffers).allSatisfy { $0.isIdentical(to: $1) } ? last.seal : nil
    }
    let seal = signer.seal(dictionaries, buffers, .request(channel), buffersOf: former)
    frames[delimiter + 1] = seal
    if !buffers.isEmpty { lastSeal = (buffers, seal) }
  }

  private static func channel(of route: Request.Route) -> MessageScope.Channel {
    switch route {
    case .hub: .hub
    case .control: .control
    case .direct: .mux
    case .balanced: .task
    case .coalescing, .broadcast: .broadcast
    }
  }

  /// At the end of each turn, and before an abort: what is collected leaves.
  mutating func sendBatch() {
    guard !batch.isEmpty else { return }
    let frames = batch.take(signedBy: signer, .clientToScheduler)
    if !lines.send(task: frames) { post(frames, .task) }
  }

  mutating func abort(_ tasks: [MessageID], on engines: [RegisteredEngine], _ cancellation: Cancellation) {
    sendBatch()
    var members: JSONObject = ["msg_ids": JSONValue(tasks.map(\.text))]
    if cancellation.interrupts { members["interrupt"] = true }
    if let grace = cancellation.killAfter { members["kill_after"] = .double(grace / .seconds(1)) }
    let content = Frame(.object(members))
    for engine in engines { sendControl(.abortRequest, content, to: identity(of: engine.uuid)) }
    // The scheduler listens to what passes the control channel: without engines to tell, it is told by way of nobody.
    if engines.isEmpty { sendControl(.abortRequest, content, to: Self.nobody) }
  }

  /// Behind all that was sent before by libzmq: what arrived is known to the scheduler then.
  mutating func resume(_ tasks: [TaskNumber]) -> TaskNumber {
    sendBatch()
    let number = ids.next()
    let header = headers.header(number, .resumeRequest)
    // A million that wait are a few words, where they were numbered one after the other.
    let content =
      readsRanges && tasks.count <= TaskRanges.most
      ? Frame(.object(TaskRanges(ids.prefix, tasks.lazy.map(\.raw)).content))
      : Frame(["msg_ids": JSONValue(tasks.map { ids.id(of: $0).text })])
    var frames: [Frame] = [.delimiter, .empty, header, .emptyObject, .emptyObject, content]
    sign(&frames, 0, .task)
    post(frames, .task)
    return number
  }

  private static let nobody = Frame("nobody")

  private mutating func sendControl(_ type: MessageType, _ content: Frame, to identity: Frame) {
    let header = headers.header(ids.next(), type)
    var frames = [identity, .delimiter, .empty, header, .emptyObject, .emptyObject, content]
    sign(&frames, 1, .control)
    do { try control.send(frames) } catch {
      warn("a message was not sent", "\(error)")
    }
  }

  mutating func finish(_ handle: TaskHandle, _ ending: TaskEnding) {
    // Before the waiting caller goes on: it finds room where its task was.
    if handle.cost > 0 { queue.release(bytes: handle.cost) }
    handle.finish(ending)
  }

  /// - Returns: whether the message is output.
  func deliver(_ message: Envelope, to handle: TaskHandle) -> Bool {
    if let listener = handle.listener {
      listener.printed(handle.number, message)
      return message.messageType != .executeInput
    }
    guard let event = TaskOutput.Event(message) else { return false }
    handle.deliver(event, limit: maximumOutputBytes)
    return true
  }
  mutating func finishOutput(of handle: TaskHandle) { handle.finishOutput() }

  mutating func refuse(with error: ClientError) { queue.close(error) }

  mutating func announce(_ event: EngineEvent) {
    switch event {
    case .arrived(let engine):
      logger.debug("engine arrived", metadata: ["engine": "\(engine.id)", "uuid": "\(engine.uuid)"])
      subscribe(to: engine)
    case .departed(let engine):
      logger.debug("engine departed", metadata: ["engine": "\(engine.id)", "uuid": "\(engine.uuid)"])
      engineIdentities[engine.uuid] = nil
    }
    roster.apply(event)
  }

  mutating func awaits(_ engines: [RegisteredEngine]) { roster.await(engines) }
  mutating func givesUp(_ engines: [RegisteredEngine]) { roster.giveUp(engines) }

  mutating func kindLearned(of engine: RegisteredEngine) { roster.replace(engine) }

  /// Stock clients say nothing, and are told nothing new.
  private static let engineQuery = Frame("{\"batches\":true}")

  mutating func askForEngines(asOf serial: Int) {
    let number = ids.next()
    engineQueries[number] = serial
    let header = headers.header(number, .connectionRequest)
    var frames: [Frame] = [.delimiter, .empty, header, .emptyObject, .emptyObject, Self.engineQuery]
    sign(&frames, 0, .hub)
    do { try query.send(frames) } catch {
      warn("a message was not sent", "\(error)")
    }
  }

  /// - Returns: as of when the engines were asked for, if this answers such a query.
  mutating func takeEngineQuery(_ number: TaskNumber) -> Int? { engineQueries.removeValue(forKey: number) }

  private mutating func identity(of uuid: EngineUUID) -> Frame {
    if let frame = engineIdentities[uuid] { return frame }
    let frame = Frame(uuid.text)
    engineIdentities[uuid] = frame
    return frame
  }

  // MARK: output

  /// Kinds of output worth having of every engine. `status`, which comes twice a task, only when somebody waits for an end of output.
  private static let kinds = ["std", "displaypub", "execute_result", "error"]
  /// What a listener gets besides. Data publication has a topic of no engine.
  private static let furtherKinds = ["execute_input", "comm-"]
  static let dataTopic = "datapub"

  private mutating func subscribe(to engine: RegisteredEngine) {
    if hasListener {
      for kind in Self.furtherKinds { try? output.set(.subscribe, Array("engine.\(engine.id).\(kind)".utf8)) }
    }
    for kind in Self.kinds { try? output.set(.subscribe, Array("engine.\(engine.id).\(kind)".utf8)) }
    if hasStatus { try? output.set(.subscribe, Array("engine.\(engine.id).status".utf8)) }
    welcomes.subscribed()
  }

  mutating func subscribeToStatus() {
    guard !hasStatus else { return }
    hasStatus = true
    for engine in roster.engines { try? output.set(.subscribe, Array("engine.\(engine.id).status".utf8)) }
    welcomes.subscribed()
  }

  /// Behind all subscriptions of this turn.
  mutating func askForWelcome() {
    guard let topic = welcomes.next() else { return }
    try? output.set(.subscribe, Array(topic.utf8))
  }

  /// - Returns: whether this is the answer to one of those questions.
  mutating func takeWelcome(_ frames: [Frame]) -> Bool {
    guard welcomes.isAwaited, let topic = frames.first, welcomes.came(topic) else { return false }
    try? output.set(.unsubscribe, topic.bytes)
    return true
  }

  // MARK: reading

  mutating func warn(_ message: String, _ reason: String) {
    // Reasons are few and our own; each is said once.
    guard warned.count < 64, warned.insert(message + reason).inserted else { return }
    logger.warning("\(message)", metadata: ["reason": "\(reason)"])
  }
}
