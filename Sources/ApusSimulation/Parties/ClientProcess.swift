@testable import ApusClient
import ApusMessaging
import Transport

/// One of Apus's clients: the state that knows what is outstanding, and what `ClientConnection` and `ClientSockets` do with sockets.
final class ClientProcess: Process {
  unowned let cluster: Cluster
  var state = ClientState(outputGrace: .seconds(2), controllerGrace: .seconds(5))
  private var sink: Sink
  let ids: RequestIDs
  /// Handles need one; nobody waits for them here.
  let queue: SubmissionQueue
  /// Its name for the task scheduler: the same for all its life where it has lines, else another with each connection.
  private(set) var identity: Frame
  let hasLine: Bool
  private var connections = 0
  private var isReady = false
  private var turns = 0
  private var query: (link: Link, controller: ControllerProcess)?
  private var task: (link: Link, controller: ControllerProcess)?
  var broadcast: (link: Link, controller: ControllerProcess)?
  var unsentBroadcasts: [() -> Void] = []
  private var unsent: (query: [() -> Void], task: [() -> Void]) = ([], [])
  private var deadline: ContinuousClock.Instant?
  /// Who has told it last which engines there are.
  weak var heard: ControllerProcess?
  var earlier: [MessageID] = []
  /// Its notifications' connection has broken.
  private var isDeaf = false

  init(_ cluster: Cluster, number: Int) {
    self.cluster = cluster
    let name = "client\(number)"
    ids = RequestIDs(session: SessionID(name), processID: 1)
    queue = SubmissionQueue(ids: ids, limit: InFlightLimit(), loop: Self.idle)
    identity = Frame(name)
    hasLine = cluster.world.chance(50)
    sink = Sink(ids: ids)
    super.init(cluster.world, name)
  }

  private nonisolated static let idle = EventLoop(name: "simulation")

  // MARK: effects

  struct Sink: ClientEffects {
    enum Action {
      case send(Request)
      case abort([MessageID], [EngineUUID])
      case resume([TaskNumber], TaskNumber)
      case end(MessageID, String)
      case ask(Int)
      case refuse(String)
    }
    let ids: RequestIDs
    var actions: [Action] = []

    mutating func send(_ request: Request) { actions.append(.send(request)) }
    mutating func abort(_ tasks: [MessageID], on engines: [RegisteredEngine], _ cancellation: Cancellation) {
      actions.append(.abort(tasks, engines.map(\.uuid)))
    }
    mutating func resume(_ tasks: [TaskNumber]) -> TaskNumber {
      let number = ids.next()
      actions.append(.resume(tasks, number))
      return number
    }
    mutating func finish(_ handle: TaskHandle, _ ending: TaskEnding) {
      let how =
        switch ending.outcome {
        case .success: "ok"
        case .failure(let error as RemoteError): error.name
        case .failure(let error as ClientError): "\(error.code)"
        case .failure(let error): "\(error)"
        }
      actions.append(.end(handle.id, how))
    }
    mutating func finishOutput(of handle: TaskHandle) {}
    mutating func refuse(with error: ClientError) { actions.append(.refuse("\(error)")) }
    mutating func announce(_ event: EngineEvent) {}
    mutating func awaits(_ engines: [RegisteredEngine]) {}
    mutating func givesUp(_ engines: [RegisteredEngine]) {}
    mutating func kindLearned(of engine: RegisteredEngine) {}
    mutating func askForEngines(asOf serial: Int) { actions.append(.ask(serial)) }
  }

  func decide(_ event: (inout ClientState, inout Sink) -> Void) {
    event(&state, &sink)
    let actions = sink.actions
    sink.actions = []
    for action in actions { perform(action) }
    turns += 1
    // It looks at everything: of many tasks now and then.
    if turns % max(1, state.entries.count / 4) == 0 {
      for wrong in state.checkInvariants().sorted() { world.fail("\(name): \(wrong)") }
    }
    armDeadline()
  }

  private func perform(_ action: Sink.Action) {
    switch action {
    case .send(let request): if request.route == .balanced { send(request) } else { sendBroadcast(request) }
    case .abort(let tasks, let engines):
      post { $1.toListener("abort") { [unowned controller = $0] in controller.abort(tasks, on: engines) } }
    case .resume(let tasks, let number):
      guard cluster.scenario.mutation != .doesNotAsk else { return }
      let asked = tasks.map { ids.id(of: $0) }
      postTask { [unowned self] controller, link in
        let identity = self.identity
        let header = Frame(["msg_id": .string(ids.id(of: number).text)])
        link.toListener("resume_request \(asked.map(\.text).joined(separator: " "))") { [unowned controller] in
          controller.resume(asked, number: header, by: identity)
        }
      }
    case .end(let id, let how):
      world.note("\(id) has ended for \(name): \(how)")
      cluster.ledger.ended(id, how)
    case .ask(let serial): askForEngines(serial)
    case .refuse(let reason):
      if isReady { return world.fail("\(name) gives up: \(reason)") }
      // It never heard of a controller, and so of no journal that would make it patient. Somebody tries again.
      after(0) { [self] in cluster.kill(self) }
    }
  }

  private func armDeadline() {
    guard let next = state.nextDeadline, deadline.map({ $0 > next }) ?? true else { return }
    deadline = next
    world.at(next) { [weak self] in
      self?.run { [weak self] in
        guard let self, deadline == next else { return }
        deadline = nil
        decide { $0.expire(now: world.instant, effects: &$1) }
      }
    }
  }

  // MARK: connections

  func begin() {
    world.note("\(name) begins")
    dialQuery()
    dialTask()
    dialBroadcast()
    dialNotifications()
    decide { $0.askForEngines(effects: &$1) }
    askAgainLater()
  }

  override func letGo() {
    (query, task, broadcast) = (nil, nil, nil)
    (unsent, unsentBroadcasts) = (([], []), [])
  }

  /// As `ClientConnection.askAgainLater`.
  private func askAgainLater() {
    for delay in [200_000, 2_000_000] {
      after(delay) { [self] in if state.isHubReachable { decide { $0.askForEngines(effects: &$1) } } }
    }
  }

  private func dialQuery() {
    cluster.dial("\(name).query", from: self) { [self] link, controller in
      query = (link, controller)
      link.onBroken = (
        { [weak self] in
          guard let self, query?.link === link else { return }
          query = nil
          dialQuery()
          decide { state, _ in state.hubDisconnected(now: world.instant) }
        }, {}
      )
      let queued = unsent.query
      unsent.query = []
      for send in queued { send() }
      decide { $0.hubConnected(effects: &$1) }
    }
  }

  private func dialTask() {
    cluster.dial("\(name).task", from: self) { [self] link, controller in
      task = (link, controller)
      connections += 1
      if !hasLine { identity = controller.nextName() }
      link.onBroken = (
        { [weak self] in
          guard let self, task?.link === link else { return }
          task = nil
          dialTask()
          taskConnectionBroke()
        }, {}
      )
      let identity = self.identity
      link.toListener("\(name) connects") { [weak self, unowned controller] in
        if let self { controller.connected(identity, by: link, .own(self)) }
      }
      let queued = unsent.task
      unsent.task = []
      for send in queued { send() }
    }
  }

  /// What `ClientConnection` makes of it.
  private func taskConnectionBroke() { decide { $0.connectionBroke(.balanced, effects: &$1) } }

  private func dialNotifications() {
    cluster.dial("\(name).notifications", from: self) { [self] link, controller in
      if isDeaf { askAgainLater() }
      isDeaf = false
      link.onBroken = (
        { [weak self] in
          self?.isDeaf = true
          self?.dialNotifications()
        }, {}
      )
      link.toListener("\(name) subscribes") { [weak self, unowned controller] in
        if let self { controller.subscribed(self, by: link) }
      }
    }
  }

  private func post(_ send: @escaping (ControllerProcess, Link) -> Void) {
    guard let (link, controller) = query, link.isOpen else {
      unsent.query.append { [weak self] in self?.post(send) }
      return
    }
    send(controller, link)
  }

  private func postTask(_ send: @escaping (ControllerProcess, Link) -> Void) {
    guard let (link, controller) = task, link.isOpen else {
      unsent.task.append { [weak self] in self?.postTask(send) }
      return
    }
    send(controller, link)
  }

  private func askForEngines(_ serial: Int) {
    post { [unowned self] controller, link in
      link.toListener("connection_request of \(name)") { [unowned controller] in
        let engines = controller.registered.map { RegisteredEngine(id: $0.id, uuid: $0.uuid, isOwn: true, arrival: $0.arrival) }
        let journal = controller.cluster.disk.id
        link.toDialer("connection_reply: \(engines.count) engines") { [weak self] in
          self?.heard = controller
          // Nobody has the client before it knows its cluster.
          if let self, !isReady {
            isReady = true
            after(world.pick(1000...500_000)) { [self] in submitLater() }
          }
          self?.decide {
            $0.engines(
              engines, asOf: serial, hub: controller.session, journal: journal, isOwn: true, now: controller.world.instant,
              effects: &$1)
          }
        }
      }
    }
  }

  func engine(_ uuid: EngineUUID, _ id: EngineID, arrival: Int?, isThere: Bool, by session: SessionID) {
    let engine = RegisteredEngine(id: id, uuid: uuid, isOwn: true, arrival: arrival)
    decide {
      if isThere {
        $0.engineRegistered(engine, by: session, effects: &$1)
      } else {
        $0.engineLeft(engine, by: session, effects: &$1)
      }
    }
  }

  func replied(_ reply: Envelope) {
    guard let match = ids.match(reply.parentHeaderFrame) else { return }
    decide { $0.replied(to: match, TaskReply(reply), now: world.instant, effects: &$1) }
  }

  // MARK: tasks

  private func submitLater() {
    guard cluster.isBusy else { return }
    submit()
    after(Int(1e6 * cluster.scenario.pause * world.logarithmic(0.1...3))) { [self] in submitLater() }
  }

  private func submit() {
    guard state.failure == nil else { return }
    if world.chance(cluster.scenario.broadcasts) { return submitBroadcast() }
    let number = ids.next()
    let (account, metadata) = invent(number)
    cluster.ledger.submitted(account)
    earlier.append(account.id)
    let handle = TaskHandle(number, cost: 1, engine: nil, label: nil, queue: queue)
    let request = Request(
      number: number, route: .balanced, type: .applyRequest, content: .emptyObject, metadata: Frame(.object(metadata)),
      handles: [handle], cost: 1)
    world.note("\(name) submits \(account.id)")
    decide { $0.submit(request, effects: &$1) }
    if world.chance(3) {
      after(Int(1e6 * world.logarithmic(0.001...2))) { [self] in
        guard cluster.ledger.open.contains(account.id) else { return }
        abort([account.id])
      }
    }
  }

  func abort(_ list: [MessageID]) {
    for id in list { cluster.ledger.tasks[id]?.isAborted = true }
    let numbers = list.compactMap { ids.match($0.text)?.number }
    decide { $0.abort(numbers, Cancellation(interrupts: false), effects: &$1) }
  }

  private func send(_ request: Request) {
    let id = ids.id(of: request.number)
    if cluster.scenario.mutation == .doesNotSendAgain, cluster.ledger.tasks[id]?.wasSent ?? false { return }
    cluster.ledger.tasks[id]?.wasSent = true
    if let (link, _) = task, !link.isOpen { cluster.ledger.tasks[id]?.isSentBlindly = true }
    // Signed anew each time it is sent.
    let header = Frame([
      "msg_id": .string(id.text), "msg_type": "apply_request", "session": .string(name), "date": .int(world.now),
    ])
    postTask { [unowned self] controller, link in
      let message = Envelope(
        identities: [identity], signature: .empty, header: header, parentHeader: .emptyObject, metadata: request.metadata,
        content: request.content)
      for _ in 0..<(world.chance(cluster.scenario.duplicates) ? 2 : 1) {
        link.toListener("apply_request \(id)") { [unowned controller] in controller.submit(message) }
      }
    }
  }
}
