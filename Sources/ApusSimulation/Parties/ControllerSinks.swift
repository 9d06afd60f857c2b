@testable import ApusController
import ApusMessaging
import Transport

/// What a scheduler's state wants done, until the turn ends: the simulation's `TaskSchedulerSockets`.
struct SchedulerSink: TaskSchedulerEffects {
  enum Outgoing {
    case request(Envelope, EngineUUID)
    case reply(Envelope, client: Frame)
  }

  let world: World
  let session: String
  let mutation: Mutation?
  var traces = true
  /// As of `TaskSchedulerSockets`.
  var isRestoring = false
  var outbox: [Outgoing] = []
  var facts = JournalFacts()
  private var stockClient: (task: MessageID, client: Frame)?
  var events: [TaskEvent] = []
  private var answered: Set<MessageID> = []
  private(set) var answeredTwice: MessageID?
  /// Engines that get nothing more.
  var drained: Set<EngineUUID> = []
  /// Clients are told what they have been told before, and did not get.
  var repeats = false

  init(world: World, session: String, mutation: Mutation?) {
    self.world = world
    self.session = session
    self.mutation = mutation
  }

  mutating func send(_ request: Envelope, to engine: EngineUUID, attempt: Int?) {
    if drained.contains(engine) { world.fail("\(request.messageID?.text ?? "?") is sent to \(engine), which takes no more tasks") }
    guard let attempt, mutation != .sendsTheSame else { return outbox.append(.request(request, engine)) }
    // As `TaskSchedulerSockets.again`.
    var metadata = (try? request.metadata()) ?? JSONObject()
    metadata["attempt"] = .int(attempt)
    metadata["scheduler"] = .string(session)
    outbox.append(
      .request(
        Envelope(
          identities: Array(request.identities), signature: .empty, header: request.headerFrame,
          parentHeader: request.parentHeaderFrame, metadata: Frame(.object(metadata)), content: request.contentFrame), engine))
  }

  mutating func relay(_ reply: Envelope, to request: Envelope) {
    guard let client = request.identities.first else { return }
    answer(request, reply, client)
  }

  mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope {
    let status = failure.error == nil ? "aborted" : "error"
    let reply = Envelope(
      signature: .empty, header: Frame(["msg_id": "scheduler", "msg_type": "apply_reply"]), parentHeader: request.headerFrame,
      metadata: Frame(["status": .string(status)]), content: Frame(failure.error?.content ?? ["status": "aborted"]))
    if let client = request.identities.first { answer(request, reply, client) }
    return reply
  }

  private mutating func answer(_ request: Envelope, _ reply: Envelope, _ client: Frame) {
    if !repeats, let id = request.messageID, !answered.insert(id).inserted { answeredTwice = id }
    if mutation == .losesAnswers, world.chance(2) { return }
    outbox.append(.reply(reply, client: client))
    if mutation == .answersTwice, let id = request.messageID {
      answeredTwice = id
      outbox.append(.reply(reply, client: client))
    }
  }

  mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) {
    let event = TaskEvent(task, .task, at: world.timestamp, kind)
    events.append(event)
    if traces { world.note("  \(task) \(event.word)") }
    switch (kind, mutation) {
    case (.retried, .forgetsRetries), (.finished, .forgetsEnds), (.placed, .forgetsPlaces): return
    default:
      guard JournalEntry.keeps(kind), !isRestoring || JournalEntry.isNews(kind) else { return }
      facts.append(JournalEntry(event, of: stockClient))
      stockClient = nil
    }
  }

  mutating func noteStockClient(_ client: Frame, of task: MessageID) { stockClient = (task, client) }

  mutating func note(_ outcome: JournalOutcome, of task: MessageID) { facts.append(.outcome(task, outcome)) }
  mutating func noteUnwanted(_ task: MessageID) { facts.append(.unwanted(task)) }
}

extension TaskEvent {
  /// For the trace.
  var word: String {
    switch kind {
    case .submitted: "is submitted"
    case .waiting(let count): "waits for \(count)"
    case .queued: "is queued"
    case .placed(let engine): "is placed on \(engine)"
    case .started, .output: "speaks"
    case .failed: "has failed"
    case .restored: "is restored"
    case .abortRequested: "is not wanted"
    case .resubmitted(let id): "is submitted again as \(id)"
    case .retried(let engine, let reason): "comes back from \(engine): \(reason)"
    case .lost(let engine, let cause): "is lost with \(engine): \(cause)"
    case .aborted: "is aborted"
    case .finished(_, let engine, let outcome): "ends on \(engine?.text ?? "none"): \(outcome)"
    }
  }
}

/// What the hub's state wants done.
struct HubSink: HubEffects {
  enum Action {
    case joined(EngineUUID, EngineID, EngineTraits)
    case left(EngineUUID, EngineID, arrival: Int, EngineLoss, grace: Duration)
    case drains(EngineUUID), retires(EngineUUID)
  }
  var actions: [Action] = []

  mutating func engineJoined(_ uuid: EngineUUID, id: EngineID, traits: EngineTraits) { actions.append(.joined(uuid, id, traits)) }
  mutating func engineLeft(_ uuid: EngineUUID, id: EngineID, arrival: Int, cause: EngineLoss, grace: Duration) {
    actions.append(.left(uuid, id, arrival: arrival, cause, grace: grace))
  }
  mutating func engineDrains(_ uuid: EngineUUID) { actions.append(.drains(uuid)) }
  mutating func retire(_ uuid: EngineUUID) { actions.append(.retires(uuid)) }
}

/// What the heart monitor's state wants done.
struct HeartSink: HeartMonitorEffects {
  enum Action {
    case ping(String)
    case started(EngineUUID)
    case stopped(EngineUUID)
  }
  var actions: [Action] = []

  mutating func ping(_ text: String) { actions.append(.ping(text)) }
  mutating func heartStarted(_ engine: EngineUUID) { actions.append(.started(engine)) }
  mutating func heartStopped(_ engine: EngineUUID) { actions.append(.stopped(engine)) }
}

/// What the journal's state wants done.
struct JournalSink: JournalEffects {
  enum Action {
    case syncLater(Duration)
    case tellLater(Duration)
    case retryLater(Duration)
    case written(Int, [EngineUUID: [MessageID]])
    case snapshotWanted, closeBacklog
  }
  var actions: [Action] = []

  mutating func syncLater(after delay: Duration) { actions.append(.syncLater(delay)) }
  mutating func tellLater(after delay: Duration) { actions.append(.tellLater(delay)) }
  mutating func retryLater(after delay: Duration) { actions.append(.retryLater(delay)) }
  mutating func written(_ ticket: Int, replies: [EngineUUID: [MessageID]]) { actions.append(.written(ticket, replies)) }
  mutating func snapshotWanted() { actions.append(.snapshotWanted) }
  mutating func closeBacklog() { actions.append(.closeBacklog) }
  mutating func suspended(_ reason: String) {}
}
