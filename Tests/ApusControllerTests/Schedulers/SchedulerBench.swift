import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// A task scheduler's state on a bench: events in, effects out, invariants checked after each, a clock that is turned by hand.
struct SchedulerBench {
  var state: TaskSchedulerState
  var recorder = SchedulerRecorder()
  var now = ContinuousClock.now

  init(policy: SchedulingPolicy = .leastLoad, hwm: Int = 1, engines: Int = 0, finishedCapacity: Int = 1 << 18, seed: UInt64 = 1) {
    state = TaskSchedulerState(policy: policy, highWaterMark: hwm, finishedCapacity: finishedCapacity, seed: seed)
    // The engine registered last is used first: e0 shall be that.
    for number in (0..<engines).reversed() { state.engineRegistered(Self.engine(number), now: now, effects: &recorder) }
  }

  static func engine(_ number: Int) -> EngineUUID { EngineUUID("e\(number)") }

  private func verify(_ location: SourceLocation) {
    let wrong = state.checkInvariants()
    #expect(wrong.isEmpty, sourceLocation: location)
    #expect(recorder.stories.wrong == [], sourceLocation: location)
    for id in recorder.answers.keys where state.tasks[id] == nil && recorder.stories.outcomes[id] == nil {
      Issue.record("\(id) was answered, and has not ended", sourceLocation: location)
    }
    for (id, count) in recorder.answers where count > 1 {
      Issue.record("\(id) was answered \(count) times", sourceLocation: location)
    }
  }

  mutating func submit(
    _ id: String, after: Dependency = .none, follow: Dependency = .none, retries: Int = 0, timeout: Duration? = nil,
    targets: [Int] = [], preferences: TaskPreferences? = nil,
    at location: SourceLocation = #_sourceLocation
  ) {
    var request = TaskRequest(id: MessageID(id), message: Messages.request(MessageID(id)))
    request.after = after
    request.follow = follow
    request.retries = retries
    request.timeout = timeout
    request.targets = targets.map(Self.engine)
    request.preferences = preferences
    state.submit(request, now: now, effects: &recorder)
    verify(location)
  }

  mutating func refuse(_ id: String, at location: SourceLocation = #_sourceLocation) {
    let error = RemoteError(name: "ValueError", value: "nonsense")
    state.refuse(Messages.request(MessageID(id)), id: MessageID(id), error, effects: &recorder)
    verify(location)
  }

  mutating func complete(
    _ id: String, on engine: Int, _ status: TaskReply.Status = .ok, dependenciesMet: Bool = true, isRefusal: Bool = false,
    name: String? = nil, at location: SourceLocation = #_sourceLocation
  ) {
    let reply = Messages.reply(to: MessageID(id), from: "e\(engine)", errorName: name)
    state.completed(
      TaskReply(id: MessageID(id), message: reply, status: status, dependenciesMet: dependenciesMet, isRefusal: isRefusal),
      by: Self.engine(engine), now: now, effects: &recorder)
    verify(location)
  }

  mutating func register(_ engine: Int, resources: [String: Double] = [:], at location: SourceLocation = #_sourceLocation) {
    state.engineRegistered(Self.engine(engine), resources: resources, now: now, effects: &recorder)
    verify(location)
  }

  mutating func lose(
    _ engine: Int, _ cause: EngineLoss = .disconnected, grace: Duration = .zero, at location: SourceLocation = #_sourceLocation
  ) {
    state.engineLost(Self.engine(engine), cause: cause, grace: grace, now: now, effects: &recorder)
    verify(location)
  }

  mutating func abort(_ ids: String..., at location: SourceLocation = #_sourceLocation) {
    state.abort(ids.map { MessageID($0) }, now: now, effects: &recorder)
    verify(location)
  }

  mutating func advance(_ duration: Duration, at location: SourceLocation = #_sourceLocation) {
    now += duration
    state.expire(now: now, effects: &recorder)
    verify(location)
  }
}

extension Dependency {
  static func all(_ ids: String..., success: Bool = true, failure: Bool = false) -> Dependency {
    Dependency(Set(ids.map { MessageID($0) }), all: true, success: success, failure: failure)
  }

  static func any(_ ids: String..., success: Bool = true, failure: Bool = false) -> Dependency {
    Dependency(Set(ids.map { MessageID($0) }), all: false, success: success, failure: failure)
  }
}
