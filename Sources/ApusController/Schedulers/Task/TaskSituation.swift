import ApusMessaging

/// How a balanced task stands at a moment, as the task scheduler knows it: what an explanation is made of.
struct TaskSituation: Sendable, Hashable {
  enum Phase: Sendable, Hashable {
    case waiting
    case queued
    case placed(EngineUUID)
    /// Its end is known, and nothing else of it.
    case finished(succeeded: Bool, engine: EngineUUID?)
  }

  var phase: Phase
  /// What it names as `after`, and as `follow`.
  var after: Named?
  var follow: Named?
  /// What keeps each engine from having it; of those that may have it, nothing.
  var engines: [EngineView] = []
  /// Engines beyond those that are listed.
  var moreEngines = 0
  /// Engines that it is limited to and that were never here.
  var unknownTargets: [EngineUUID] = []
  /// Tasks that are served before it, for whatever engine.
  var ahead: Position?
  /// Tasks that an engine may have at once; 0 is no limit.
  var highWaterMark = 0
  var retriesLeft = 0
  /// How often it has come back from an engine.
  var attempt = 0
  /// Until its timeout.
  var timeLeft: Duration?
  /// Until its pause between two tries is over.
  var restLeft: Duration?
  /// What it asks engines for, in words.
  var resources: [String] = []
  /// Its own, if it is not the usual one.
  var priority = 0
  /// Nothing is placed yet: so many engines of before a restart have not said what they have.
  var heldFor: Int?

  /// A dependency on other tasks.
  struct Named: Sendable, Hashable {
    var all: Bool
    var success: Bool
    var failure: Bool
    var tasks: [State]
    /// Beyond those that are listed.
    var more = 0

    struct State: Sendable, Hashable {
      enum Stage: Sendable, Hashable {
        case waiting, queued, placed(EngineUUID), succeeded(EngineUUID?), failed(EngineUUID?), unknown
      }
      let id: MessageID
      let stage: Stage
    }
  }

  struct EngineView: Sendable, Hashable {
    let uuid: EngineUUID
    /// What it has.
    let load: Int
    let obstacles: [EngineObstacle]
  }

  enum Position: Sendable, Hashable {
    case exactly(Int)
    /// There are too many to count them: no more than this.
    case atMost(Int)
  }
}

/// What keeps a task from an engine.
enum EngineObstacle: Sendable, Hashable {
  /// The task is limited to others.
  case notTarget
  /// It is not here, and is waited for after a restart.
  case awaited
  /// It is back after a restart, and has not said what it had.
  case unaccounted
  /// It is not here any more.
  case gone
  /// A functional dependency is not met there.
  case declined
  /// The task has failed there, and others are to be tried first.
  case failedThere
  /// None of the tasks to follow ran there, or not all of them.
  case follow
  /// It has not what the task asks for.
  case resources
  /// It gets no more tasks: it is about to go.
  case draining
  /// It has as much as it may.
  case busy
}

/// An explanation of a task: a question to the state, which changes nothing.
extension TaskSchedulerState {
  /// Of more there is only the number.
  private static let mostListed = 32
  /// Up to so many tasks are counted before one.
  private static let mostCounted = 20_000

  /// - Returns: `nil` for a task that is not known, or known no more.
  func situation(of id: MessageID, now: ContinuousClock.Instant) -> TaskSituation? {
    guard let task = tasks[id] else {
      guard let outcome = finished[id] else { return nil }
      return TaskSituation(
        phase: .finished(succeeded: outcome.succeeded, engine: outcome.engine.map { engines[$0].uuid }))
    }
    let constraints = task.constraints
    var situation = TaskSituation(phase: phase(of: task))
    situation.highWaterMark = engines.highWaterMark
    situation.retriesLeft = constraints.retries
    situation.attempt = constraints.attempt
    situation.restLeft = constraints.restsUntil.map { max(.zero, $0 - now) }
    if let preferences = constraints.preferences {
      situation.priority = preferences.priority
      situation.resources = preferences.resources.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }
    situation.timeLeft = constraints.deadline.map { max(.zero, $0 - now) }
    if let recovery, recovery.isHolding { situation.heldFor = recovery.silent.count }
    if task.hasConstraints, let request = try? TaskRequest(task.request, id: id) {
      // Of `after` only what is awaited is left in the task.
      if !request.after.isEmpty { situation.after = named(request.after) }
      if !request.follow.isEmpty { situation.follow = named(request.follow) }
    }
    guard case .queued = task.phase else { return situation }
    (situation.engines, situation.moreEngines) = views(for: constraints)
    situation.unknownTargets = constraints.targets.filter { engines.index(of: $0) == nil }
    situation.ahead = position(of: task)
    return situation
  }

  private func phase(of task: QueuedTask) -> TaskSituation.Phase {
    switch task.phase {
    case .waiting: .waiting
    case .queued: .queued
    case .placed(let engine): .placed(engines[engine].uuid)
    case .finished: .finished(succeeded: false, engine: nil)
    }
  }

  private func named(_ dependency: Dependency) -> TaskSituation.Named {
    let states = dependency.ids.map { TaskSituation.Named.State(id: $0, stage: stage(of: $0)) }
    // What is not settled comes first: it is what is waited for.
    let ordered = states.sorted { a, b in
      let (first, second) = (a.stage.isSettled, b.stage.isSettled)
      return first == second ? a.id.text < b.id.text : !first
    }
    return TaskSituation.Named(
      all: dependency.all, success: dependency.success, failure: dependency.failure, tasks: Array(ordered.prefix(Self.mostListed)),
      more: max(0, ordered.count - Self.mostListed))
  }

  private func stage(of id: MessageID) -> TaskSituation.Named.State.Stage {
    if let task = tasks[id] {
      switch task.phase {
      case .waiting: return .waiting
      case .queued, .finished: return .queued
      case .placed(let engine): return .placed(engines[engine].uuid)
      }
    }
    guard let outcome = finished[id] else { return .unknown }
    let engine = outcome.engine.map { engines[$0].uuid }
    return outcome.succeeded ? .succeeded(engine) : .failed(engine)
  }

  /// Engines that the task is limited to come first, and those that are here before those that are gone.
  private func views(for constraints: QueuedTask.Constraints) -> ([TaskSituation.EngineView], more: Int) {
    let indices =
      constraints.targets.isEmpty ? Array(engines.engines.indices) : constraints.targets.compactMap { engines.index(of: $0) }
    let relevant = indices.filter { engines[$0].isRegistered || mayCome($0) || !constraints.targets.isEmpty }
    let shown = relevant.prefix(Self.mostListed).map { index in
      TaskSituation.EngineView(
        uuid: engines[index].uuid, load: engines[index].load, obstacles: obstacles(for: constraints, at: index))
    }
    return (shown, relevant.count - shown.count)
  }

  /// What lasts comes first.
  private func obstacles(for constraints: QueuedTask.Constraints, at index: Int) -> [EngineObstacle] {
    let engine = engines[index]
    var found: [EngineObstacle] = []
    if !constraints.targets.isEmpty, !constraints.targets.contains(engine.uuid) { found.append(.notTarget) }
    if !engine.isRegistered { found.append(isAwaited(index) ? .awaited : mayCome(index) ? .unaccounted : .gone) }
    if constraints.declined.contains(index) {
      found.append(.declined)
    } else if constraints.refused.contains(index) {
      found.append(.failedThere)
    }
    if !constraints.follow.isEmpty, !mayTake(QueuedTask.Constraints(follow: constraints.follow), index) { found.append(.follow) }
    if engine.isRegistered, !offers(constraints, index) { found.append(.resources) }
    if engine.isRegistered, engine.isDraining {
      found.append(.draining)
    } else if engine.isRegistered, !engines.isFree(index) {
      found.append(.busy)
    }
    return found
  }

  /// Among all that wait for an engine: tasks are served by priority, then in the order of submission.
  private func position(of task: QueuedTask) -> TaskSituation.Position {
    let waiting = tasks.count - engines.totalLoad
    guard tasks.count <= Self.mostCounted else {
      let before = task.constraints.preferences.map { $0.priority != 0 } ?? false ? waiting : min(waiting, task.sequence)
      return .atMost(max(0, before - 1))
    }
    return .exactly(tasks.values.count { $0.isQueued && $0.sequence < task.sequence })
  }
}

extension TaskSituation.Named.State.Stage {
  var isSettled: Bool {
    switch self {
    case .succeeded, .failed: true
    case .waiting, .queued, .placed, .unknown: false
    }
  }
}

extension TaskSchedulerState {
  /// Which of the tasks that it names has ended as it must not, for a task that can never run.
  func cause(ofUnreachable request: TaskRequest) -> String {
    for dependency in [request.after, request.follow] {
      let spoiled = dependency.ids.filter { id in
        finished[id].map { $0.succeeded ? !dependency.success : !dependency.failure } ?? false
      }
      guard
        dependency.isUnreachable(
          succeeded: { finished[$0]?.succeeded ?? false }, failed: { finished[$0].map { !$0.succeeded } ?? false }),
        let first = spoiled.min(by: { $0.text < $1.text })
      else { continue }
      return "task \(first) \(finished[first]?.succeeded ?? false ? "ended well" : "failed")"
    }
    return ""
  }
}
