@testable import ApusController
import ApusMessaging
import Transport

/// What `Hub` and `HeartMonitor` do.
extension ControllerProcess {
  static let heartbeat = 1_000_000

  // MARK: registrations

  struct Registration {
    let uuid: EngineUUID
    let wanted: EngineID?
    let resuming: Bool
    /// The session from which it was cut off.
    let cutOff: String?
    let running: [MessageID: Int]
    let resources: [String: Double]
    let isDraining: Bool
    let isOwn: Bool
  }

  func register(_ registration: Registration, connection: Int32, _ answer: @escaping (EngineID?) -> Void) {
    let uuid = registration.uuid
    var traits = EngineTraits()
    traits.takesBatches = registration.isOwn
    traits.running = registration.running
    traits.resources = registration.resources
    traits.isDraining = registration.isDraining
    var id: EngineID?
    hub { hub, effects in
      id = try? hub.registrationRequested(
        uuid, wanted: registration.wanted, connection: connection, resumes: registration.resuming,
        wasCutOff: registration.cutOff == session.text, traits: traits, now: world.instant, effects: &effects)
    }
    answer(id)
    if id != nil, hub.pending[uuid] != nil, heart.forget(uuid) { pingSoon() }
    armExpiry()
  }

  func registrationEnded(_ connection: Int32) {
    let before = hub.ids
    hub { $0.disconnected(connection, effects: &$1) }
    for uuid in before.keys where hub.ids[uuid] == nil { heart.forget(uuid) }
  }

  /// As the hub lists them: none that the schedulers do not know yet.
  var registered: [(id: EngineID, uuid: EngineUUID, arrival: Int)] {
    hub.sortedEngines.filter { unannounced[$0.uuid] == nil }.map { ($0.id, $0.uuid, $0.arrival) }
  }

  func hub(_ event: (inout HubState, inout HubSink) -> Void) {
    var effects = HubSink()
    event(&hub, &effects)
    for action in effects.actions { perform(action) }
    for wrong in hub.checkInvariants().sorted() { world.fail("\(name): \(wrong)") }
    if !effects.actions.isEmpty { saveEngines() }
  }

  private func perform(_ action: HubSink.Action) {
    switch action {
    case .joined(let uuid, let id, let traits):
      world.note("\(name): \(uuid) joins as \(id)")
      unannounced[uuid, default: 0] += 1
      toScheduler { [self] in
        known.insert(uuid)
        broadcasts.engineRegistered(uuid)
        scheduler {
          tasks.engineRegistered(
            uuid, running: traits.running, accounts: traits.takesBatches, resources: traits.resources,
            wasCutOff: traits.wasCutOff, isOfBefore: traits.isOfBefore, now: world.instant, effects: &sink)
        }
        toHub { [self] in
          if let count = unannounced[uuid] { unannounced[uuid] = count > 1 ? count - 1 : nil }
          announce(uuid, id)
        }
      }
    case .drains(let uuid):
      world.note("\(name): \(uuid) drains")
      if cluster.scenario.mutation == .ignoresDraining { return }
      toScheduler { [self] in
        scheduler {
          draining.insert(uuid)
          tasks.drain(uuid, now: world.instant, effects: &sink)
          if tasks.engines.isRegistered(uuid) { sink.drained.insert(uuid) }
        }
      }
    case .retires(let uuid): retire(uuid)
    case .left(let uuid, let id, let arrival, let cause, let grace):
      world.note("\(name): \(uuid) leaves: \(cause)")
      cluster.ledger.mayHaveLost(uuid.text)
      cluster.ledger.lostEngines.insert(uuid.text)
      // One that comes back is as good as new: nobody remembers that it was to end.
      unwanted.remove(uuid)
      if cluster.scenario.isMild { world.fail("\(uuid) is lost (\(cause)), though nothing has happened to it") }
      if cluster.scenario.mutation == .hidesLosses { return }
      toScheduler { [self] in
        draining.remove(uuid)
        forgetWaiting(for: uuid)
        loseShares(of: uuid, cause: cause, grace: grace)
        sink.drained.remove(uuid)
        // What was placed there in between is lost as well.
        cluster.ledger.mayHaveLost(uuid.text)
        scheduler { tasks.engineLost(uuid, cause: cause, grace: grace, now: world.instant, effects: &sink) }
        toHub { [self] in announce(uuid, id, ended: arrival) }
      }
    }
  }

  // MARK: draining

  /// As `TaskScheduler.tellDrained`.
  func tellDrained() {
    for uuid in draining.sorted(by: { $0.text < $1.text }) where !tasks.awaitsAccount(of: uuid) {
      draining.remove(uuid)
      toHub { [self] in hub { $0.drained(uuid, effects: &$1) } }
    }
  }

  /// Somebody asks for it: the engine itself, a client or a launcher.
  func drain(_ uuid: EngineUUID, thenStop: Bool) {
    guard let id = hub.ids[uuid] else { return }
    if thenStop { unwanted.insert(uuid) }
    hub { $0.drain([id], thenStop: thenStop, effects: &$1) }
  }

  /// It says goodbye.
  func unregister(_ uuid: EngineUUID, lastBegun: MessageID?) {
    guard let id = hub.ids[uuid] else { return }
    hub { $0.unregistrationRequested(id, cause: .left(lastBegun: lastBegun), effects: &$1) }
    heart.forget(uuid)
  }

  /// As `HubSockets.retire`: by the way that its registration came.
  private func retire(_ uuid: EngineUUID) {
    world.note("\(name) needs \(uuid) no more")
    guard let (engine, link) = registrars[uuid], link.isOpen else { return }
    link.toDialer("shutdown_request to \(uuid)") { [unowned engine] in engine.retire() }
  }

  /// - Parameter stay: which has ended; `nil` of one that has come.
  private func announce(_ uuid: EngineUUID, _ id: EngineID, ended stay: Int? = nil) {
    if stay == nil {
      announced.removeAll { world.now - $0.at > 10_000_000 }
      announced.append((uuid, id, world.now))
    }
    notifications.removeAll { !$0.link.isOpen }
    for (client, link) in notifications { notify(client, link, uuid, id, ended: stay) }
  }

  private func notify(_ client: ClientProcess, _ link: Link, _ uuid: EngineUUID, _ id: EngineID, ended stay: Int? = nil) {
    let arrival = stay ?? hub.engines[id].flatMap { $0.uuid == uuid ? $0.arrival : nil }
    let isThere = stay == nil
    link.toDialer("\(uuid) \(isThere ? "came" : "left")") { [unowned client, session] in
      client.engine(uuid, id, arrival: arrival, isThere: isThere, by: session)
    }
  }

  func subscribed(_ client: ClientProcess, by link: Link) {
    notifications.append((client, link))
    for (uuid, id, at) in announced where world.now - at <= 10_000_000 && hub.ids[uuid] == id {
      notify(client, link, uuid, id)
    }
  }

  private func saveEngines() {
    guard !isFileDue else { return }
    isFileDue = true
    after(100_000) { [self] in
      isFileDue = false
      let engines = hub.enginesToRemember
      cluster.engineFile = (
        Dictionary(uniqueKeysWithValues: engines.map { ($0.id, $0.uuid) }),
        Set(engines.filter(\.traits.takesBatches).map(\.id)), hub.nextID
      )
    }
  }

  func armExpiry() {
    guard !isExpiryArmed, let next = hub.nextExpiry else { return }
    isExpiryArmed = true
    world.at(next) { [weak self] in
      self?.run { [weak self] in
        guard let self else { return }
        isExpiryArmed = false
        _ = hub.expire(now: world.instant)
        armExpiry()
      }
    }
  }

  /// The hub's counters are those of the scheduler, a moment later.
  func checkHub() {
    for wrong in hub.checkInvariants().sorted() { world.fail("\(name): \(wrong)") }
  }

  // MARK: hearts

  func beat() {
    heart { $0.beat(now: world.instant, effects: &$1) }
    after(Self.heartbeat) { [self] in beat() }
  }

  func heart(_ event: (inout HeartMonitorState, inout HeartSink) -> Void) {
    var effects = HeartSink()
    event(&heart, &effects)
    for action in effects.actions {
      switch action {
      case .ping(let text):
        for (_, (engine, link)) in hearts.sorted(by: { $0.key.text < $1.key.text }) where link.isOpen {
          link.toDialer("") { [unowned engine, unowned link] in
            link.toListener("") { [weak self] in self?.heart { _ = $0.pong(text, from: engine.uuid, effects: &$1) } }
          }
        }
      case .started(let uuid): hub { $0.heartStarted(uuid, effects: &$1) }
      case .stopped(let uuid): hub { $0.heartStopped(uuid, effects: &$1) }
      }
    }
  }

  func heartConnected(_ engine: EngineProcess, by link: Link) {
    hearts[engine.uuid] = (engine, link)
    pingSoon()
  }

  private func pingSoon() {
    guard !isPingDue else { return }
    isPingDue = true
    after(1000) { [self] in
      isPingDue = false
      heart { $0.pingAgain(effects: &$1) }
    }
  }

  // MARK: the scheduler's messages

  func submit(_ message: Envelope) {
    var message = cluster.scenario.mutation.map { $0.blinded(message) } ?? message
    guard let id = message.messageID else { return }
    scheduler {
      if let name = message.identities.first { hear(KeptRequest.message(message).isOwn ? nil : message.sessionID, under: name) }
      do throws(RemoteError) {
        tasks.submit(try requests.read(&message, id: id), now: world.instant, effects: &sink)
      } catch { tasks.refuse(message, id: id, error, effects: &sink) }
    }
  }

  func completed(_ reply: Envelope, by uuid: EngineUUID) {
    guard let result = ApusController.TaskReply(reply) else { return world.fail("a reply of \(uuid) names no task") }
    scheduler { tasks.completed(result, by: uuid, now: world.instant, effects: &sink) }
  }

  /// As `TaskScheduler.account`.
  func accounted(_ ids: [MessageID], waiting: [MessageID: Int], failed: [MessageID: Int], by uuid: EngineUUID) {
    scheduler {
      let ended = tasks.accounted(ids, waiting: waiting, failed: failed, by: uuid, now: world.instant, effects: &sink)
      guard !ended.isEmpty else { return }
      if backlog.isOpen { sink.facts.append(.accounted(uuid, ended)) } else { confirm(ended, by: uuid) }
    }
  }

  /// As `TaskScheduler.resume`.
  func resume(_ ids: [MessageID], number: Frame, by client: Frame) {
    scheduler {
      hear(nil, under: client)
      sink.repeats = true
      defer { sink.repeats = false }
      let resumption = tasks.resumed(ids, by: client, effects: &sink)
      for id in resumption.gone {
        let request = Envelope(
          identities: [client], signature: .empty, header: Frame(["msg_id": .string(id.text)]), parentHeader: .emptyObject,
          metadata: .emptyObject, content: .emptyObject)
        _ = sink.fail(request, with: .refused(RemoteError(name: "ResultLost", value: "")))
      }
      let reply = Envelope(
        signature: .empty, header: Frame(["msg_id": "resume", "msg_type": "resume_reply"]), parentHeader: number,
        metadata: .emptyObject, content: Frame(["status": "ok", "unknown": JSONValue(resumption.unknown.map(\.text))]))
      sink.outbox.append(.reply(reply, client: client))
    }
  }

  func abort(_ ids: [MessageID], on engines: [EngineUUID]) {
    scheduler { tasks.abort(ids, now: world.instant, effects: &sink) }
    for uuid in engines {
      guard let (engine, link) = controls[uuid], link.isOpen else { continue }
      link.toDialer("abort") { [unowned engine] in engine.aborted(ids) }
    }
  }
}
