import ApusMessaging

/// Which engines may have which task.
extension TaskSchedulerState {
  func mayTake(_ constraints: QueuedTask.Constraints, _ engine: Int) -> Bool {
    !constraints.refused.contains(engine) && follows(constraints, engine) && offers(constraints, engine)
  }

  private func follows(_ constraints: QueuedTask.Constraints, _ engine: Int) -> Bool {
    if constraints.follow.isEmpty { return true }
    return constraints.follow.isMet(
      succeeded: { id in finished[id].map { $0.succeeded && $0.engine == engine } ?? false },
      failed: { id in finished[id].map { !$0.succeeded && $0.engine == engine } ?? false })
  }

  /// The engines that are here and may have the task, whatever it met there before.
  private func eligible(_ constraints: QueuedTask.Constraints) -> [Int] {
    let pool =
      constraints.targets.isEmpty ? Array(engines.engines.indices) : constraints.targets.compactMap { engines.index(of: $0) }
    return pool.filter {
      engines[$0].isRegistered && !engines[$0].isDraining && follows(constraints, $0) && offers(constraints, $0)
    }
  }

  /// A task that has failed on every engine that it may have goes to them again: its last error is the answer. One with a timeout waits for
  /// another engine until then, as in ipyparallel, as long as there may be another.
  func forgive(_ task: QueuedTask) {
    guard task.hasConstraints else { return }
    let constraints = task.constraints
    guard !waitsForAnother(constraints), constraints.refused.count > constraints.declined.count else { return }
    let eligible = eligible(constraints)
    guard eligible.allSatisfy({ constraints.refused.contains($0) }), !eligible.allSatisfy({ constraints.declined.contains($0) })
    else {
      return
    }
    task.change { $0.refused = $0.declined }
  }

  /// Whether an engine may come, within the task's timeout, that it has not met yet. Of targets all are known: there is no other than those that are
  /// here, or were before a restart.
  private func waitsForAnother(_ constraints: QueuedTask.Constraints) -> Bool {
    guard constraints.timeout != nil else { return false }
    if constraints.targets.isEmpty { return true }
    return constraints.targets.contains { uuid in
      guard let index = engines.index(of: uuid), !constraints.refused.contains(index) else { return false }
      return mayCome(index) || engines[index].isRegistered && !engines[index].isDraining && offers(constraints, index)
    }
  }

  /// Whether no engine that is here, and may have the task, is left to be asked after this one.
  func everyEngineRefused(_ task: QueuedTask, and last: Int) -> Bool {
    let constraints = task.constraints
    return engines.engines.indices.allSatisfy { index in
      index == last || !engines[index].isRegistered && !mayCome(index) || engines[index].isDraining
        || constraints.refused.contains(index)
        || !constraints.targets.isEmpty && !constraints.targets.contains(engines[index].uuid)
        // What an engine has that is not back yet is not known.
        || !isAwaited(index) && !offers(constraints, index)
    }
  }

  /// Why no engine that is here or may come can take the task; `nil` if one may.
  func hopelessness(of task: QueuedTask) -> String? {
    guard task.limitsPlacement else { return nil }
    let constraints = task.constraints
    if !constraints.follow.isEmpty {
      let ids = constraints.follow.ids
      let places = Set(ids.compactMap { finished[$0]?.engine })
      if constraints.follow.all, places.count > 1 { return "the tasks to follow ran on different engines" }
      let nowhere = ids.count { tasks[$0] == nil && finished[$0]?.engine == nil }
      if constraints.follow.all ? nowhere > 0 : nowhere == ids.count { return "the tasks to follow ran on no engine" }
    }
    if constraints.timeout == nil, !constraints.declined.isEmpty {
      let eligible = eligible(constraints)
      if !eligible.isEmpty, eligible.allSatisfy({ constraints.declined.contains($0) }) {
        return "every engine that is here and may have the task declined it: a functional dependency is met on none of them"
      }
    }
    guard !constraints.targets.isEmpty else { return nil }
    // Where it has failed it is tried again, if nobody else is left. (After a restart they may not be here yet.)
    let shunned = waitsForAnother(constraints) ? constraints.refused : constraints.declined
    let left = constraints.targets.filter { uuid in !(engines.index(of: uuid).map { shunned.contains($0) } ?? false) }
    if left.isEmpty { return "every target refused the task" }
    let here = left.compactMap { engines.index(of: $0) }.filter { engines[$0].isRegistered || mayCome($0) }
    if here.isEmpty { return "no target is registered" }
    return here.contains { isAwaited($0) || offers(constraints, $0) }
      ? nil : "no target that is here has the resources that the task asks for"
  }
}
