import ApusMessaging
import Transport

/// A task that the scheduler has not answered yet.
///
/// A class of few words: a million of them may wait. What most tasks do not have is in `constraints`. Only `TaskSchedulerState` changes it.
final class QueuedTask {
  enum Phase {
    /// Its `after` is not met, or it rests before another try. To `queued`, or out with a failure.
    case waiting
    /// It may run, and no engine was free for it. To `placed`, or out with a timeout or an impossible dependency.
    case queued
    /// On an engine. Out with the reply; back to `queued` for a retry.
    case placed(engine: Int)
    /// Answered. Queues may still refer to it and skip it.
    case finished
  }

  /// What only some tasks ask for.
  struct Constraints {
    /// What is left of `after`.
    var after = Dependency.none
    var follow = Dependency.none
    var targets: [EngineUUID] = []
    var retries = 0
    var timeout: Duration?
    /// Engines where it failed or that declined it: not to be tried while there are others.
    var refused: Set<Int> = []
    /// Those of them that declined: a functional dependency is not met there.
    var declined: Set<Int> = []
    /// How many times it has come back from an engine.
    var attempt = 0
    /// Its client sends it again because nobody here knew it: an engine may have had it from a controller before.
    var isSentAgain = false
    /// Beyond ipyparallel's flags; most have none.
    var preferences: TaskPreferences?
    /// When it may be tried again, while it rests.
    var restsUntil: ContinuousClock.Instant?
    /// When the present stay in the queue ends.
    var deadline: ContinuousClock.Instant?
    /// Whether the choice of engine is limited.
    var limitsPlacement: Bool { !follow.isEmpty || !targets.isEmpty || !refused.isEmpty || needsResources }
    var needsResources: Bool { preferences.map { !$0.resources.isEmpty } ?? false }
    /// Whether targets are the only limit, so that the engines' own queues find it.
    var isTargetedOnly: Bool { !targets.isEmpty && follow.isEmpty && refused.isEmpty && !needsResources }
    /// The same of resources.
    var isDemandingOnly: Bool { needsResources && targets.isEmpty && follow.isEmpty && refused.isEmpty }
  }

  let id: MessageID
  private(set) var request: KeptRequest
  /// The order of service: by priority, then by submission.
  let sequence: Int
  var phase = Phase.waiting
  /// Its number among all tasks, whatever its priority.
  var submission: Int { sequence & (1 << TaskPreferences.rankBits - 1) }
  /// The order in which tasks were sent to engines; 0 where it is not known. (It takes no room: the phase ends within a word.)
  var placement: UInt32 = 0
  private var rare: Indirect?

  /// One word where most tasks have nothing.
  private final class Indirect {
    var value: Constraints
    init(_ value: Constraints) { self.value = value }
  }

  /// - Parameter submission: its number among all tasks.
  init(_ request: TaskRequest, submission: Int) {
    id = request.id
    self.request = request.kept
    sequence = request.preferences.map { TaskPreferences.rank($0.priority, submission: submission) } ?? submission
    if !request.isPlain {
      rare = Indirect(
        Constraints(
          after: request.after, follow: request.follow, targets: request.targets, retries: request.retries,
          timeout: request.timeout,
          preferences: request.preferences
        ))
    }
  }

  /// One that asks for nothing beyond being run.
  init(plain request: consuming KeptRequest, id: MessageID, submission: Int) {
    self.id = id
    self.request = request
    sequence = submission
  }

  var hasConstraints: Bool { rare != nil }
  var attempt: Int { rare?.value.attempt ?? 0 }
  var limitsPlacement: Bool { rare?.value.limitsPlacement ?? false }

  var constraints: Constraints {
    get { rare?.value ?? Constraints() }
    set { if let rare { rare.value = newValue } else { rare = Indirect(newValue) } }
  }

  func change<R>(_ body: (inout Constraints) -> R) -> R {
    if let rare { return body(&rare.value) }
    let made = Indirect(Constraints())
    rare = made
    return body(&made.value)
  }

  /// As of `KeptRequest`; from now on it is at hand.
  func openMessage() -> Envelope {
    request.open()
    return request.message
  }

  /// When it is answered: queues that still refer to the task shall not hold its bytes.
  func releaseMessage() { request = .released }

  /// Its client has another identity now.
  func reroute(to client: Frame) { request.reroute(to: client) }

  var isQueued: Bool { if case .queued = phase { true } else { false } }
  var isFinished: Bool { if case .finished = phase { true } else { false } }
}
