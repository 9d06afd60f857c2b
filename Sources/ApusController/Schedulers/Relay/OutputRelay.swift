import ApusMessaging
import Logging
import Transport

/// What engines publish, passed on to all clients, byte for byte; clients pick out their own (protocol section 7.6).
///
/// Nobody misses what is for it because its subscription came later than its request: clients of ours ask whether it has come (`OutputWelcome`), and for those of
/// ipyparallel it waits here (`AwaitedReaders`).
actor OutputRelay {
  private nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private let back: Socket
  private var front: PublisherSocket
  private var session: Session
  private let welcome: OutputWelcome
  private var rejections: DroppedMessages
  private var events: TaskEventReporter
  /// An engine said that it shuts down.
  private let onShutdown: @Sendable (EngineUUID) -> Void
  private var audience = OutputAudience()
  private var isQuiet = false
  private var awaited = AwaitedReaders()
  private var awaitedTimer: EventLoop.TimerID?

  init(
    loop: EventLoop, front: consuming PublisherSocket, back: consuming Socket, session: Session, events: TaskEventStream,
    logger: Logger,
    onShutdown: @escaping @Sendable (EngineUUID) -> Void
  ) {
    self.loop = loop
    self.front = front
    self.back = back
    self.session = session
    welcome = OutputWelcome(signer: session.signer)
    self.events = TaskEventReporter(events, nil)
    self.onShutdown = onShutdown
    rejections = DroppedMessages("iopub", logger: logger)
  }

  func start() {
    loop.whenReadable(back) { [unowned self] in self.assumeIsolated { $0.backIsReadable() } }
    loop.whenReadable(front.socket) { [unowned self] in self.assumeIsolated { $0.frontIsReadable() } }
    tellAudience()
  }

  // MARK: who listens

  /// Clients' subscriptions came or went.
  private func frontIsReadable() {
    for _ in 0..<TaskScheduler.batch {
      guard let frames = front.receive() else { break }
      guard let bytes = frames.first?.bytes, let kind = bytes.first else { continue }
      let topic = String(decoding: bytes.dropFirst(), as: UTF8.self)
      let isSubscription = kind == 1
      audience.heard(topic, isSubscription: isSubscription)
      guard isSubscription else { continue }
      if topic.isEmpty { publish(awaited.subscribed()) } else if welcome.isAsked(by: topic) { front.send(answer(to: topic)) }
    }
    tellAudience()
  }

  private func answer(to topic: String) -> [Frame] { session.message(.outputWelcome, identities: [Frame(topic)]).frames }

  /// A client of ipyparallel has asked the hub where to connect: it listens to everything, and does not wait until it is heard.
  func awaitReader(_ client: SessionID) {
    awaited.expect(client, now: .now)
    // Engines that say nothing of their status as long as nobody listens are told before its first request comes.
    tellAudience()
    expireLater()
  }

  /// That client has gone.
  func forgetReader(_ client: SessionID) {
    guard !awaited.isEmpty else { return }
    publish(awaited.forget(client))
    tellAudience()
  }

  private func expireLater() {
    guard awaitedTimer == nil, let deadline = awaited.nextDeadline else { return }
    awaitedTimer = loop.schedule(at: deadline) { [weak self] in
      self?.assumeIsolated {
        $0.awaitedTimer = nil
        $0.publish($0.awaited.expire(now: .now))
        $0.tellAudience()
        $0.expireLater()
      }
    }
  }

  private func publish(_ messages: [[Frame]]) { for message in messages { front.send(message) } }

  /// Engines of ours read the subscriptions to what they publish: this one, which matches nothing, says that nobody listens to their status.
  private func tellAudience() {
    guard (audience.wantsStatus || !awaited.isEmpty) == isQuiet else { return }
    isQuiet.toggle()
    try? back.set(isQuiet ? .subscribe : .unsubscribe, Array(OutputAudience.quiet.utf8))
  }

  private func backIsReadable() {
    defer { events.turnEnds() }
    for _ in 0..<TaskScheduler.batch {
      let frames: [Frame]
      do {
        guard let received = try back.receive() else { return }
        frames = received
      } catch { return rejections.note("\(error)") }
      do throws(Session.Rejection) {
        let message = try session.open(frames)
        observe(message)
        if awaited.isEmpty { front.send(frames) } else { publish(awaited.pass(frames, for: message.parentSessionID)) }
      } catch { rejections.note(error.rawValue) }
    }
  }

  private func observe(_ message: Envelope) {
    guard let type = message.messageType else { return }
    if type == .shutdownReply, let session = message.sessionID {
      onShutdown(EngineUUID(session.text))
    } else if type == .status {
      if let id = startedTask(message) { events.report(id, .started) }
    } else if let kind = OutputKind(type), let id = message.parentID {
      // The first that is heard of code where nobody wants to know of engines' status.
      if kind == .executeInput { events.report(id, .started) }
      if !events.report(output: id, kind, message) {
        rejections.note("output that the task database is too slow for: it is not recorded")
      }
    }
  }

  /// The task that an engine says it has begun: engines are busy with other requests as well.
  private func startedTask(_ status: Envelope) -> MessageID? {
    guard Envelope.string("execution_state", of: status.contentFrame) == "busy",
      let type = Envelope.string("msg_type", of: status.parentHeaderFrame).map({ MessageType($0) }),
      type == .applyRequest || type == .executeRequest
    else { return nil }
    return status.parentID
  }
}
