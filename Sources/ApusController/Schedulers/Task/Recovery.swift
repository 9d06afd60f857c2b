import ApusMessaging
import DequeModule
import Transport

/// What the task scheduler of a restarted controller keeps in mind until its engines and clients have come back.
///
/// Engines are known by their index. The journal may be some milliseconds behind the truth, and engines and clients know better: an engine says
/// what it has, a client which of its tasks it still waits for.
struct Recovery {
  /// Engines of the controller before that have neither come back nor been given up.
  var awaited: Set<Int>
  /// Those among them that have not said what they have: it may be tasks that the journal does not know to be anywhere.
  var silent: Set<Int>
  /// Whether nothing is placed yet, because of them.
  var isHolding = true
  /// Engines that came back meanwhile, in their order.
  var arrivals: [EngineUUID] = []
  /// Those that have said what they have; and those that came and have not, with how long that is waited for.
  private(set) var accounted: Set<Int> = []
  private(set) var owing: [Int: ContinuousClock.Instant] = [:]
  /// Engines among these that came back when that was over, or have not said it by then.
  var latecomers: [Int: ContinuousClock.Instant] = [:]
  private let holdTime: Duration
  let engineTimeout: Duration
  /// Tasks that the journal knows to be on an engine, which has not confirmed it.
  var unconfirmed: [Int: Set<MessageID>] = [:]
  /// Tasks that engines have, and that nobody has submitted as far as the journal knows: their clients will send them again.
  private(set) var claims: [MessageID: Claim] = [:]
  /// Replies to such tasks.
  private var orphans: [MessageID: (engine: Int, reply: TaskReply)] = [:]
  private var orphanBytes = 0
  /// Results that clients may not have got, and their order.
  private(set) var results: [MessageID: JournalResult] = [:]
  private var resultOrder = Deque<MessageID>()
  private var resultBytes = 0
  private(set) var deferred = DeferredTasks()
  /// There is a deadline for them.
  var isDeferralDue = false
  /// When it was started, by both clocks.
  private let began: (now: ContinuousClock.Instant, wall: Timestamp)
  /// Tasks up to this place in the order are of before the restart.
  var lastRestored = 0
  /// Whoever has not come back by now will not.
  private(set) var isOver = false

  struct Claim: Equatable {
    var engine: Int
    /// How many times the task had come back before the try that the engine has; `nil` for a result.
    var attempt: Int?
    /// Of what two engines have, the later counts, and a result above all.
    func yields(to other: Claim) -> Bool { engine == other.engine || attempt.map { $0 <= other.attempt ?? .max } ?? false }
  }

  /// More of either is more than engines hold.
  private static let claimLimit = 1 << 16
  private static let orphanLimit = 64 << 20
  private static let resultLimit = 64 << 20

  init(
    awaited: Set<Int>, results: [JournalResult], _ configuration: JournalConfiguration, now: ContinuousClock.Instant,
    wall: Timestamp
  ) {
    self.awaited = awaited
    (holdTime, engineTimeout) = (configuration.holdTime, configuration.engineTimeout)
    silent = awaited
    began = (now, wall)
    for result in results { keep(result) }
  }

  /// Within bounds: the oldest go.
  private mutating func keep(_ result: JournalResult) {
    // It would take the place of all others, and not find room itself.
    guard result.reply.byteCount <= Self.resultLimit / 2 || results[result.id] != nil else { return }
    if let before = results.updateValue(result, forKey: result.id) {
      resultBytes -= before.reply.byteCount
    } else {
      resultOrder.append(result.id)
    }
    resultBytes += result.reply.byteCount
    while resultBytes > Self.resultLimit, let oldest = resultOrder.popFirst() {
      resultBytes -= results.removeValue(forKey: oldest)?.reply.byteCount ?? 0
    }
  }

  /// It has said what it has, or is given up.
  mutating func heard(_ engine: Int) { silent.remove(engine) }

  /// It is here, and will say what it has, unless it has done so. However often it comes, it is waited for once.
  mutating func owes(_ engine: Int, now: ContinuousClock.Instant) {
    if owing[engine] == nil, !accounted.contains(engine) { owing[engine] = now + holdTime }
  }

  mutating func accounts(_ engine: Int) {
    heard(engine)
    owing[engine] = nil
    accounted.insert(engine)
  }

  /// - Returns: how long the engine's account is waited for; `nil` if nobody does.
  mutating func awaitAccount(of engine: Int, now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
    guard !isOver, let deadline = owing[engine], deadline > now else { return nil }
    latecomers[engine] = deadline
    return deadline
  }

  /// - Parameter attempt: as of `Claim`.
  /// - Returns: whether nobody has a better claim.
  @discardableResult
  mutating func claim(_ id: MessageID, _ attempt: Int?, by engine: Int) -> Bool {
    guard claims.count < Self.claimLimit, !isOver else { return false }
    let claim = Claim(engine: engine, attempt: attempt)
    if let before = claims[id], !before.yields(to: claim) { return false }
    claims[id] = claim
    // What was kept of the other is of an earlier try.
    if let orphan = orphans[id], orphan.engine != engine {
      orphans[id] = nil
      orphanBytes -= orphan.reply.message.byteCount
    }
    return true
  }

  mutating func keep(_ reply: TaskReply, of engine: Int) {
    guard orphanBytes + reply.message.byteCount <= Self.orphanLimit else { return }
    guard claim(reply.id, reply.isResult ? nil : reply.attempt ?? 0, by: engine) else { return }
    if let before = orphans.updateValue((engine, reply), forKey: reply.id) { orphanBytes -= before.reply.message.byteCount }
    orphanBytes += reply.message.byteCount
  }

  /// Who has the task, and perhaps its reply, now that it is submitted again.
  mutating func takeClaim(_ id: MessageID) -> (engine: Int, attempt: Int?, reply: TaskReply?)? {
    guard let claim = claims.removeValue(forKey: id) else { return nil }
    let reply = orphans.removeValue(forKey: id)?.reply
    if let reply { orphanBytes -= reply.message.byteCount }
    return (claim.engine, claim.attempt, reply)
  }

  /// Of an engine that is gone: its tasks are not anywhere now. Replies that it gave are good.
  mutating func forgetClaims(of engine: Int) { claims = claims.filter { $0.value.engine != engine || orphans[$0.key] != nil } }

  /// A task of before has ended. Its client may not be back, and then what is sent to it goes to nobody; or what is sent is on its way, by libzmq
  /// and behind a thousand others, while the client asks once more, by its line.
  mutating func ended(
    _ task: QueuedTask, with reply: Envelope, _ outcome: TaskOutcome, on engine: EngineUUID?, now: ContinuousClock.Instant
  ) {
    guard task.submission <= lastRestored, let client = task.request.client else { return }
    let time = Timestamp(microseconds: began.wall.microseconds + Int((now - began.now) / .microseconds(1)))
    keep(
      JournalResult(
        id: task.id, reply: reply, time: time, outcome: outcome, engine: engine, client: client,
        isOwnClient: task.request.isOwn))
  }

  /// These have left.
  mutating func delivered(_ ids: [MessageID]) { for id in ids { results[id]?.isDelivered = true } }

  /// They came to somebody else.
  mutating func takeBack(_ ids: [MessageID]) -> [JournalResult] {
    ids.compactMap { id in
      results[id]?.isDelivered = false
      return results[id]
    }
  }

  mutating func changeDeferred<R>(_ body: (inout DeferredTasks) -> R) -> R { body(&deferred) }

  /// A task has come, or has ended.
  mutating func known(_ id: MessageID) { deferred.known(id) }

  /// Whether a task may wait for others that are still to come.
  var mayDefer: Bool { !isOver && deferred.count < Self.claimLimit }

  mutating func forgetResults() {
    isOver = true
    results = [:]
    resultOrder = []
    resultBytes = 0
    lastRestored = 0
    claims = [:]
    orphans = [:]
    orphanBytes = 0
  }
}
