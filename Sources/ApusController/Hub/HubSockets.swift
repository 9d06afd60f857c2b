import ApusMessaging
import Logging
import Transport

/// The schedulers, and the relay of output, as the hub needs them: who joins and who leaves. All of them live on one loop.
struct EngineAudience: Sendable {
  let loop: EventLoop
  let tasks: TaskScheduler
  let mux: RequestRelay
  let control: RequestRelay
  let broadcast: BroadcastScheduler
  let output: OutputRelay
  let events: TaskEventStream

  /// - Parameter done: called on the schedulers' loop when all of them know: clients may be told.
  func engineJoined(_ uuid: EngineUUID, id: EngineID, traits: EngineTraits, done: @escaping @Sendable () -> Void) {
    let takesBatches = traits.takesBatches
    loop.execute {
      // Before what follows from it.
      events.report(.engineJoined(uuid, id))
      mux.assumeIsolated { $0.engineRegistered(uuid, isOwn: takesBatches) }
      control.assumeIsolated { $0.engineRegistered(uuid, isOwn: takesBatches) }
      broadcast.assumeIsolated { $0.engineRegistered(uuid, id: id, isOwn: takesBatches) }
      tasks.assumeIsolated {
        $0.engineRegistered(
          uuid, takesBatches: takesBatches, running: traits.running, resources: traits.resources, wasCutOff: traits.wasCutOff,
          isOfBefore: traits.isOfBefore)
      }
      done()
    }
  }

  /// - Parameter done: as of `engineJoined`: who has heard of the loss must not meet a scheduler that has not.
  func engineLeft(_ uuid: EngineUUID, id: EngineID, cause: EngineLoss, grace: Duration, done: @escaping @Sendable () -> Void) {
    loop.execute {
      events.report(.engineLeft(uuid, id, cause))
      mux.assumeIsolated { $0.engineLost(uuid, id: id, cause: cause) }
      control.assumeIsolated { $0.engineLost(uuid, id: id, cause: cause) }
      broadcast.assumeIsolated { $0.engineLost(uuid, cause: cause, grace: grace) }
      tasks.assumeIsolated { $0.engineLost(uuid, cause: cause, grace: grace) }
      done()
    }
  }
}

extension EngineAudience {
  /// A client that asked the hub where to connect will listen to all output.
  func clientComes(_ client: SessionID) { loop.execute { output.assumeIsolated { $0.awaitReader(client) } } }
  func clientGoes(_ client: SessionID) { loop.execute { output.assumeIsolated { $0.forgetReader(client) } } }

  /// - Parameter done: as of `engineJoined`: whatever the scheduler gave it before is reported, and what it has of the time before a restart.
  func engineDrains(_ uuid: EngineUUID, done: @escaping @Sendable () -> Void) {
    loop.execute {
      events.report(.engineDrains(uuid))
      tasks.assumeIsolated { $0.drain(uuid, done: done) }
    }
  }
}

/// The hub's sockets, which are also its state's effects.
struct HubSockets: ~Copyable, HubEffects {
  /// Requests of clients and engines.
  var query: BoundedRouter
  let monitor: SocketMonitor
  var notifier: PublisherSocket
  var session: Session
  var rejections: DroppedMessages
  let audience: EngineAudience
  let events: TaskEventStream
  let logger: Logger
  /// What `registration_reply` tells beside the id.
  let heartbeatPeriod: Duration
  let connectionInfo: JSONValue
  /// The journal's name; `nil` without one.
  let journal: String?
  /// Called when an engine's coming or going is to be announced; runs on the schedulers' loop.
  private let announce: @Sendable (Hub.News, EngineUUID, EngineID) -> Void
  /// Called, on the schedulers' loop, when an engine gets no more tasks.
  private let drained: @Sendable (EngineUUID) -> Void
  /// Engines of which the schedulers do not know yet, and how many times each has joined without that.
  private(set) var unannounced: [EngineUUID: Int] = [:]
  /// Whether the set of engines has changed since it was last written.
  var enginesChanged = false

  init(
    query: consuming BoundedRouter, monitor: consuming SocketMonitor, notifier: consuming PublisherSocket, session: Session,
    audience: EngineAudience,
    events: TaskEventStream, logger: Logger, heartbeatPeriod: Duration, connectionInfo: JSONValue,
    journal: String? = nil,
    drained: @escaping @Sendable (EngineUUID) -> Void = { _ in },
    announce: @escaping @Sendable (Hub.News, EngineUUID, EngineID) -> Void
  ) {
    self.query = query
    self.monitor = monitor
    self.notifier = notifier
    self.session = session
    self.audience = audience
    self.events = events
    self.logger = logger
    self.heartbeatPeriod = heartbeatPeriod
    self.connectionInfo = connectionInfo
    self.journal = journal
    self.announce = announce
    self.drained = drained
    rejections = DroppedMessages("registration", logger: logger)
  }

  // MARK: answers

  mutating func reply(to request: Envelope, _ type: MessageType, _ content: JSONValue, buffers: [Frame] = []) {
    let isRegistration = type == .registrationReply
    let reply = session.message(
      type, content: content, parentHeader: isRegistration ? .emptyObject : request.headerFrame,
      identities: Array(request.identities), buffers: buffers, sealedFor: request.isSealed ? .reply(.hub) : nil)
    guard let client = reply.identities.first else { return }
    query.send(client, nil, reply.frames.dropFirst())
  }

  /// Tells an engine that its registration was accepted.
  mutating func accept(_ request: Envelope, id: EngineID) {
    let period = heartbeatPeriod.components
    let milliseconds = period.seconds * 1000 + period.attoseconds / 1_000_000_000_000_000
    var content: JSONObject = [
      "id": .int(id.number), "status": "ok", "hb_period": .int(Int(milliseconds)), "connection_info": connectionInfo,
    ]
    if let journal { content["journal"] = .string(journal) }
    reply(to: request, .registrationReply, .object(content))
  }

  mutating func notify(_ type: MessageType, _ content: JSONValue, parentHeader: Frame = .emptyObject) {
    notifier.send(session.message(type, content: content, parentHeader: parentHeader).frames)
  }

  // MARK: effects

  mutating func engineJoined(_ uuid: EngineUUID, id: EngineID, traits: EngineTraits) {
    enginesChanged = true
    logger.info("engine registered", metadata: ["engine": "\(id)", "uuid": "\(uuid)"])
    unannounced[uuid, default: 0] += 1
    let announce = announce
    audience.engineJoined(uuid, id: id, traits: traits) { announce(.joined, uuid, id) }
  }

  /// The schedulers know that it has joined.
  mutating func isAnnounced(_ uuid: EngineUUID) {
    guard let count = unannounced[uuid] else { return }
    unannounced[uuid] = count > 1 ? count - 1 : nil
  }

  mutating func engineLeft(_ uuid: EngineUUID, id: EngineID, arrival: Int, cause: EngineLoss, grace: Duration) {
    enginesChanged = true
    let metadata: Logger.Metadata = ["engine": "\(id)", "uuid": "\(uuid)", "cause": "\(cause.sentence)"]
    if cause.isOrderly {
      logger.info("engine unregistered", metadata: metadata)
    } else {
      logger.warning("engine lost", metadata: metadata)
    }
    let announce = announce
    audience.engineLeft(uuid, id: id, cause: cause, grace: grace) { announce(.left(arrival: arrival), uuid, id) }
  }

  mutating func engineDrains(_ uuid: EngineUUID) {
    let drained = drained
    audience.engineDrains(uuid) { drained(uuid) }
  }

  /// By the way that its registration came: whatever it computes, its loop hears that. Stock engines do not listen there.
  mutating func retire(_ uuid: EngineUUID) {
    logger.info("engine is told to end: it has nothing to do", metadata: ["uuid": "\(uuid)"])
    let message = session.message(
      .shutdownRequest, content: ["restart": false], parentHeader: .emptyObject, identities: [Frame(uuid.text)])
    query.send(Frame(uuid.text), nil, message.frames.dropFirst())
  }
}
