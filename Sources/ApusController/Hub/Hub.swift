import ApusMessaging
import Logging
import Transport

/// The hub: engines register with it, clients query it, and it counts what tasks there are. Decisions are in `HubState`; nothing here waits for a disk.
actor Hub: DeliversLater {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  var state: HubState
  var wire: HubSockets
  let store: TaskStore
  let settings: Settings
  let logger: Logger
  let log: EventLog
  var scaling = Scaling()
  var dask: DaskScheduler?
  var deliveryTimer: EventLoop.TimerID?
  /// Requests that wait for it to start.
  var askedForDask: [Envelope] = []
  var daskGeneration = 0
  private var expiry: EventLoop.TimerID?
  private(set) var heart: HeartMonitor?
  private var clients = ClientPresence()
  /// The list of engines is about to be written, or being written.
  private var isSaving = false
  private var announced: [(uuid: EngineUUID, id: EngineID, at: ContinuousClock.Instant)] = []

  struct Settings: Sendable {
    /// Where the engines are noted for `--restore`.
    var engineStatePath: String
    var python: String
    var pythonPath: String?
    /// Called once when a client shuts the hub down.
    var onShutdown: @Sendable () -> Void
  }

  /// A client that takes longer than this from its list of engines to its subscription has other troubles.
  private static let announcementMemory = Duration.seconds(10)
  private static let saveDelay = Duration.milliseconds(10)
  /// How long a client's shutdown takes, so that everybody hears of it.
  private static let shutdownDelay = Duration.milliseconds(250)

  init(
    loop: EventLoop, state: HubState, wire: consuming HubSockets, store: TaskStore, log: EventLog, settings: Settings,
    logger: Logger
  ) {
    self.loop = loop
    self.state = state
    self.wire = wire
    self.store = store
    self.log = log
    self.settings = settings
    self.logger = logger
  }

  func start(heart: HeartMonitor) {
    self.heart = heart
    loop.whenReadable(wire.monitor.socket) { [unowned self] in
      self.assumeIsolated {
        // An engine that says goodbye and closes is not one that was killed: what it said last is there already.
        $0.queryIsReadable()
        $0.monitorIsReadable()
      }
    }
    loop.whenReadable(wire.notifier.socket) { [unowned self] in self.assumeIsolated { $0.subscriptionsChanged() } }
    loop.whenReadable(wire.query.socket) { [unowned self] in self.assumeIsolated { $0.queryIsReadable() } }
    armExpiry()
  }

  // MARK: other parties' calls

  func observe(_ batch: EventBatch) {
    if batch.notices.isEmpty {
      for event in batch.tasks { state.observe(event) }
    } else {
      batch.forEach { event in
        switch event {
        case .task(let event): state.observe(event)
        case .notice(let notice): state.observe(notice)
        }
      }
    }
    state.retireIdle(effects: &wire)
  }

  /// What clients are told of an engine.
  enum News: Sendable {
    case joined
    /// - Parameter arrival: which of its stays has ended: another one may have begun.
    case left(arrival: Int)
  }

  func announce(_ news: News, _ uuid: EngineUUID, _ id: EngineID) {
    switch news {
    case .joined:
      wire.isAnnounced(uuid)
      let now = ContinuousClock.now
      announced.removeAll { now - $0.at > Self.announcementMemory }
      announced.append((uuid, id, now))
      wire.notify(.registrationNotification, .object(description(of: uuid, id)))
    case .left(let arrival):
      wire.notify(
        .unregistrationNotification, ["id": .int(id.number), "uuid": .string(uuid.text), "arrival": .int(arrival)])
    }
  }

  /// An engine as notifications have it. Its kind is told where it is not Python, and that it is one of ours: stock peers have
  /// never heard of others.
  private func description(of uuid: EngineUUID, _ id: EngineID) -> JSONObject {
    var content: JSONObject = ["id": .int(id.number), "uuid": .string(uuid.text)]
    if let engine = state.engines[id], engine.uuid == uuid {
      let traits = engine.traits
      content["arrival"] = .int(engine.arrival)
      if traits.kind != .python { content["kind"] = .string(traits.kind.rawValue) }
      if traits.takesBatches { content["own"] = true }
    }
    return content
  }

  func heartStarted(_ uuid: EngineUUID) {
    state.heartStarted(uuid, effects: &wire)
    saveEngines()
  }

  func heartStopped(_ uuid: EngineUUID) {
    state.heartStopped(uuid, effects: &wire)
    saveEngines()
  }

  func engineShutDown(_ uuid: EngineUUID) {
    state.shutDown(uuid, effects: &wire)
    heart?.assumeIsolated { $0.forget(uuid) }
    saveEngines()
  }

  /// Before the sockets close.
  func close() {
    wire.events.drain()
    // Clients would wait for it to come back, as after an end that nobody wanted.
    if wire.journal != nil { wire.notify(.shutdownNotification, ["status": "ok"]) }
    writeEngines()
    dask?.stop()
  }

  // MARK: sockets

  /// A client has subscribed to notifications. It asked for the list of engines before, over another connection: an engine that joined between
  /// the two would never be known to it. So the latest are announced again; who knows them already does not mind.
  private func subscriptionsChanged() {
    var isNew = false
    for _ in 0..<TaskScheduler.batch {
      guard let frames = wire.notifier.receive() else { break }
      if frames.first?.withUnsafeBytes({ $0.first == 1 }) ?? false { isNew = true }
    }
    guard isNew else { return }
    let now = ContinuousClock.now
    for (uuid, id, at) in announced where now - at <= Self.announcementMemory && state.ids[uuid] == id {
      wire.notify(.registrationNotification, .object(description(of: uuid, id)))
    }
  }

  private func monitorIsReadable() {
    while let event = try? wire.monitor.next() {
      guard case .disconnected(let connection) = event else { continue }
      if let client = clients.disconnected(connection) {
        wire.events.report(.clientGone(client))
        wire.audience.clientGoes(client)
      }
      log.gone(connection)
      let before = state.ids
      state.disconnected(connection, effects: &wire)
      for uuid in before.keys where state.ids[uuid] == nil { heart?.assumeIsolated { $0.forget(uuid) } }
    }
    saveEngines()
  }

  private func queryIsReadable() {
    for _ in 0..<TaskScheduler.batch {
      var connection: Int32 = -1
      do {
        guard let frames = try wire.query.socket.receive(source: &connection) else { break }
        let opened = Result { try wire.session.open(frames, sealedFor: .request(.hub), readsBuffers: true) }
        let isGoodbye = (try? opened.get())?.messageType == .unregistrationRequest
        // Descriptors are used again at once: ends of old connections come before news through new ones. But who says goodbye was not cut off.
        if !isGoodbye { monitorIsReadable() }
        handle(try opened.get(), connection: connection)
        if isGoodbye { monitorIsReadable() }
      } catch let rejection as Session.Rejection {
        wire.rejections.note(rejection.rawValue)
      } catch {
        wire.rejections.note("\(error)")
        break
      }
    }
    saveEngines()
    deliverLater()
  }

  var hasWaiting: Bool { wire.query.hasWaiting }
  func deliverWaiting() { wire.query.deliverWaiting() }

  private func handle(_ message: Envelope, connection: Int32) {
    guard let type = message.messageType, let content = try? message.content() else {
      return wire.rejections.note("a header without msg_type, or content that is no object")
    }
    switch type {
    case .registrationRequest: register(message, content, connection: connection)
    case .unregistrationRequest:
      if let id = content["id"]?.intValue {
        let uuid = state.engines[EngineID(id)]?.uuid
        state.unregistrationRequested(EngineID(id), cause: EngineLoss(goodbye: content), effects: &wire)
        if let uuid { heart?.assumeIsolated { $0.forget(uuid) } }
      }
    default:
      if type == .connectionRequest, let client = message.sessionID, clients.asked(client, by: connection) {
        wire.events.report(.clientConnected(client))
      }
      answer(type, content, message, connection: connection)
    }
  }

  private func register(_ message: Envelope, _ content: JSONObject, connection: Int32) {
    guard let uuid = EngineUUID(told: content["uuid"]) else {
      return wire.rejections.note("a registration without a uuid")
    }
    let cutOff = content["cut_off"]
    let wasCutOff = cutOff?.stringValue.map { $0 == wire.session.id.text } ?? cutOff?.isTruthy ?? false
    let traits = EngineTraits(told: content)
    do throws(RemoteError) {
      let id = try state.registrationRequested(
        uuid, wanted: state.succession(uuid, traits, effects: &wire) ?? content["id"]?.intValue.map { EngineID($0) },
        connection: connection, resumes: content["resume"]?.isTruthy ?? false, wasCutOff: wasCutOff, traits: traits, now: .now,
        effects: &wire)
      wire.accept(message, id: id)
    } catch { return wire.reply(to: message, .registrationReply, error.content) }
    // An engine that comes back to a new controller may have answered pings before it registered: its heart is to start again.
    if state.pending[uuid] != nil { heart?.assumeIsolated { $0.expect(uuid) } }
    armExpiry()
  }

  // MARK: time

  private func armExpiry() {
    guard expiry == nil, let next = state.nextExpiry else { return }
    expiry = loop.schedule(at: next) { [unowned self] in
      self.assumeIsolated {
        $0.expiry = nil
        for uuid in $0.state.expire(now: .now) {
          $0.logger.warning("engine registered and never answered a heartbeat", metadata: ["uuid": "\(uuid)"])
        }
        $0.armExpiry()
      }
    }
  }

  /// A moment later, once for all the changes until then: a thousand engines that start together are few files.
  private func saveEngines() {
    guard wire.enginesChanged, !isSaving else { return }
    isSaving = true
    loop.schedule(after: Self.saveDelay) { [unowned self] in self.assumeIsolated { $0.writeEngines() } }
  }

  /// Where the disk may be waited for. Not flushed to it: after a crash of the machine the engines are gone as well.
  private func writeEngines() {
    guard wire.enginesChanged else { return isSaving = false }
    wire.enginesChanged = false
    let bytes = JSONValue.object(state.fileContent).encoded()
    store.loop.execute { [weak self, path = settings.engineStatePath] in
      var failure: FileError?
      do throws(FileError) { try AtomicFile.write(bytes, to: path, flushed: false) } catch { failure = error }
      guard let self else { return }
      self.loop.execute { [weak self, failure] in self?.assumeIsolated { $0.savedEngines(failure) } }
    }
  }

  private func savedEngines(_ failure: FileError?) {
    isSaving = false
    if let failure { wire.rejections.note("\(failure)") }
    saveEngines()
  }

  func shutDown(after request: Envelope) {
    wire.notify(.shutdownNotification, ["status": "ok"], parentHeader: request.headerFrame)
    loop.schedule(after: Self.shutdownDelay) { [settings] in settings.onShutdown() }
  }
}
