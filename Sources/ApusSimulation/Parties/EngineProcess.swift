@testable import ApusEngine
import ApusMessaging
import Transport

/// One of Apus's engines: the states of its registration, its aborts and its kept replies, and between them what `Engine`, `Shell` and
/// `HeldReplies` do with sockets and threads.
final class EngineProcess: Process {
  unowned let cluster: Cluster
  let uuid: EngineUUID
  /// It has a line of this host; others reach the controller by TCP alone.
  private let hasLine: Bool
  /// It is ipyparallel's: it registers once, keeps no replies, and comes back by its heart alone.
  let isStock: Bool
  /// What it has for tasks that ask for it.
  let resources: [String: Double]
  /// It wants no more tasks: its job's time is nearly over.
  private(set) var isDraining = false
  /// Nobody needs it any more: it goes when it has answered.
  private var isRetired = false
  private var hasLeft = false
  private var lastBegun: MessageID?
  private var registration: RegistrationState
  private var aborts = AbortState()
  private(set) var kept: KeptReplies?
  private var controllerSession: SessionID?
  private var owesAccount = false
  /// To which controller it has given its account by its line: what was in that may be lost with it.
  private var accountedByLine: SessionID?
  private var hasJoined = false
  private var isHeartWanted = true

  private var registrar: (link: Link, controller: ControllerProcess, connection: Int32)?
  private var unsent: [() -> Void] = []
  private var shell: (link: Link, controller: ControllerProcess)?
  private var sockets = 0

  private var waiting: [Envelope] = []
  private var running: Envelope?
  private var mustAccount = false
  /// Messages that it has had, by their signatures.
  private var seen: Set<String> = []

  var isIdle: Bool { running == nil && waiting.isEmpty }
  var isRegistered: Bool { if case .registered = registration.phase { true } else { false } }

  init(_ cluster: Cluster, number: Int, isStock: Bool = false) {
    self.cluster = cluster
    self.isStock = isStock
    uuid = EngineUUID("engine\(number)")
    hasLine = !isStock && cluster.world.chance(50)
    resources = cluster.scenario.needs > 0 && !isStock ? cluster.world.pick(Self.offers) ?? [:] : [:]
    registration = RegistrationState(wantedID: nil, timeout: .seconds(5))
    super.init(cluster.world, "engine\(number)")
  }

  private static let offers: [[String: Double]] = [[:], ["gpu": 1], ["gpu": 2, "memory": 8], ["memory": 16]]

  func begin() {
    world.note("\(name) begins")
    dialRegistrar()
    decide { $0.start(effects: &$1) }
  }

  override func letGo() { (registrar, shell, unsent) = (nil, nil, []) }

  // MARK: registration, as `Engine+Registration`

  private func dialRegistrar() {
    cluster.dial("\(name).registrar", from: self) { [self] link, controller in
      controller.lastConnection += 1
      let connection = controller.lastConnection
      registrar = (link, controller, connection)
      link.onBroken = (
        { [weak self] in self?.registrarBroke(link) }, { [weak controller] in controller?.registrationEnded(connection) }
      )
      let queued = unsent
      unsent = []
      for send in queued { send() }
      if !isStock || !isRegistered { decide { $0.connected(effects: &$1) } }
    }
  }

  private func registrarBroke(_ link: Link) {
    guard registrar?.link === link else { return }
    registrar = nil
    dialRegistrar()
    if isStock, isRegistered { return }
    decide { $0.disconnected(effects: &$1) }
  }

  private func decide(_ event: (inout RegistrationState, inout RegistrationActions) -> Void) {
    var actions = RegistrationActions()
    event(&registration, &actions)
    for action in actions.list { perform(action) }
  }

  private func perform(_ action: RegistrationActions.Action) {
    switch action {
    case .sendRegistration(let id, let resuming, let wasCutOff):
      // What it runs is told as it is when it is asked.
      let task = resuming && kept != nil ? self.running : nil
      let running = task.flatMap { task in task.messageID.map { [$0: KeptReplies.attempt(of: task.metadataFrame)] } } ?? [:]
      let request = ControllerProcess.Registration(
        uuid: uuid, wanted: id, resuming: resuming, cutOff: wasCutOff ? controllerSession?.text ?? "" : nil, running: running,
        resources: resources, isDraining: isDraining, isOwn: !isStock)
      sendToHub(request)
    case .setDeadline(let generation, let delay):
      after(delay.microseconds) { [self] in decide { $0.deadlinePassed(generation, effects: &$1) } }
    case .join(let id, _, let before): join(id, before)
    case .searchController: break
    case .giveUp: cluster.kill(self)
    }
  }

  private func sendToHub(_ request: ControllerProcess.Registration) {
    guard let (link, controller, connection) = registrar, link.isOpen else {
      unsent.append { [weak self] in self?.sendToHub(request) }
      return
    }
    link.toListener("registration of \(uuid)") { [unowned controller, weak self] in
      if let self { controller.registrars[uuid] = (self, link) }
      controller.register(request, connection: connection) { id in
        link.toDialer("registration_reply \(id?.description ?? "refused")") { self?.answered(id, by: controller.session) }
      }
    }
  }

  private func answered(_ id: EngineID?, by session: SessionID) {
    guard let id else { return decide { $0.answered(.refused(name: "KeyError", value: ""), effects: &$1) } }
    // As `met`.
    if !isStock {
      if let before = controllerSession, before != session { owesAccount = true }
      if kept == nil { kept = KeptReplies() }
    }
    controllerSession = session
    decide { $0.answered(.accepted(id, heartbeatPeriod: .seconds(1)), effects: &$1) }
  }

  private func join(_ id: EngineID, _ before: EngineID?) {
    if before != id { connectSockets() }
    if owesAccount { account() }
  }

  private func connectSockets() {
    sockets += 1
    shell = nil
    isHeartWanted = true
    dialShell(sockets)
    dialControl(sockets)
  }

  private func dialShell(_ generation: Int) {
    cluster.dial("\(name).shell", from: self) { [self] link, controller in
      guard generation == sockets else { return link.breakDown() }
      shell = (link, controller)
      link.onBroken = (
        { [weak self] in
          guard let self, generation == sockets else { return }
          shell = nil
          dialShell(generation)
          connectionBroke()
        }, {}
      )
      link.toListener("\(uuid) connects") { [weak self, unowned controller] in
        if let self { controller.engineConnected(self, shell: link) }
      }
      if hasLine, accountedByLine == controller.session { owe() }
      if isHeartWanted {
        isHeartWanted = false
        dialHeart(generation)
      }
    }
  }

  private func dialControl(_ generation: Int) {
    cluster.dial("\(name).control", from: self) { [self] link, controller in
      guard generation == sockets else { return link.breakDown() }
      link.onBroken = (
        { [weak self] in
          guard let self, generation == sockets else { return }
          dialControl(generation)
          connectionBroke()
        }, {}
      )
      link.toListener("\(uuid) connects for control") { [weak self, unowned controller] in
        if let self { controller.engineConnected(self, control: link) }
      }
    }
  }

  private func dialHeart(_ generation: Int) {
    cluster.dial("\(name).heart", from: self) { [self] link, controller in
      guard generation == sockets else { return link.breakDown() }
      link.onBroken = ({ [weak self] in if let self, generation == sockets { dialHeart(generation) } }, {})
      link.toListener("\(uuid) listens") { [weak self, unowned controller] in
        if let self { controller.heartConnected(self, by: link) }
      }
    }
  }

  private func connectionBroke() {
    guard isRegistered, !isStock else { return }
    decide { $0.cutOff(effects: &$1) }
  }

  // MARK: the end, as `Engine+Draining`

  /// Its job's time is nearly over.
  func drain() {
    guard !isDraining, !isRetired else { return }
    world.note("\(name) drains")
    isDraining = true
    guard isRegistered, let (link, controller, _) = registrar, link.isOpen else { return }
    link.toListener("drain_request of \(uuid)") { [unowned controller, uuid] in controller.drain(uuid, thenStop: false) }
  }

  /// The hub has no more work for it.
  func retire() {
    guard !isRetired, !isStock else { return }
    isRetired = true
    leaveIfIdle()
  }

  private func leaveIfIdle() {
    if isRetired, running == nil { leave() }
  }

  /// It says goodbye, whatever it has, and ends.
  func leave() {
    guard isAlive, !hasLeft else { return }
    hasLeft = true
    world.note("\(name) leaves")
    if isRegistered, let (link, controller, _) = registrar {
      link.toListener("unregistration of \(uuid)") { [unowned controller, uuid, lastBegun] in
        controller.unregister(uuid, lastBegun: lastBegun)
      }
    }
    after(world.pick(500...5000)) { [self] in cluster.kill(self) }
  }

  // MARK: what it has, as `HeldReplies`

  private func account() {
    owesAccount = false
    if hasLine, shell != nil {
      accountedByLine = controllerSession
      owe()
    } else {
      for delay in [300_000, 1_000_000, 2_500_000] { after(delay) { [self] in owe() } }
    }
  }

  private func owe() {
    mustAccount = true
    if running == nil { turn() }
  }

  private func giveAccount() {
    guard cluster.scenario.mutation != .saysNothing,
      let account = kept?.account(
        waiting: waiting.filter { !isShare($0) }.compactMap { request in request.messageID.map { ($0, request.metadataFrame) } }),
      let (link, controller) = shell
    else { return }
    let hidesFailures = cluster.scenario.mutation == .hidesFailures
    let failed = Dictionary(hidesFailures ? [] : account.failed.map { ($0.id, $0.attempt) }) { $1 }
    let here = Dictionary(hidesFailures ? [] : account.waiting.map { ($0.id, $0.attempt) }) { $1 }
    // By two ways, the line and the socket: some of the replies come first.
    let overtaking = hasLine && !account.replies.isEmpty && world.chance(30) ? world.pick(1...account.replies.count) : 0
    for reply in account.replies.prefix(overtaking) { send(reply) }
    let words = account.ids.map { "\($0)\(failed[$0].map { "(failed \($0))" } ?? "")" }.joined(separator: " ")
    link.toListener("tasks_held of \(uuid): \(words)") { [unowned controller, uuid] in
      controller.accounted(account.ids, waiting: here, failed: failed, by: uuid)
    }
    for reply in account.replies.dropFirst(overtaking) { send(reply) }
  }

  private func isShare(_ request: Envelope) -> Bool { request.messageID.map { cluster.ledger.broadcasts[$0] != nil } ?? false }

  func confirmed(_ ids: [MessageID]) { kept?.confirm(ids) }
  func aborted(_ ids: [MessageID]) { for id in ids { aborts.abort(id) } }

  private func send(_ reply: Envelope) {
    guard let (link, controller) = shell else { return }
    func send(_ words: String) {
      link.toListener("\(words) of \(uuid) to \(reply.parentID?.text ?? "?")") { [unowned controller, uuid] in
        controller.completed(reply, by: uuid)
      }
    }
    send("reply")
    // Its account brings again what was on its way by another one.
    guard !isStock, cluster.scenario.duplicates > 0, world.chance(cluster.scenario.duplicates) else { return }
    after(world.pick(0...3_000_000)) { if link.isOpen { send("the same reply") } }
  }

  // MARK: the shell

  func requested(_ request: Envelope) {
    // A signature covers these, and none is taken twice.
    let signature = request.headerFrame.text + request.metadataFrame.text
    guard seen.insert(signature).inserted else { return world.note("\(name) takes \(request.messageID?.text ?? "?") for a replay") }
    waiting.append(request)
    if running == nil { turn() }
  }

  private func turn() {
    while running == nil, !hasLeft {
      if mustAccount {
        mustAccount = false
        giveAccount()
      }
      guard !waiting.isEmpty else { return }
      let request = waiting.removeFirst()
      guard let id = request.messageID else { continue }
      if aborts.takes(id) {
        answer(request, .aborted)
      } else {
        begin(request, id)
      }
    }
  }

  private func begin(_ request: Envelope, share id: MessageID, of broadcast: BroadcastAccount) {
    world.note("\(name) runs \(id)")
    running = request
    after(broadcast.length) { [self] in
      broadcast.done.insert(id)
      world.note("\(name) has run \(id)")
      running = nil
      answer(request, broadcast.fails ? .error : .ok)
      if isRetired { return leaveIfIdle() }
      turn()
    }
  }

  private func begin(_ request: Envelope, _ id: MessageID) {
    if let broadcast = cluster.ledger.began(share: id) { return begin(request, share: id, of: broadcast) }
    let deed = cluster.ledger.began(id, having: resources)
    world.note("\(name) runs \(id)")
    running = request
    lastBegun = id
    after(cluster.ledger.tasks[id]?.length ?? 1000) { [self] in
      cluster.ledger.finished(id, deed)
      world.note("\(name) has run \(id)")
      running = nil
      switch deed {
      case .succeed: answer(request, .ok)
      case .fail: answer(request, .error)
      case .decline: answer(request, .error, dependenciesMet: false)
      }
      if isRetired { return leaveIfIdle() }
      turn()
    }
  }

  private func answer(_ request: Envelope, _ status: ReplyMetadata.Status, dependenciesMet: Bool = true) {
    guard let id = request.messageID else { return }
    let metadata = ReplyMetadata(
      started: world.timestamp, status: status, dependenciesMet: dependenciesMet, uuid: uuid, id: registration.id)
    var content: JSONObject = ["status": .string(status.rawValue)]
    if status == .error {
      content["ename"] = .string(dependenciesMet ? "ValueError" : "UnmetDependency")
      content["evalue"] = ""
      content["traceback"] = []
    }
    let reply = Envelope(
      identities: [Frame(uuid.text)] + request.identities, signature: .empty,
      header: Frame(["msg_id": .string("reply-\(id)"), "msg_type": "apply_reply"]), parentHeader: request.headerFrame,
      metadata: metadata.frame(answering: request.metadataFrame), content: Frame(.object(content)))
    if isShare(request) {
      guard let (link, controller) = shell else { return }
      return link.toListener("reply of \(uuid) to \(id)") { [unowned controller, uuid] in
        controller.completedShare(reply, by: uuid)
      }
    }
    if cluster.scenario.mutation != .keepsNoReplies { kept?.keep(reply, to: id) }
    send(reply)
  }
}
