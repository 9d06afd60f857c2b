import ApusMessaging
import Transport

/// One fact about balanced tasks, as the scheduler tells it to its journal: an event as everybody hears it, or a part of a snapshot.
enum JournalEntry: Sendable {
  /// `submitted`, `placed`, `retried` or `finished`; other events are not kept.
  case event(TaskEvent)
  /// `finished`, of a stock client's task: it does not ask for its result, and what it has asked for may be in an older segment, which goes before.
  case end(TaskEvent, client: Frame)
  /// How a task ended that another one names as a dependency, and that had ended before.
  case outcome(MessageID, JournalOutcome)
  /// A client does not want a task any more that an engine has: it has no retries left.
  case unwanted(MessageID)
  /// How tasks have ended before a snapshot: a part of it.
  case ended(EndedTasks)
  /// Everything that follows up to the snapshot's end takes the place of all tasks before it.
  case snapshotBegins
  case restated(RestatedTask)
  /// A result that may still have to be delivered.
  case result(JournalResult)
  /// Results that have been handed to the system on their way to stock clients, which do not ask for them.
  case delivered([MessageID])
  /// Results of which that was believed, and which came to somebody else.
  case missed([MessageID])
  /// - Parameter tasks: how many were restated: fewer that can be read are damage.
  case snapshotEnds(tasks: Int)
  /// Not written, but in its place among what is: the engine need not keep these replies once everything before is written.
  case accounted(EngineUUID, [MessageID])

  /// - Parameter stockClient: as of `end`, and the task that it is of.
  init(_ event: TaskEvent, of stockClient: (task: MessageID, client: Frame)?) {
    if case .finished = event.kind, let stockClient, stockClient.task == event.id {
      self = .end(event, client: stockClient.client)
    } else {
      self = .event(event)
    }
  }

  /// Whether an event is worth keeping: the others follow from these.
  static func keeps(_ kind: TaskEvent.Kind) -> Bool {
    switch kind {
    case .submitted, .placed, .retried, .finished: true
    case .waiting, .queued, .started, .output, .failed, .lost, .restored, .abortRequested, .aborted,
      .resubmitted:
      false
    }
  }

  /// Whether an event of a task that is restored says something that is not in the journal which it comes from.
  static func isNews(_ kind: TaskEvent.Kind) -> Bool { if case .finished = kind { true } else { false } }

  /// Bytes that it keeps in memory, roughly. What is restated is the scheduler's own all the same, however much it is.
  var footprint: Int {
    switch self {
    case .event(let event), .end(let event, _): event.footprint
    case .accounted(_, let ids), .delivered(let ids), .missed(let ids): 64 * (ids.count + 1)
    case .restated, .result, .outcome, .unwanted, .ended, .snapshotBegins, .snapshotEnds: 0
    }
  }
}

/// A task as it stands: what a snapshot writes, and what is read back of a journal. A million of them are moved from hand to hand: what most do not
/// have is one word.
struct RestatedTask: Sendable {
  let id: MessageID
  /// With the client's identity, and a seal or signature as it came.
  var request: KeptRequest
  /// What it took in the journal that it was read from.
  var bytesRead = 0
  private var rare: Rare?

  /// What has become of a task that has been on an engine.
  struct Course: Sendable {
    /// Where it is; `nil` while it waits.
    var engine: EngineUUID?
    /// How many times it has come back from an engine.
    var attempt = 0
    /// Of the retries that it asked for.
    var spentRetries = 0
    /// When it came back from an engine and began to rest before another try, by the controller's clock.
    var restsSince: Timestamp?
    /// Engines where it failed or that declined it, and those among them that declined.
    var refused: Set<EngineUUID> = []
    var declined: Set<EngineUUID> = []
  }

  private final class Rare: Sendable {
    let course: Course
    init(_ course: Course) { self.course = course }
  }

  init(
    id: MessageID, _ request: KeptRequest, engine: EngineUUID? = nil, attempt: Int = 0, spentRetries: Int = 0,
    restsSince: Timestamp? = nil, refused: Set<EngineUUID> = [], declined: Set<EngineUUID> = [], bytesRead: Int = 0
  ) {
    self.id = id
    self.request = request
    self.bytesRead = bytesRead
    if engine != nil || attempt != 0 || spentRetries != 0 || restsSince != nil || !refused.isEmpty || !declined.isEmpty {
      rare = Rare(
        Course(
          engine: engine, attempt: attempt, spentRetries: spentRetries, restsSince: restsSince, refused: refused, declined: declined
        ))
    }
  }

  init(
    id: MessageID, message: Envelope, engine: EngineUUID? = nil, attempt: Int = 0, spentRetries: Int = 0,
    restsSince: Timestamp? = nil, refused: Set<EngineUUID> = [], declined: Set<EngineUUID> = []
  ) {
    self.init(
      id: id, .message(message), engine: engine, attempt: attempt, spentRetries: spentRetries, restsSince: restsSince,
      refused: refused, declined: declined)
  }

  /// As of `KeptRequest`.
  var message: Envelope { request.message }

  /// Nothing has happened to it but its submission.
  var isUntouched: Bool { rare == nil }

  var course: Course {
    get { rare?.course ?? Course() }
    set { rare = Rare(newValue) }
  }

  var engine: EngineUUID? {
    get { rare?.course.engine }
    set { course.engine = newValue }
  }
  var restsSince: Timestamp? {
    get { rare?.course.restsSince }
    set { course.restsSince = newValue }
  }
  var attempt: Int {
    get { rare?.course.attempt ?? 0 }
    set { course.attempt = newValue }
  }
  var spentRetries: Int {
    get { rare?.course.spentRetries ?? 0 }
    set { course.spentRetries = newValue }
  }
  var refused: Set<EngineUUID> {
    get { rare?.course.refused ?? [] }
    set { course.refused = newValue }
  }
  var declined: Set<EngineUUID> {
    get { rare?.course.declined ?? [] }
    set { course.declined = newValue }
  }
}

struct JournalOutcome: Sendable, Hashable {
  var succeeded: Bool
  /// Where it ran.
  var engine: EngineUUID?
}

/// The reply of a task that has ended, for a client that may not have got it.
struct JournalResult: Sendable {
  let id: MessageID
  var reply: Envelope
  /// When it ended, by the controller's clock.
  let time: Timestamp
  let outcome: TaskOutcome
  let engine: EngineUUID?
  /// Whose task it was; `nil` where neither its request nor its end says so.
  var client: Frame?
  /// One of Apus's own clients, which asks for its results when it comes back.
  var isOwnClient = true
  /// It has left, as far as is known: a stock client that got it twice would stumble.
  var isDelivered = false
}
