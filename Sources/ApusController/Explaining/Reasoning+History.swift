import ApusMessaging

extension TaskReasoning {
  /// - Parameters:
  ///   - situation: of the scheduler, at about the same moment.
  ///   - ids: engines that are registered.
  init(
    _ id: MessageID, _ situation: TaskSituation?, ids: [EngineUUID: EngineID], _ history: EventHistory, now: Timestamp
  ) {
    self.init(id: id, situation: situation, now: now)
    self.ids = ids
    events = history.story(of: id)
    historyBegins = history.begins
    var engine = TaskCourse(events.filter { $0.task == id }, names: EngineNaming(ids: ids)).current
    if case .placed(let uuid)? = situation?.phase { engine = uuid }
    if let engine { open = history.openTasks(on: engine) }
    // Those that are gone are called by their numbers as well.
    let named = (situation?.engines.map(\.uuid) ?? []) + (situation?.unknownTargets ?? []) + (situation?.dependencyEngines ?? [])
    for uuid in named where self.ids[uuid] == nil { self.ids[uuid] = history.engineID(of: uuid) }
  }
}

extension TaskSituation {
  /// Where the tasks are, or ran, that it names.
  fileprivate var dependencyEngines: [EngineUUID] {
    let named = (after?.tasks ?? []) + (follow?.tasks ?? [])
    return named.compactMap { one in
      switch one.stage {
      case .placed(let engine): engine
      case .succeeded(let engine), .failed(let engine): engine
      case .waiting, .queued, .unknown: nil
      }
    }
  }
}

extension EngineReasoning {
  /// - Parameter here: of the hub, while it is registered.
  init(_ engine: StoryFilter.Engine, _ here: Here?, _ history: EventHistory, now: Timestamp) {
    self.init(engine: engine, here: here, now: now)
    // Who is asked for by an id that was used before is the one that has it now.
    events = history.comings(of: here.map { .uuid($0.uuid) } ?? engine)
    if let here { open = history.openTasks(on: here.uuid) }
    historyBegins = history.begins
  }
}

extension EventHistory {
  /// The time of the oldest event that is still known; `nil` while none was dropped.
  var begins: Timestamp? {
    guard start > 0 else { return nil }
    var oldest: Timestamp?
    forEach { _, record in
      oldest = record.time
      return false
    }
    return oldest
  }
}
