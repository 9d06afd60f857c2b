import ApusMessaging
import Glibc
import Synchronization
import Transport

/// Getting a place at the controller, and getting it back.
extension Engine {
  func begin() {
    do { try connectRegistrar() } catch {
      return fail(EngineError(.badConnection, "Cannot connect to the controller at \(endpoint(connection.registration)): \(error)"))
    }
    decide { $0.start(effects: &$1) }
  }

  func decide(_ event: (inout RegistrationState, inout RegistrationActions) -> Void) {
    var actions = RegistrationActions()
    event(&registration, &actions)
    for action in actions.list { perform(action) }
    if case .registered = registration.phase {
      connected.store(true, ordering: .relaxed)
    } else {
      connected.store(false, ordering: .relaxed)
    }
  }

  private func perform(_ action: RegistrationActions.Action) {
    switch action {
    case .sendRegistration(let id, let resuming, let wasCutOff): sendRegistration(id, resuming, wasCutOff)
    case .setDeadline(let generation, let delay):
      loop.schedule(after: delay) { [weak self] in
        self?.assumeIsolated { $0.decide { $0.deadlinePassed(generation, effects: &$1) } }
      }
    case .join(let id, let period, let before): join(id, period, before)
    case .searchController: searchController()
    case .giveUp(let error): fail(error.code == .registrationTimedOut ? unreachable(error) : error)
    }
  }

  /// libzmq tries again and again, and says of none of these what it was.
  private func unreachable(_ error: EngineError) -> EngineError {
    EngineError(
      error.code,
      """
      \(error.description): nobody answered at \(endpoint(connection.registration)). A firewall, a name that does not resolve and the address \
      of another network look like this: see the controller's --location and --ports, and this engine's --ssh
      """)
  }

  private func fail(_ error: EngineError) {
    EngineLog.log(.critical, error.description)
    mailbox.put { contents in
      if contents.outcome == nil { contents.outcome = .failure(error) }
      contents.exitCode = 255
    }
  }

  // MARK: the registration socket

  private func connectRegistrar() throws(ZeroMQError) {
    forget(.registrar)
    forget(.monitor)
    monitor = nil
    registrar = nil
    route = ControllerRoute(connection, location: configuration.location)
    let fresh = try socket(.dealer, linger: 1000)
    let watcher = try monitor(of: fresh, named: "registrar", tellsReadiness: true)
    handshakes = HandshakeRecord()
    let endpoint = endpoint(connection.registration)
    EngineLog.log(.info, "Registering with the controller at \(endpoint)")
    try fresh.connect(endpoint)
    readers[.registrar] = loop.whenReadable(fresh) { [weak self] in self?.assumeIsolated { $0.readRegistrar() } }
    readers[.monitor] = loop.whenReadable(watcher.socket) { [weak self] in self?.assumeIsolated { $0.readMonitor() } }
    registrar = consume fresh
    monitor = consume watcher
  }

  private func sendRegistration(_ id: EngineID?, _ resuming: Bool, _ wasCutOff: Bool) {
    var content: JSONObject = [
      "uuid": .string(engineSession.uuid.text), "implementation": "apus", "kind": .string(configuration.kind.rawValue),
      "batches": true,
    ]
    for (key, value) in originContent { content[key] = value }
    if let id { content["id"] = .int(id.number) }
    if !configuration.resources.isEmpty {
      content["resources"] = .object(
        JSONObject(members: configuration.resources.sorted { $0.key < $1.key }.map { (key: $0.key, value: .double($0.value)) }))
    }
    if resuming { content["resume"] = true }
    // From whom: one that has just taken that one's place has lost nothing.
    if wasCutOff { content["cut_off"] = controllerSession.map { .string($0.text) } ?? true }
    let running = mailbox.read { contents in contents.running.map { ($0, contents.runningMetadata) } }
    if resuming, replies.keepsReplies, let (id, metadata) = running {
      content["running"] = .object(JSONObject(members: [(key: id.text, value: .int(KeptReplies.attempt(of: metadata)))]))
    }
    sendToHub(.registrationRequest, .object(content))
  }

  func sendToHub(_ type: MessageType, _ content: JSONValue) {
    let message = engineSession.message(
      type, content: Frame(content), parent: .emptyObject, metadata: engineSession.engineMetadata, identities: [])
    do { try registrar?.send(message.frames) } catch { EngineLog.log(.error, "\(type) was not sent: \(error)") }
  }

  private func readRegistrar() {
    while let frames = (try? registrar?.receive()) ?? nil {
      do {
        let envelope = try session.open(frames)
        guard envelope.messageType == .registrationReply else {
          if envelope.messageType == .shutdownRequest { retire() }
          EngineLog.log(.debug, "The controller sent \(envelope.messageType?.text ?? "something") on the registration socket")
          continue
        }
        let content = try envelope.content()
        if let answer = Self.answer(content) {
          if case .accepted = answer { met(envelope.sessionID, hasJournal: content["journal"] != nil) }
          decide { $0.answered(answer, effects: &$1) }
        } else {
          reject("a registration reply without an id", on: "registration")
        }
      } catch let error as Session.Rejection {
        reject(error.rawValue, on: "registration")
      } catch { reject("\(error)", on: "registration") }
    }
  }

  /// A controller with a journal that took the place of another is to be told what this engine has.
  private func met(_ session: SessionID?, hasJournal: Bool) {
    if let before = controllerSession, before != session {
      // That the connections to the one before have ended may not have been read yet, and is not to be taken for a loss of this one's.
      readShellMonitor()
      readControlMonitor()
      // Until it is given: the controller may answer twice.
      if hasJournal { owesAccount = true }
    }
    controllerSession = session
    replies.keepReplies(hasJournal)
  }

  /// The shell has the old sockets, which libzmq connects again by itself, and gets a new line. What they have brought from the controller before counts.
  private func account() {
    owesAccount = false
    let local = localConnection()
    line = local
    mailbox.put { contents in
      contents.local = local
      contents.renewsLine = true
      contents.owesAccount = true
    }
  }

  static func answer(_ content: JSONObject) -> RegistrationState.Answer? {
    guard content["status"]?.stringValue == "ok" else {
      return .refused(
        name: content["ename"]?.stringValue ?? "Error", value: content["evalue"]?.stringValue ?? "no reason was given")
    }
    guard let id = content["id"]?.intValue, id >= 0, id < Int(Int32.max) else { return nil }
    let period = content["hb_period"]?.doubleValue ?? 3000
    return .accepted(EngineID(id), heartbeatPeriod: .milliseconds(min(max(period, 1), 86_400_000)))
  }

  private func readMonitor() {
    while let event = (try? monitor?.next()) ?? nil {
      switch event {
      case .connected: decide { $0.connected(effects: &$1) }
      case .disconnected: if !isLeaving { decide { $0.disconnected(effects: &$1) } }
      case .handshakeFailed:
        if handshakes.failed() {
          EngineLog.log(
            .warning,
            "Connections to the controller end while keys are exchanged: is its CURVE key another one, or is there a tunnel with nobody behind it?"
          )
        }
      case .ready: handshakes.succeeded()
      }
    }
  }

  // MARK: joined

  private func join(_ id: EngineID, _ period: Duration, _ before: EngineID?) {
    heart.reset()
    heartbeatPeriod = period
    if before == id, !hasStaleSockets {
      EngineLog.log(.info, "The connection to the controller is back; the engine keeps id \(id)")
      if owesAccount { account() }
      return
    }
    publish(id)
    do { try connectSockets(id) } catch {
      return fail(EngineError(.badConnection, "Cannot connect to the controller: \(error)"))
    }
    hasStaleSockets = false
    if before == nil {
      mailbox.put { $0.outcome = .success(id) }
      scheduleDraining()
    } else {
      EngineLog.log(.info, "Joined the new controller with id \(id)")
      isHeartWanted = true
      if owesAccount { account() }
    }
    // A scheduler that does not listen (yet) must not keep the engine out: libzmq goes on trying.
    loop.schedule(after: .seconds(1)) { [weak self] in
      self?.assumeIsolated {
        $0.missingShellConnections = 0
        $0.openPublisher()
      }
    }
  }

  private func connectSockets(_ id: EngineID) throws(ZeroMQError) {
    guard case .engine(_, _, let leaves) = connection.side, !leaves.isEmpty else {
      throw ZeroMQError(code: EINVAL, action: "the connection information is not for engines")
    }
    forget(.publisher)
    let iopub = try socket(.xpub, linger: 1000)
    try iopub.set(.sendHighWaterMark, OutputPublisher.queueLimit)
    try iopub.set(.xpubNoDrop, 1)
    try iopub.connect(endpoint(connection.iopub))
    readers[.publisher] = loop.whenReadable(iopub) { [weak self] in self?.assumeIsolated { $0.openPublisher() } }
    unopenedPublisher = consume iopub

    forget(.control)
    forget(.controlMonitor)
    controlMonitor = nil
    let freshControl = try socket(.router, linger: 1000)
    let controlWatcher = try monitor(of: freshControl, named: "control")
    try freshControl.connect(endpoint(connection.control))
    readers[.control] = loop.whenReadable(freshControl) { [weak self] in self?.assumeIsolated { $0.readControl() } }
    readers[.controlMonitor] = loop.whenReadable(controlWatcher.socket) { [weak self] in
      self?.assumeIsolated { $0.readControlMonitor() }
    }
    control = consume freshControl
    controlMonitor = consume controlWatcher

    forget(.shellMonitor)
    shellMonitor = nil
    let shell = try socket(.router, linger: 1000)
    // It says so where it would drop something.
    try shell.set(.routerMandatory, 1)
    let watcher = try monitor(of: shell, named: "shell", tellsReadiness: true)
    let ports = [connection.mux, connection.task, leaves[id.number % leaves.count]]
    missingShellConnections = ports.count
    shellConnections = ports.count
    readyShellConnections = []
    for port in ports { try shell.connect(endpoint(port)) }
    readers[.shellMonitor] = loop.whenReadable(watcher.socket) { [weak self] in self?.assumeIsolated { $0.readShellMonitor() } }
    shellMonitor = consume watcher
    let handed = HandedSocket(shell)
    let local = localConnection()
    line = local
    mailbox.put { contents in
      contents.socket = handed
      contents.local = local
      contents.isConnected = false
    }
  }

  /// Past libzmq, if the controller offers it and runs on this host.
  private func localConnection() -> LocalSocket? {
    guard case .local(let directory) = route,
      let socket = LocalSocket(connectingTo: LocalSocket.linesPath(in: directory))
    else { return nil }
    let greeting = engineSession.message(
      LocalSocket.greeting, content: Frame(["uuid": .string(engineSession.uuid.text)]), parent: .emptyObject,
      metadata: .emptyObject, identities: [])
    return socket.send(greeting.frames) == .sent ? socket : nil
  }

  /// The relay has subscribed: what was published before would have been lost.
  private func openPublisher() {
    guard let id = registration.id, let iopub = unopenedPublisher.take() else { return startHeartWhenConnected() }
    forget(.publisher)
    publisher.open(HandedSocket(iopub), id: id)
    if !isKernelReady || isHeartWanted { publisher.status(.starting, parent: .emptyObject) }
    startHeartWhenConnected()
  }

  private func readShellMonitor() {
    while let event = (try? shellMonitor?.next()) ?? nil {
      switch event {
      case .connected:
        missingShellConnections -= 1
        if missingShellConnections == 0 { startHeartWhenConnected() }
      case .ready(let descriptor):
        readyShellConnections.insert(descriptor)
        tellConnections()
      case .disconnected(let descriptor):
        readyShellConnections.remove(descriptor)
        tellConnections()
        connectionBroke()
      case .handshakeFailed: break
      }
    }
  }

  private func tellConnections() { mailbox.put { $0.isConnected = readyShellConnections.count >= shellConnections } }

  private func readControlMonitor() {
    while let event = (try? controlMonitor?.next()) ?? nil {
      if case .disconnected = event { connectionBroke() }
    }
  }

  /// Messages may have been lost with it: it broke, or something came by it that could not be taken over.
  nonisolated func lineEnded(_ ended: LocalSocket) {
    // By way of the loop: a line that was replaced has ended for that.
    perform { if $0.line === ended { $0.connectionBroke() } }
  }

  /// What was on its way is lost, and only we know: the controller is told, so that no task waits for an engine that never got it.
  private func connectionBroke() {
    guard !isLeaving, case .registered = registration.phase else { return }
    EngineLog.log(.warning, "A connection to the controller broke: what was on its way is lost")
    decide { $0.cutOff(effects: &$1) }
  }

  func kernelBecameReady() {
    isKernelReady = true
    isHeartWanted = true
    if let id = registration.id { EngineLog.log(.info, "Completed registration with id \(id)") }
    startHeartWhenConnected()
  }

  /// A controller may register an engine on its first pong and send work at once: by then the shell must be connected, and its output
  /// be heard.
  func startHeartWhenConnected() {
    guard isHeartWanted, isKernelReady, missingShellConnections <= 0, unopenedPublisher == nil else { return }
    isHeartWanted = false
    startHeart()
  }

  // MARK: lost and found

  private func searchController() {
    guard !isLeaving else { return }
    EngineLog.log(.warning, "Lost the connection to the controller; waiting for it")
    watchConnectionFile()
  }

  private func watchConnectionFile() {
    // Also while it asks again: what answers at the old ports may be another controller, with another key.
    guard let path = configuration.connectionPath, registration.isAway, !isLeaving, !isWatchingFile else { return }
    isWatchingFile = true
    lookAtConnectionFile(path)
  }

  private func lookAtConnectionFile(_ path: String) {
    guard registration.isAway, !isLeaving else {
      isWatchingFile = false
      return
    }
    if let bytes = try? AtomicFile.read(path), let found = try? ConnectionFile(parsing: String(decoding: bytes, as: UTF8.self)),
      case .engine = found.side, found != connection
    {
      follow(found)
    }
    loop.schedule(after: .milliseconds(500)) { [weak self] in self?.assumeIsolated { $0.lookAtConnectionFile(path) } }
  }

  private func follow(_ found: ConnectionFile) {
    EngineLog.log(.info, "The connection file has changed: trying the new controller")
    connection = found
    hasStaleSockets = true
    var current = configuration
    current.connection = found
    session = Session(id: SessionID(engineSession.uuid.text), key: current.key)
    engineSession.changeKey(current.key)
    let key = current.key
    mailbox.put { $0.key = key }
    do { try connectRegistrar() } catch { EngineLog.log(.error, "Cannot connect to the new controller: \(error)") }
  }

  // MARK: the end

  /// What has ended it.
  struct Overrun {
    let task: MessageID
    let reason: String
  }

  /// Tells the controller and closes everything on the loop.
  func leave(because overrun: Overrun? = nil) {
    guard !isLeaving else { return }
    isLeaving = true
    if case .registered(let id) = registration.phase {
      // What it has not begun may run elsewhere.
      let last = mailbox.read { $0.lastBalanced }
      var content: JSONObject = ["id": .int(id.number), "begun": last.map { .string($0.text) } ?? .null]
      if let overrun { content["overran"] = ["task": .string(overrun.task.text), "reason": .string(overrun.reason)] }
      if !wasShutdownAnnounced { sendToHub(.unregistrationRequest, .object(content)) }
      // It leaves at once where there is a connection. Where a whole cluster ends, the controller may have gone a moment ago.
      try? registrar?.set(.linger, 200)
    } else {
      // Nobody is there: waiting for what cannot be delivered would only hold up the end.
      forgetUnsent()
    }
    registration.end()
    for place in Array(readers.keys) { forget(place) }
    publisher.close()
    unopenedPublisher = nil
    frontendHeart = nil
    frontendInput = nil
    monitor = nil
    shellMonitor = nil
    controlMonitor = nil
    registrar = nil
    control = nil
    ping = nil
    pong = nil
  }

  private func forgetUnsent() {
    try? registrar?.set(.linger, 0)
    try? control?.set(.linger, 0)
    publisher.forgetUnsent()
  }

  /// - Parameter grace: how long a running task may go on before the process ends under it.
  func stop(_ code: Int32, grace: Duration) {
    // If its connection breaks while the task goes on, it comes back as one that takes no other.
    isDraining = true
    mailbox.put { contents in if contents.exitCode == nil { contents.exitCode = code } }
    loop.schedule(after: grace) { [weak self] in
      self?.assumeIsolated { engine in
        guard !engine.isLeaving else { return }
        EngineLog.log(.warning, "A task is still running: ending the process under it")
        engine.leave()
        // The goodbye is on its way in libzmq's own thread.
        engine.loop.schedule(after: .milliseconds(100)) { _exit(code) }
      }
    }
  }
}
