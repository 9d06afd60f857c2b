import ApusMessaging
import Transport

/// Why a task or an engine is where it is: each party is asked what it knows, one after the other, and then it is put together.
extension Hub {
  func explain(_ content: JSONObject, _ message: Envelope) throws(RemoteError) {
    if let task = content["task"], !task.isNull {
      guard let text = task.stringValue, !text.isEmpty else { throw Self.wrong("task is a message id") }
      return explain(task: MessageID(text), message)
    }
    guard let engine = content["engine"], !engine.isNull else { throw Self.wrong("either a task or an engine is to be explained") }
    if let number = engine.intValue { return explain(engine: .id(EngineID(number)), message) }
    guard let uuid = EngineUUID(told: engine) else { throw Self.wrong("engine is an id or a uuid") }
    explain(engine: .uuid(uuid), message)
  }

  private func answer(_ message: Envelope, _ explanation: Explanation) {
    wire.reply(
      to: message, MessageType.explainRequest.reply,
      ["status": "ok", "explanation": explanation.json, "text": .string(explanation.text)])
    deliverLater()
  }

  // MARK: tasks

  private func explain(task id: MessageID, _ message: Envelope) {
    wire.audience.loop.execute { [weak self, scheduler = wire.audience.tasks] in
      let situation = scheduler.assumeIsolated { $0.state.situation(of: id, now: .now) }
      self?.loop.execute { [weak self] in self?.assumeIsolated { $0.explain(task: id, situation, message) } }
    }
  }

  private func explain(task id: MessageID, _ situation: TaskSituation?, _ message: Envelope) {
    // What the scheduler had reported before it was asked belongs to its answer.
    wire.events.drain()
    let ids = state.ids
    log.ask({ history in TaskReasoning(id, situation, ids: ids, history, now: .now()) }, on: loop) { [weak self] reasoning in
      self?.assumeIsolated { $0.explain(reasoning, message) }
    }
  }

  private func explain(_ reasoning: TaskReasoning, _ message: Envelope) {
    let isKnown = reasoning.events.contains { $0.kind == .finished } || reasoning.situation.map { !$0.hasEnded } ?? false
    guard !isKnown, store.keepsRecords else { return answer(message, reasoning.explanation()) }
    do throws(RemoteError) {
      try store.ask({ try $0.recorder.database.record(reasoning.id).map { TaskReasoning.Record($0) } }, on: loop) {
        [weak self] record in
        self?.assumeIsolated { hub in
          var reasoning = reasoning
          // A database that fails knows nothing of it.
          reasoning.record = (try? record.get()) ?? nil
          hub.answer(message, reasoning.explanation())
        }
      }
    } catch { fail(message, error) }
  }

  // MARK: engines

  private func explain(engine: StoryFilter.Engine, _ message: Envelope) {
    // What the hub has told the schedulers of engines is among the events when those have heard of it.
    wire.audience.loop.execute { [weak self] in
      self?.loop.execute { [weak self] in self?.assumeIsolated { $0.explainNow(engine, message) } }
    }
  }

  private func explainNow(_ engine: StoryFilter.Engine, _ message: Envelope) {
    wire.events.drain()
    let here = here(engine)
    log.ask(
      { history in EngineReasoning(engine, here, history, now: .now()) }, on: loop
    ) { [weak self] reasoning in self?.assumeIsolated { $0.answer(message, reasoning.explanation()) } }
  }

  private func here(_ engine: StoryFilter.Engine) -> EngineReasoning.Here? {
    let id: EngineID? =
      switch engine {
      case .id(let id): id
      case .uuid(let uuid): state.ids[uuid]
      }
    guard let id, let found = state.engines[id] else { return nil }
    let heard = heart?.assumeIsolated { $0.lastHeard(found.uuid) }
    return EngineReasoning.Here(
      id: id, uuid: found.uuid, kind: found.traits.kind.rawValue, isOwn: found.traits.takesBatches, completed: found.completedCount,
      isDraining: found.draining != .no, heartbeat: heard.map { .now - $0 })
  }
}

extension TaskSituation {
  fileprivate var hasEnded: Bool { if case .finished = phase { true } else { false } }
}
