import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// A task scheduler's state after a restart: what is restored, who comes back and says what, with a clock that is turned by hand.
struct RecoveryBench {
  var state = TaskSchedulerState()
  var effects = SchedulerRecorder()
  var now = ContinuousClock.now
  var wall = Timestamp(microseconds: 1_800_000_000_000_000)

  mutating func restore(
    _ tasks: [RestatedTask], engines: [EngineUUID] = [], results: [JournalResult] = [],
    outcomes: [(id: MessageID, outcome: JournalOutcome)] = []
  ) {
    state.restore(
      Restorer.Restored(tasks: tasks, outcomes: outcomes, results: results), engines: engines, JournalConfiguration(), now: now,
      wall: wall,
      effects: &effects)
    check()
  }
  mutating func register(
    _ uuid: EngineUUID, running: [MessageID: Int] = [:], accounts: Bool = true, wasCutOff: Bool = false, isOfBefore: Bool = false
  ) {
    state.engineRegistered(
      uuid, running: running, accounts: accounts, wasCutOff: wasCutOff, isOfBefore: isOfBefore, now: now, effects: &effects)
    check()
  }
  mutating func lose(_ uuid: EngineUUID, _ cause: EngineLoss = .disconnected) {
    state.engineLost(uuid, cause: cause, grace: .seconds(1), now: now, effects: &effects)
    check()
  }
  mutating func account(_ uuid: EngineUUID, _ ids: MessageID..., waiting: [MessageID: Int] = [:], failed: [MessageID: Int] = [:])
    -> [MessageID]
  {
    defer { check() }
    return state.accounted(ids, waiting: waiting, failed: failed, by: uuid, now: now, effects: &effects)
  }
  mutating func complete(_ id: MessageID, by uuid: EngineUUID, _ status: TaskReply.Status = .ok, attempt: Int? = nil) {
    state.completed(
      TaskReply(id: id, message: Messages.reply(to: id, from: uuid.text), status: status, attempt: attempt), by: uuid, now: now,
      effects: &effects)
    check()
  }
  mutating func submit(
    _ id: MessageID, retries: Int = 0, after: Dependency = .none, follow: Dependency = .none, targets: [EngineUUID] = []
  ) {
    var request = TaskRequest(id: id, message: Messages.request(id))
    request.targets = targets
    request.retries = retries
    (request.after, request.follow) = (after, follow)
    state.submit(request, now: now, effects: &effects)
    check()
  }
  mutating func resume(_ ids: MessageID...) -> TaskSchedulerState.Resumption {
    defer { check() }
    return state.resumed(ids, by: Frame("again"), effects: &effects)
  }
  mutating func pass(_ seconds: Double) {
    now += .seconds(seconds)
    state.expire(now: now, effects: &effects)
    check()
  }
  func check(_ location: SourceLocation = #_sourceLocation) {
    #expect(state.checkInvariants() == [], sourceLocation: location)
    #expect(effects.stories.wrong == [], sourceLocation: location)
  }

  static func task(
    _ id: MessageID, on engine: EngineUUID? = nil, retries: Int = 0, spent: Int = 0, refused: Set<EngineUUID> = [],
    _ metadata: JSONObject = [:]
  ) -> RestatedTask {
    var metadata = metadata
    if retries > 0 { metadata["retries"] = .int(retries) }
    return RestatedTask(
      id: id, message: Messages.request(id, metadata: .object(metadata)), engine: engine, attempt: spent, spentRetries: spent,
      refused: refused)
  }

  static func result(_ id: MessageID, own: Bool = true) -> JournalResult {
    JournalResult(
      id: id, reply: Messages.reply(to: id), time: .now(), outcome: .ok, engine: "e0", client: Frame("client"), isOwnClient: own)
  }
}
