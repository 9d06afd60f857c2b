import ApusMessaging
import Logging
import Transport

/// The client on its loop: reads the sockets and the callers' posts, and lets `ClientState` decide.
actor ClientConnection {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  // Isolation is what keeps accesses apart here; checking each of them again at run time took a few percent of all work.
  @exclusivity(unchecked) private var state: ClientState
  @exclusivity(unchecked) var wire: ClientSockets
  let queue: SubmissionQueue
  let roster: EngineRoster
  private var readers: [EventLoop.ReaderID] = []
  var lineReaders: [LocalSocket.Lane: EventLoop.ReaderID] = [:]
  /// The hub has told its engines.
  private(set) var areEnginesKnown = false
  /// The connection by which the hub tells who comes and goes has broken.
  private var wasDeaf = false
  private var handshakes = HandshakeRecord()
  /// The session of the hub that answered last.
  private var lastHub: SessionID?
  /// A further attempt at what waits for a line.
  var isDeliveryDue = false
  /// What callers have posted while subscriptions to its output were on their way.
  private var paused: (posts: [SubmissionQueue.Post], welcome: Int)?
  private var deadline: (instant: ContinuousClock.Instant, timer: EventLoop.TimerID)?

  /// Messages taken from a socket before others get their turn.
  static let batch = 512
  /// So long posts wait for subscriptions at most: a controller that does not answer serves all the same.
  private static let welcomePatience = Duration.seconds(1)

  init(loop: EventLoop, state: ClientState, wire: consuming ClientSockets, queue: SubmissionQueue, roster: EngineRoster) {
    self.loop = loop
    self.state = state
    self.wire = wire
    self.queue = queue
    self.roster = roster
  }

  enum Channel {
    case query, task, mux, control, broadcast

    var scope: MessageScope.Channel {
      switch self {
      case .query: .hub
      case .task: .task
      case .mux: .mux
      case .control: .control
      case .broadcast: .broadcast
      }
    }
  }

  /// Results before notifications: what an engine answered before it left counts.
  func start() {
    watch(wire.mux) { $0.repliesAreReadable(.mux) }
    watch(wire.task) { $0.repliesAreReadable(.task) }
    watch(wire.broadcast) { $0.repliesAreReadable(.broadcast) }
    watch(wire.control) { $0.repliesAreReadable(.control) }
    watch(wire.query) { $0.repliesAreReadable(.query) }
    watch(wire.output) { $0.outputIsReadable() }
    watch(wire.notification) { $0.notificationIsReadable() }
    watch(wire.monitor.socket) { $0.monitorIsReadable() }
    watch(wire.resultMonitors.task.socket) { $0.resultMonitorIsReadable(.task) }
    watch(wire.resultMonitors.mux.socket) { $0.resultMonitorIsReadable(.mux) }
    watch(wire.resultMonitors.broadcast.socket) { $0.resultMonitorIsReadable(.broadcast) }
    watch(wire.resultMonitors.notification.socket) { $0.notificationMonitorIsReadable() }
    watchLines()
    if wire.isInProcess { state.hubConnected(effects: &wire) }
    state.askForEngines(effects: &wire)
    askAgainLater()
  }

  /// A subscription takes a moment to arrive; who came or went in between is found by asking again.
  private func askAgainLater() {
    for delay in [Duration.milliseconds(200), .seconds(2)] {
      loop.schedule(after: delay) { [weak self] in self?.assumeIsolated { $0.askAgain() } }
    }
  }

  private func watch(_ socket: borrowing Socket, _ handler: @escaping @Sendable (isolated ClientConnection) -> Void) {
    readers.append(loop.whenReadable(socket) { [weak self] in self?.assumeIsolated { handler($0) } })
  }

  private func askAgain() {
    giveUpPendingLines()
    guard state.failure == nil, state.isHubReachable else { return }
    state.askForEngines(effects: &wire)
  }

  var isHubReachable: Bool { state.isHubReachable }

  /// Fails all that is under way and stops reading. The sockets close with the last reference to this actor.
  func close(_ error: ClientError) {
    // What was posted before goes out, as if nothing had held it up.
    if state.failure == nil {
      let posts = (paused?.posts ?? []) + queue.take()
      paused = nil
      read(posts)
    }
    wire.sendBatch()
    // To somebody who is there.
    if state.failure == nil, state.isHubReachable { wire.linger() }
    state.close(error, effects: &wire)
    didClose()
    queue.turnEnded()
  }

  private func didClose() {
    guard let failure = state.failure else { return }
    for reader in readers { loop.forget(reader) }
    readers = []
    for reader in lineReaders.values { loop.forget(reader) }
    lineReaders = [:]
    let posts = (paused?.posts ?? []) + queue.take()
    paused = nil
    for post in posts {
      if case .submit(let request) = post { state.submit(request, effects: &wire) }
    }
    roster.close(failure)
  }

  // MARK: callers

  func readPosts() {
    guard paused == nil else { return }
    let posts = queue.take()
    if !wire.hasStatus, posts.contains(where: \.awaitsOutput) { wire.subscribeToStatus() }
    wire.askForWelcome()
    if let welcome = wire.welcomes.unanswered {
      paused = (posts, welcome)
      loop.schedule(after: Self.welcomePatience) { [weak self] in
        self?.assumeIsolated {
          guard $0.paused?.welcome == welcome else { return }
          $0.wire.welcomes.giveUp()
          $0.goOn()
        }
      }
    } else {
      read(posts)
    }
  }

  /// With what had to wait, and then with what came meanwhile.
  private func goOn() {
    guard let posts = paused?.posts else { return }
    paused = nil
    read(posts)
    readPosts()
  }

  private func read(_ posts: [SubmissionQueue.Post]) {
    wire.beginBatch()
    var aborts: [(cancellation: Cancellation, tasks: [TaskNumber])] = []
    for post in posts {
      switch post {
      case .submit(let request): state.submit(request, effects: &wire)
      case .abort(let number, let cancellation):
        // One message serves many.
        if aborts.last?.cancellation == cancellation {
          aborts[aborts.count - 1].tasks.append(number)
        } else {
          aborts.append((cancellation, [number]))
        }
      }
    }
    queue.recycle(posts)
    for (cancellation, tasks) in aborts { state.abort(tasks, cancellation, effects: &wire) }
    afterEvents()
  }

  /// Takes balanced tasks back, of any client, that no engine has got.
  func abortUnplaced(_ ids: [MessageID]) {
    guard state.failure == nil else { return }
    wire.abort(ids, on: [], .interrupting)
  }

  // MARK: sockets

  private func repliesAreReadable(_ channel: Channel) {
    readReplies(channel, atMost: Self.batch)
    afterEvents()
  }

  func readReplies(_ channel: Channel, atMost limit: Int) {
    let now = ContinuousClock.now
    for _ in 0..<limit {
      do throws(ZeroMQError) {
        guard let frames = try receive(channel) else { break }
        read(frames, channel, isLocal: false, now: now)
      } catch {
        wire.warn("a socket could not be read", "\(error)")
        break
      }
    }
  }

  /// - Parameter isLocal: it came by a line, where nobody but the controller can have put buffers: they need not be looked at.
  func read(_ frames: [Frame], _ channel: Channel, isLocal: Bool, now: ContinuousClock.Instant) {
    if channel == .task, MessageBatch.isBatch(frames, identities: 0) { return readBatch(frames, now: now) }
    guard let (message, match) = open(frames, channel, isLocal: isLocal) else { return }
    // Who waits for it reads it as soon as it is awake.
    if isLocal { for buffer in message.buffers { buffer.readAhead() } }
    if channel == .query, let serial = wire.takeEngineQuery(match.number) {
      readEngines(message, asOf: serial)
    } else {
      // The result may be here, by the line: this was sent behind it.
      if !isLocal, channel == .task, message.replyStatus == .error, isOfLostResult(message) { readLine(.tasks, atMost: .max) }
      state.replied(to: match, TaskReply(message), now: now, effects: &wire)
    }
  }

  private func isOfLostResult(_ message: Envelope) -> Bool {
    (try? message.content())?["ename"]?.stringValue == RemoteError.resultLost
  }

  private func readBatch(_ frames: [Frame], now: ContinuousClock.Instant) {
    guard var batch = MessageBatchReader(frames, verifiedBy: wire.signer, .schedulerToClient) else {
      return wire.warn("dropped messages", Session.Rejection.forged.rawValue)
    }
    do throws(MessageError) {
      while let message = try batch.next() {
        if let match = wire.ids.match(message.parentHeaderFrame) {
          state.replied(to: match, TaskReply(message), now: now, effects: &wire)
        }
      }
    } catch { wire.warn("dropped messages", error.reason) }
  }

  private func receive(_ channel: Channel) throws(ZeroMQError) -> [Frame]? {
    switch channel {
    case .query: try wire.query.receive()
    case .task: try wire.task.receive()
    case .mux: try wire.mux.receive()
    case .control: try wire.control.receive()
    case .broadcast: try wire.broadcast.receive()
    }
  }

  /// - Returns: `nil` for what is no message, answers nothing of ours, or is not signed by this cluster's key. Replays find nobody waiting.
  private func open(_ frames: [Frame], _ channel: Channel, isLocal: Bool) -> (Envelope, RequestIDs.Match)? {
    guard let message = Envelope(frames) else {
      wire.warn("dropped messages", Session.Rejection.truncated.rawValue)
      return nil
    }
    guard let match = wire.ids.match(message.parentHeaderFrame) ?? coalesced(message) else { return nil }
    return isGenuine(message, .reply(channel.scope), readsBuffers: !isLocal) ? (message, match) : nil
  }

  /// - Parameter scope: of what our own parties say there.
  func isGenuine(_ message: Envelope, _ scope: MessageScope? = nil, readsBuffers: Bool = true) -> Bool {
    if let scope, message.isSealed {
      if message.hasSeal(by: wire.signer, scope, readsBuffers: readsBuffers) { return true }
    } else if wire.signer.verify(message.signature, message.signedParts) {
      return true
    }
    wire.warn("dropped messages", Session.Rejection.forged.rawValue)
    return false
  }

  /// A combined reply may name its request in the metadata alone (protocol section 9).
  private func coalesced(_ message: Envelope) -> RequestIDs.Match? {
    (try? message.metadata())?["original_msg_id"]?.stringValue.flatMap { wire.ids.match($0) }
  }

  private func readEngines(_ message: Envelope, asOf serial: Int) {
    guard let content = try? message.content(), content["status"]?.stringValue == "ok", let list = content["engines"]?.objectValue
    else {
      return wire.warn("the hub did not tell its engines", message.contentFrame.text)
    }
    wire.isOwnController = content["batches"]?.isTruthy ?? false
    wire.readsRanges = content["ranges"]?.isTruthy ?? false
    wire.welcomes.areGiven = content["welcomes"]?.isTruthy ?? false
    let kinds = content["kinds"]?.objectValue
    let own = Set((content["own"]?.arrayValue ?? []).compactMap(\.intValue))
    let arrivals = content["arrivals"]?.objectValue
    let engines = list.members.compactMap { id, uuid -> RegisteredEngine? in
      guard let number = Int(id), let uuid = uuid.stringValue else { return nil }
      return RegisteredEngine(
        id: EngineID(number), uuid: EngineUUID(uuid), kind: EngineKind(told: kinds?[id]), isOwn: own.contains(number),
        arrival: arrivals?[id]?.intValue)
    }
    if let lastHub, lastHub != message.sessionID {
      reopenLine()
      // Subscriptions are made again, over a connection of their own.
      wire.welcomes.subscribed()
    }
    lastHub = message.sessionID
    state.engines(
      engines, asOf: serial, hub: message.sessionID, journal: content["journal"]?.stringValue, isOwn: wire.isOwnController,
      now: .now, effects: &wire)
    areEnginesKnown = true
    // A moment later, if a line is about to be opened: what comes first decides about the way of all.
    if !wire.areLinesPending { roster.becomeKnown() }
  }

  private func outputIsReadable() {
    for _ in 0..<Self.batch {
      do throws(ZeroMQError) {
        guard let frames = try wire.output.receive() else { break }
        if wire.takeWelcome(frames) {
          if let paused, wire.welcomes.hasCome(paused.welcome) { goOn() }
          continue
        }
        // Cheap questions first: most of what comes is other clients' output.
        guard let message = Envelope(frames), let match = wire.ids.match(message.parentHeaderFrame),
          let handle = state.handle(for: match), isGenuine(message)
        else { continue }
        if message.messageType == .status {
          if (try? message.content())?["execution_state"]?.stringValue == "idle" { state.isIdle(match, effects: &wire) }
        } else if wire.deliver(message, to: handle) {
          state.printed(match, effects: &wire)
        }
      } catch {
        wire.warn("a socket could not be read", "\(error)")
        break
      }
    }
    afterEvents()
  }

  private func notificationIsReadable() {
    while let frames = (try? wire.notification.receive()) ?? nil {
      guard let message = Envelope(frames), isGenuine(message), let type = message.messageType, let content = try? message.content()
      else {
        continue
      }
      switch type {
      case .registrationNotification:
        if let engine = Self.engine(content) { state.engineRegistered(engine, by: message.sessionID, effects: &wire) }
      case .unregistrationNotification:
        guard let engine = Self.engine(content) else { continue }
        // What it answered may wait in other sockets.
        readLines(atMost: .max)
        for channel in [Channel.mux, .broadcast, .control] { readReplies(channel, atMost: .max) }
        state.engineLeft(engine, by: message.sessionID, effects: &wire)
      case .shutdownNotification:
        readLines(atMost: .max)
        for channel in [Channel.query, .mux, .task, .broadcast, .control] { readReplies(channel, atMost: .max) }
        state.close(
          ClientError(.controllerLost, "the controller was shut down", advice: "Start a cluster (apus start), then connect again."),
          effects: &wire)
      default: break
      }
    }
    afterEvents()
  }

  private static func engine(_ content: JSONObject) -> RegisteredEngine? {
    guard let id = content["id"]?.intValue, let uuid = content["uuid"]?.stringValue else { return nil }
    return RegisteredEngine(
      id: EngineID(id), uuid: EngineUUID(uuid), kind: EngineKind(told: content["kind"]),
      isOwn: content["own"]?.isTruthy ?? false, arrival: content["arrival"]?.intValue)
  }

  private func monitorIsReadable() {
    while let event = (try? wire.monitor.next()) ?? nil {
      switch event {
      case .connected: state.hubConnected(effects: &wire)
      case .disconnected: state.hubDisconnected(now: .now)
      case .handshakeFailed:
        if handshakes.failed() {
          wire.warn(
            "connections to the controller end while keys are exchanged",
            "is its CURVE key another one, or is there a tunnel with nobody behind it?")
        }
      case .ready: handshakes.succeeded()
      }
    }
    afterEvents()
  }

  private func resultMonitorIsReadable(_ channel: Channel) {
    while let event = nextEvent(channel) {
      guard case .disconnected = event else { continue }
      // What had arrived counts, by whichever way.
      readLines(atMost: .max)
      readReplies(channel, atMost: .max)
      state.connectionBroke(
        channel == .task ? .balanced : channel == .mux ? .direct : .broadcast, sparing: wire.lines.waitingRequests, effects: &wire)
    }
    afterEvents()
  }

  /// What the hub has said while this connection was broken was not heard.
  private func notificationMonitorIsReadable() {
    while let event = (try? wire.resultMonitors.notification.next()) ?? nil {
      switch event {
      case .disconnected: wasDeaf = true
      case .connected where wasDeaf:
        wasDeaf = false
        askAgainLater()
      case .connected, .ready, .handshakeFailed: break
      }
    }
  }

  private func nextEvent(_ channel: Channel) -> SocketMonitor.Event? {
    switch channel {
    case .task: (try? wire.resultMonitors.task.next()) ?? nil
    case .mux: (try? wire.resultMonitors.mux.next()) ?? nil
    case .broadcast: (try? wire.resultMonitors.broadcast.next()) ?? nil
    case .query, .control: nil
    }
  }

  /// Who is there now, the hub tells: the controller of before, which is asked what became of the tasks, or another.
  /// - Parameter unsent: requests that it has not taken any more.
  func lineBroke(_ lane: LocalSocket.Lane, _ unsent: [Request]) {
    let channels: [ClientState.Channel] = lane == .tasks ? [.balanced] : [.direct, .broadcast]
    for channel in channels { state.connectionBroke(channel, taking: unsent, effects: &wire) }
  }

  // MARK: after each turn

  func afterEvents() {
    wire.endTurn()
    queue.turnEnded()
    if state.failure != nil { return didClose() }
    deliverLater()
    guard let next = state.nextDeadline else { return }
    if let deadline {
      if deadline.instant <= next { return }
      loop.cancel(deadline.timer)
    }
    let timer = loop.schedule(at: next) { [weak self] in
      self?.assumeIsolated {
        $0.deadline = nil
        $0.state.expire(now: .now, effects: &$0.wire)
        $0.afterEvents()
      }
    }
    deadline = (next, timer)
  }
}
