@testable import ApusController
import ApusMessaging
import Transport

/// A controller: the states of scheduler, hub, heart monitor and journal, and between them what `TaskScheduler`, `Hub`, `HeartMonitor` and
/// `Journal` do with sockets and loops.
final class ControllerProcess: Process {
  unowned let cluster: Cluster
  let session: SessionID
  let configuration: JournalConfiguration
  private let life: Int
  private(set) var isListening = false

  var tasks: TaskSchedulerState
  var sink: SchedulerSink
  var requests = TaskRequestReader()
  private var held = HeldMessages<SchedulerSink.Outgoing>()
  private var deadline: ContinuousClock.Instant?
  private(set) var turns = 0

  var broadcasts = BroadcastState()
  var broadcastClients: [Frame: Link] = [:]

  var hub: HubState
  var heart: HeartMonitorState
  var isExpiryArmed = false
  var isFileDue = false
  var isPingDue = false
  var announced: [(uuid: EngineUUID, id: EngineID, at: Int)] = []

  var backlog: JournalBacklog
  var journal: JournalState<SimulatedDisk>
  private let limits: JournalLimits
  /// A snapshot is in the files.
  private(set) var hasSnapshot = false
  /// One has been written by this controller.
  private(set) var wroteSnapshot = false

  /// The ways to the others, by their names.
  var clients: [Frame: (link: Link, party: Client)] = [:]
  var notifications: [(client: ClientProcess, link: Link)] = []
  var shells: [EngineUUID: (engine: EngineProcess, link: Link)] = [:]
  var controls: [EngineUUID: (engine: EngineProcess, link: Link)] = [:]
  var hearts: [EngineUUID: (engine: EngineProcess, link: Link)] = [:]
  var registrars: [EngineUUID: (engine: EngineProcess, link: Link)] = [:]
  /// Engines that are registered: what is for them waits until they are connected.
  var known: Set<EngineUUID> = []
  /// Those of which the schedulers have not heard, and how many times each has joined without that.
  var unannounced: [EngineUUID: Int] = [:]
  /// Engines that it was to get rid of.
  var unwanted: Set<EngineUUID> = []
  /// Those of which the hub is to hear that they get nothing more.
  var draining: Set<EngineUUID> = []
  private var waitingRequests: [EngineUUID: [Envelope]] = [:]
  private var waitingNotices: [EngineUUID: [[MessageID]]] = [:]
  /// As of `BoundedRouter`.
  var waitingReplies: [Frame: [(reply: Envelope, round: Int)]] = [:]
  var expected: (clients: Set<Frame>, until: Int) = ([], 0)
  var names: [Frame: Frame] = [:]
  var lastName: UInt32 = 0x6b8b_4567
  var returning: ReturningClients
  /// The loops' mailboxes, which keep the order.
  private var latest = (toScheduler: 0, toHub: 0, toJournal: 0)
  var lastConnection: Int32 = 0

  init(_ cluster: Cluster, life: Int) {
    let world = cluster.world
    let scenario = cluster.scenario
    self.cluster = cluster
    self.life = life
    session = SessionID("controller\(life)")
    var configuration = JournalConfiguration()
    configuration.sync = scenario.sync
    configuration.sizeLimit = scenario.sizeLimit
    if scenario.mutation == .doesNotWait { configuration.holdTime = .zero }
    self.configuration = configuration
    tasks = TaskSchedulerState(
      policy: scenario.policy, highWaterMark: scenario.highWaterMark, lookAhead: scenario.lookAhead, seed: UInt64(life))
    sink = SchedulerSink(world: world, session: session.text, mutation: scenario.mutation)
    hub = HubState(registrationTimeout: .seconds(30))
    heart = HeartMonitorState(maximumMisses: 10, now: world.instant)
    returning = ReturningClients(secret: session.text)
    backlog = JournalBacklog(holdsMessages: scenario.sync == .always)
    // Small, so that much happens.
    limits = JournalLimits(segmentSize: 8 << 10, blockSize: 2 << 10, keptBytes: 32 << 10, snapshotDistance: 64 << 10)
    journal = JournalState(cluster.disk, configuration, limits: limits)
    super.init(world, "controller\(life)")
  }

  func begin() {
    world.note("\(name) begins")
    after(world.pick(20_000...300_000)) { [self] in
      let goesOn = restore()
      isListening = true
      armExpiry()
      beat()
      if !goesOn { journal { $0.resume(effects: &$1) } }
    }
  }

  override func letGo() {
    (clients, broadcastClients, notifications) = ([:], [:], [])
    (shells, controls, hearts, registrars) = ([:], [:], [:], [:])
  }

  /// As `Controller.readJournal` and `TaskScheduler.restore`.
  /// - Returns: whether the journal that was read is gone on with.
  private func restore() -> Bool {
    let wasCutShort = cluster.disk.id != nil
    cluster.disk.open()
    guard life > 1, wasCutShort else { return false }
    var restorer = Restorer()
    cluster.disk.read(into: &restorer)
    cluster.disk.isFormerDamaged = !restorer.damages.isEmpty
    var restored = restorer.finish()
    if configuration.sync == .always, cluster.scenario.fullDisks == 0 {
      for task in restored.tasks where !(cluster.ledger.tasks[task.id]?.ends.isEmpty ?? true) {
        world.fail("\(task.id) has ended for its client, and the disk has not heard of it")
      }
    }
    if cluster.scenario.powerFailures == 0 {
      // A journal that is suspended tells nothing, rather than what was true once.
      for task in restored.tasks {
        guard let account = cluster.ledger.tasks[task.id], !account.ends.isEmpty, !account.mayBeForgotten else {
          continue
        }
        if world.now - account.ended > 45_000_000 { world.fail("\(task.id) ended long ago, and the journal has not heard of it") }
      }
    }
    if let file = cluster.engineFile {
      hub.restore(file.engines, own: file.own, nextID: file.nextID, until: world.instant + configuration.engineTimeout)
    }
    let engines = hub.lost.keys.sorted { $0.text < $1.text }
    world.note("\(name) restores \(restored.tasks.count) tasks, \(restored.results.count) results, \(engines.count) engines")
    returning.readdress(&restored.tasks, &restored.results)
    let goesOn = limits.goOn(with: restored)
    if goesOn {
      world.note("\(name) goes on with the journal")
      backlog.open()
      hasSnapshot = true
      journal { $0.goOn(after: restored, effects: &$1) }
    }
    scheduler {
      sink.isRestoring = true
      tasks.restore(restored, engines: engines, configuration, now: world.instant, wall: world.timestamp, effects: &sink)
      sink.isRestoring = false
    }
    welcome(restored)
    return goesOn
  }

  // MARK: the scheduler's turns

  func scheduler(_ turn: () -> Void) {
    turn()
    checkOrder()
    deliver()
    tellDrained()
    armDeadline()
    turns += 1
    if turns % max(1, tasks.tasks.count / 4) == 0 {
      for wrong in tasks.checkInvariants().sorted() { world.fail("\(name): \(wrong)") }
    }
    // One that has taken another's place may answer again for that one, when clients come back.
    if tasks.recovery == nil, let id = sink.answeredTwice { world.fail("\(name) has answered \(id) twice") }
  }

  /// As `TaskSchedulerSockets.deliver`.
  private func deliver() {
    if !sink.events.isEmpty {
      let events = sink.events
      sink.events = []
      cluster.hasDecided()
      toHub { [self] in
        for event in events where cluster.scenario.mutation != .miscounts || !world.chance(1) { hub.observe(event) }
        if !hub.retiring.isEmpty { hub { $0.retireIdle(effects: &$1) } }
        checkHub()
      }
    }
    if cluster.scenario.mutation == .confirmsBeforeWriting { confirmEarly() }
    let (ticket, wake) = backlog.handOver(&sink.facts)
    switch wake {
    case .not: break
    case .now: toJournal(world.pick(20...500))
    case .later: toJournal(JournalBacklog.delay.microseconds + world.pick(20...500))
    }
    if backlog.holdsMessages, cluster.scenario.mutation != .sendsBeforeWriting, held.hold(&sink.outbox, until: ticket) { return }
    let messages = sink.outbox
    sink.outbox = []
    leave(messages)
  }

  func leave(_ messages: [SchedulerSink.Outgoing]) {
    for message in messages {
      switch message {
      case .request(let request, let uuid):
        if let (engine, link) = shells[uuid], link.isOpen {
          link.toDialer("request \(request.messageID?.text ?? "?")") { [unowned engine, weak self] in
            if let self, isAlive, let id = request.messageID { checkPlaced(id, on: uuid) }
            engine.requested(request)
          }
        } else if known.contains(uuid) {
          waitingRequests[uuid, default: []].append(request)
        }
      case .reply(let reply, let client): send(reply, to: client)
      }
    }
  }

  func engineConnected(_ engine: EngineProcess, shell link: Link) {
    shells[engine.uuid] = (engine, link)
    leave((waitingRequests.removeValue(forKey: engine.uuid) ?? []).map { .request($0, engine.uuid) })
  }

  func engineConnected(_ engine: EngineProcess, control link: Link) {
    controls[engine.uuid] = (engine, link)
    for ids in waitingNotices.removeValue(forKey: engine.uuid) ?? [] { confirm(ids, by: engine.uuid) }
  }

  /// As `RequestRelay.repliesWritten`.
  func confirm(_ ids: [MessageID], by uuid: EngineUUID) {
    guard known.contains(uuid) else { return }
    guard let (engine, link) = controls[uuid], link.isOpen else { return waitingNotices[uuid, default: []].append(ids) }
    link.toDialer("replies_written \(ids.map(\.text).joined(separator: " "))") { [unowned engine] in engine.confirmed(ids) }
  }

  func forgetWaiting(for uuid: EngineUUID) {
    known.remove(uuid)
    waitingRequests[uuid] = nil
    waitingNotices[uuid] = nil
  }

  private func armDeadline() {
    guard let next = tasks.nextDeadline, cluster.scenario.mutation != .forgetsTime, deadline.map({ $0 > next }) ?? true else {
      return
    }
    deadline = next
    world.at(next) { [weak self] in
      self?.run { [weak self] in
        guard let self, deadline == next else { return }
        deadline = nil
        scheduler { tasks.expire(now: world.instant, effects: &sink) }
      }
    }
  }

  // MARK: loops

  func toScheduler(_ body: @escaping () -> Void) {
    latest.toScheduler = max(latest.toScheduler, world.now + world.pick(5...1000))
    after(latest.toScheduler - world.now, body)
  }

  func toHub(_ body: @escaping () -> Void) {
    latest.toHub = max(latest.toHub, world.now + world.pick(5...1000))
    after(latest.toHub - world.now, body)
  }

  // MARK: the journal

  private func toJournal(_ delay: Int) {
    after(delay) { [self] in
      var taken = backlog.take()
      let endsSnapshot = !wroteSnapshot && taken.turns.joined().contains { if case .snapshotEnds = $0 { true } else { false } }
      journal { $0.commit(&taken, effects: &$1) }
      if endsSnapshot, journal.isWriting { wroteSnapshot = true }
      var empty = taken.empty()
      backlog.recycle(&empty)
    }
  }

  /// As `Journal.Sink`.
  private func journal(_ event: (inout JournalState<SimulatedDisk>, inout JournalSink) -> Void) {
    var effects = JournalSink()
    event(&journal, &effects)
    for action in effects.actions { perform(action) }
  }

  private func perform(_ action: JournalSink.Action) {
    switch action {
    case .syncLater(let delay): after(delay.microseconds) { [self] in journal { $0.syncIsDue(effects: &$1) } }
    case .tellLater(let delay): after(delay.microseconds) { [self] in journal { $0.repliesAreDue(effects: &$1) } }
    case .retryLater(let delay): after(delay.microseconds) { [self] in journal { $0.resume(effects: &$1) } }
    case .closeBacklog:
      backlog.close()
      hasSnapshot = false
    case .written(let ticket, let replies):
      toScheduler { [self] in
        for messages in held.release(ticket) { leave(messages) }
        for (uuid, ids) in replies.sorted(by: { $0.key.text < $1.key.text }) { confirm(ids, by: uuid) }
      }
    case .snapshotWanted:
      toScheduler { [self] in
        scheduler {
          backlog.open()
          sink.facts.append(contentsOf: tasks.snapshot(now: world.instant, wall: world.timestamp))
          hasSnapshot = true
        }
      }
    }
  }

  private func confirmEarly() {
    for case .event(let event) in sink.facts.entries {
      if case .finished(_, let engine?, _) = event.kind { confirm([event.id], by: engine) }
    }
  }
}
