import ApusMessaging
import Logging
import Transport

/// Direct requests: a client names an engine, and the relay swaps the two identities (protocol section 3.1). One for `mux`, one for `control`.
actor RequestRelay: DeliversLater {
  enum Channel: String, Sendable {
    case mux, control

    var scope: MessageScope.Channel {
      switch self {
      case .mux: .mux
      case .control: .control
      }
    }
  }

  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private let channel: Channel
  private var front: BoundedRouter
  private var back: EngineSocket
  private var session: Session
  private var rejections: DroppedMessages
  private var events: TaskEventReporter
  private var requests = DirectRequests()
  var deliveryTimer: EventLoop.TimerID?
  /// Messages of one turn: so many leave together.
  private static let batch = 32
  /// So many batches are read before an engine is given up.
  private static let lastBatches = 64
  /// What a turn has read and will send.
  private var outbox: [Envelope] = []
  /// Lines of own peers on this host; of the `mux` channel only.
  private let lines: LocalLines?
  /// Told of the tasks that a client wants aborted: those in the queue never reach an engine.
  private let onAbort: (@Sendable ([MessageID]) -> Void)?
  /// What was last asked for, and by whom.
  private var lastAbort: Int?

  init(
    _ channel: Channel, loop: EventLoop, front: consuming BoundedRouter, back: consuming EngineSocket, session: Session,
    events: TaskEventStream,
    lines: LocalLines? = nil, logger: Logger, onAbort: (@Sendable ([MessageID]) -> Void)? = nil
  ) {
    self.channel = channel
    self.loop = loop
    self.front = front
    self.back = back
    self.session = session
    self.events = TaskEventReporter(events, .mux)
    self.lines = lines
    self.front.side = lines.map { LineSide(lines: $0, name: LocalSocket.Lane.mux) }
    self.back.side = lines.map { LineSide(lines: $0, name: Self.hop) }
    self.onAbort = onAbort
    rejections = DroppedMessages(channel.rawValue, logger: logger)
  }

  /// How libzmq calls the relay of `mux` towards engines.
  private static let hop = Frame("mux_out")

  func start() {
    lines?.serve(
      LocalSocket.Lane.mux, hops: [Self.hop],
      LocalLines.Party(
        lane: .requests,
        fromClient: { [unowned self] frames in self.assumeIsolated { $0.lineSent(frames, isRequest: true) } },
        fromEngine: { [unowned self] frames in self.assumeIsolated { $0.lineSent(frames, isRequest: false) } },
        turnEnds: { [unowned self] in
          self.assumeIsolated {
            $0.events.turnEnds()
            $0.deliverLater()
          }
        }))
    loop.whenReadable(front.socket) { [unowned self] in self.assumeIsolated { $0.frontIsReadable() } }
    loop.whenReadable(back.socket) { [unowned self] in self.assumeIsolated { $0.backIsReadable() } }
  }

  func engineRegistered(_ uuid: EngineUUID, isOwn: Bool) { back.engineRegistered(uuid, isOwn: isOwn) }

  /// What the engine has not answered has failed. Nobody is sent that: whoever asked hears of the loss. A reply that comes all the same is
  /// passed on.
  func engineLost(_ uuid: EngineUUID, id: EngineID, cause: EngineLoss) {
    // What it had sent before counts, as far as it is here.
    for _ in 0..<Self.lastBatches { if !readReplies() { break } }
    lines?.readRest(of: uuid)
    back.engineLost(uuid)
    for task in requests.lost(uuid) {
      events.report(task, .lost(engine: uuid, cause: cause))
      end(task, on: uuid, .lost, .engineDied(id, running: task, cause: cause.sentence))
    }
    events.turnEnds()
  }

  /// Tells one of our own engines that it need not keep these replies any longer.
  func repliesWritten(_ ids: [MessageID], by uuid: EngineUUID) {
    let identity = Frame(uuid.text)
    guard back.isOwn(identity) else { return }
    let notice = session.message(
      .repliesWritten, content: .object(TaskRanges(ids).content), sealedFor: .request(channel.scope))
    back.send(to: identity, Self.controller, notice.payload)
    deliverLater()
  }

  /// Who speaks where a client would.
  private static let controller = Frame("controller")

  private func frontIsReadable() {
    for _ in 0..<Self.batch {
      guard let received = receive(front.socket, .request(channel.scope)) else { break }
      if let message = received.envelope { read(request: message) }
    }
    // Together, when what there was is read: see `TaskSchedulerSockets`.
    sendRequests(inOrderOfLine: false)
    events.turnEnds()
    deliverLater()
  }

  private func read(request message: Envelope) {
    // in: client, engine, message. out: engine, client, message.
    guard let id = message.messageID else { return }
    if channel == .mux, message.messageType?.text.hasSuffix("_request") ?? false {
      // Comm messages and the like want no answer, and would count as unfinished for ever.
      submitted(message, id: id, to: message.frames[1])
    } else if message.messageType == .abortRequest, let onAbort {
      let ids = abortedIDs(message)
      if let session = message.sessionID { noteAbort(of: ids, by: session, content: message.contentFrame) }
      onAbort(ids)
    }
    outbox.append(message)
  }

  /// A client tells every engine: that is one event.
  private func noteAbort(of ids: [MessageID], by client: SessionID, content: Frame) {
    var hasher = Hasher()
    hasher.combine(client)
    hasher.combine(content)
    let mark = hasher.finalize()
    guard mark != lastAbort else { return }
    lastAbort = mark
    for id in ids { events.report(id, .abortRequested(by: client)) }
  }

  private func sendRequests(inOrderOfLine: Bool) {
    for message in outbox {
      // Stock engines cannot read what our clients seal.
      let payload =
        message.isSealed && !back.isOwn(message.frames[1]) ? message.payload(signedBy: session.signer) : message.frames[2...]
      back.send(to: message.frames[1], message.frames[0], payload, inOrderOfLine: inOrderOfLine)
    }
    outbox.removeAll(keepingCapacity: true)
  }

  private func backIsReadable() { _ = readReplies() }

  /// - Returns: whether there may be more.
  private func readReplies() -> Bool {
    var count = 0
    while count < Self.batch, let received = receive(back.socket, .reply(channel.scope)) {
      count += 1
      if let message = received.envelope { read(reply: message) }
    }
    sendReplies()
    events.turnEnds()
    deliverLater()
    return count == Self.batch
  }

  private func read(reply message: Envelope) {
    // Reported before it is sent: a client that has its answer may ask the hub about it.
    if channel == .mux, let id = message.parentID { answered(message, id: id, by: back.uuid(of: message.frames[0])) }
    outbox.append(message)
  }

  private func sendReplies() {
    for message in outbox { front.send(message.frames[1], message.frames[0], message.frames[2...]) }
    outbox.removeAll(keepingCapacity: true)
  }

  /// Lines wake no thread of libzmq's: each message goes on at once.
  private func lineSent(_ frames: [Frame], isRequest: Bool) {
    guard let message = open(frames, isRequest ? .request(channel.scope) : .reply(channel.scope)) else { return }
    if isRequest {
      read(request: message)
      sendRequests(inOrderOfLine: true)
    } else {
      read(reply: message)
      sendReplies()
    }
  }

  // MARK: what becomes of direct requests

  private func submitted(_ message: Envelope, id: MessageID, to identity: Frame) {
    let uuid = back.uuid(of: identity)
    guard requests.submitted(id, to: uuid) else { return }
    events.report(id, .submitted(request: message, engine: uuid))
    if back.isKnown(identity) { return }
    // Nobody answers it, and a record without an end would be kept for ever.
    _ = requests.answered(id, by: uuid)
    end(id, on: uuid, .refused, .notSent(id, to: uuid))
  }

  private func answered(_ reply: Envelope, id: MessageID, by uuid: EngineUUID) {
    guard requests.answered(id, by: uuid) else { return }
    let outcome = TaskOutcome(of: reply)
    if outcome == .aborted { events.report(id, .aborted) }
    events.report(id, .finished(reply: reply, engine: uuid, outcome: outcome))
  }

  /// Without an answer of the engine's.
  private func end(_ task: MessageID, on uuid: EngineUUID, _ outcome: TaskOutcome, _ error: RemoteError) {
    let reply = session.message(.applyReply, content: error.content, metadata: ["status": "error", "engine": .string(uuid.text)])
    events.report(task, .finished(reply: reply, engine: uuid, outcome: outcome))
  }

  private func abortedIDs(_ message: Envelope) -> [MessageID] {
    guard let ids = try? message.content()["msg_ids"] else { return [] }
    return (ids.stringArrayValue ?? ids.stringValue.map { [$0] } ?? []).map { MessageID($0) }
  }

  /// - Returns: `nil` at the end; without an envelope, what was no message.
  private func receive(_ socket: borrowing Socket, _ scope: MessageScope) -> (envelope: Envelope?, Void)? {
    do throws(ZeroMQError) {
      guard let frames = try socket.receive() else { return nil }
      return (open(frames, scope), ())
    } catch {
      rejections.note("\(error)")
      return nil
    }
  }

  private func open(_ frames: [Frame], _ scope: MessageScope) -> Envelope? {
    do throws(Session.Rejection) {
      let envelope = try session.open(frames, sealedFor: scope)
      if envelope.identities.count >= 2 { return envelope }
      rejections.note("an identity is missing")
    } catch { rejections.note(error.rawValue) }
    return nil
  }

  var hasWaiting: Bool { back.hasWaiting || front.hasWaiting }

  func deliverWaiting() {
    back.deliverWaiting()
    front.deliverWaiting()
  }
}
