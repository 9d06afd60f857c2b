import ApusMessaging

extension TaskSchedulerState {
  /// What must hold after every event. For tests: it walks everything.
  /// - Returns: a sentence for each thing that is wrong.
  func checkInvariants() -> [String] {
    var wrong: [String] = []
    var loads: [Int: Int] = [:]
    // A choice changes the order in which engines are looked at, and nothing that matters here.
    var copy = self
    for (id, task) in tasks {
      if id != task.id { wrong.append("task \(task.id) is filed under \(id)") }
      switch task.phase {
      case .placed(let engine): loads[engine, default: 0] += 1
      case .finished: wrong.append("finished task \(id) is still there")
      case .queued:
        if copy.choose(for: task) != nil { wrong.append("task \(id) waits although an engine is free for it: \(task.constraints)") }
        if hasEnded(id) { wrong.append("task \(id) is queued and finished") }
      case .waiting:
        if task.constraints.after.isEmpty, task.constraints.restsUntil == nil { wrong.append("task \(id) waits for nothing") }
      }
    }
    for (index, engine) in engines.engines.enumerated() where engine.load != loads[index, default: 0] {
      wrong.append("engine \(engine.uuid) has load \(engine.load) and \(loads[index, default: 0]) tasks")
    }
    let bytes = tasks.values.reduce(recovery?.deferred.byteCount ?? 0) { $0 + $1.request.byteCount }
    if bytes != messageBytes { wrong.append("\(messageBytes) bytes are counted, \(bytes) are there") }
    return wrong
  }
}
