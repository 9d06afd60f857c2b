import ApusMessaging

extension JournalOutcome {
  init(_ outcome: FinishedTasks.Outcome, in engines: EngineLoads) {
    self.init(succeeded: outcome.succeeded, engine: outcome.engine.map { engines[$0].uuid })
  }
}

/// What a snapshot of the tasks is.
extension TaskSchedulerState {
  /// Everything that a journal needs to know of the tasks there are, and of how others have ended.
  /// - Parameter wall: the time of day at `now`.
  func snapshot(now: ContinuousClock.Instant, wall: Timestamp) -> [JournalEntry] {
    var entries: [JournalEntry] = [.snapshotBegins]
    entries += finished.parts(in: engines).map { .ended($0) }
    var named: Set<MessageID> = []
    // Of submission, not of service: what a task waits for has to be known before it.
    let ordered = tasks.values.sorted { $0.submission < $1.submission }
    for task in ordered where task.hasConstraints {
      let constraints = task.constraints
      named.formUnion(constraints.after.ids)
      named.formUnion(constraints.follow.ids)
      // Of `after` only what is awaited is left here; the request still names the rest.
      if let request = try? TaskRequest(task.request, id: task.id) { named.formUnion(request.after.ids) }
    }
    // In an order, so that the same history writes the same bytes.
    for id in named.sorted(by: { $0.text < $1.text }) {
      guard let outcome = finished[id], !outcome.isHearsay else { continue }
      entries.append(.outcome(id, JournalOutcome(outcome, in: engines)))
    }
    let results = (recovery?.results.values).map(Array.init) ?? []
    for result in results.sorted(by: { ($0.time, $0.id.text) < ($1.time, $1.id.text) }) { entries.append(.result(result)) }
    let delivered = results.filter(\.isDelivered).map(\.id).sorted { $0.text < $1.text }
    if !delivered.isEmpty { entries.append(.delivered(delivered)) }
    for task in ordered { entries.append(.restated(restated(task, now: now, wall: wall))) }
    entries.append(.snapshotEnds(tasks: ordered.count))
    return entries
  }

  private func restated(_ task: QueuedTask, now: ContinuousClock.Instant, wall: Timestamp) -> RestatedTask {
    var course = RestatedTask.Course()
    if case .placed(let engine) = task.phase { course.engine = engines[engine].uuid }
    guard task.hasConstraints else { return RestatedTask(id: task.id, task.request, engine: course.engine) }
    let constraints = task.constraints
    course.attempt = constraints.attempt
    if case .waiting = task.phase, let end = constraints.restsUntil,
      let pause = constraints.preferences?.pause(attempt: constraints.attempt)
    {
      course.restsSince = wall.advanced(by: end - pause - now)
    }
    course.refused = Set(constraints.refused.map { engines[$0].uuid })
    course.declined = Set(constraints.declined.map { engines[$0].uuid })
    if let request = try? TaskRequest(task.request, id: task.id) {
      course.spentRetries = max(0, request.retries - constraints.retries)
    }
    var restated = RestatedTask(id: task.id, task.request)
    restated.course = course
    return restated
  }
}
