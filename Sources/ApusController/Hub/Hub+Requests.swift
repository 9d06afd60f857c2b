import ApusMessaging
import Logging
import Transport

/// What clients ask of the hub (protocol section 6).
extension Hub {
  /// - Parameter connection: that it came by.
  func answer(_ type: MessageType, _ content: JSONObject, _ message: Envelope, connection: Int32) {
    // What the schedulers have reported counts: an answer must not be older than the reply that the client has seen.
    wire.events.drain()
    do throws(RemoteError) {
      switch type {
      case .connectionRequest:
        let isOwn = content["batches"]?.isTruthy ?? false
        if !isOwn, let client = message.sessionID { wire.audience.clientComes(client) }
        wire.reply(to: message, "connection_reply", self.connection(isOwn: isOwn))
      case .queueRequest: wire.reply(to: message, "queue_reply", try queueStatus(content))
      case .loadRequest: wire.reply(to: message, "load_reply", try loads(content))
      case .resultRequest:
        let (ids, isStatusOnly) = (try ids(content), content["status_only"]?.isTruthy ?? false)
        if isStatusOnly, !store.keepsRecords { return wire.reply(to: message, "result_reply", try statuses(ids)) }
        try ask(message) { try $0.results(ids, isStatusOnly: isStatusOnly) }
      case .historyRequest: try ask(message) { try $0.history() }
      case .dbRequest: try ask(message) { try $0.records(content) }
      case .purgeRequest:
        let purge = try purge(content)
        try ask(message) { try $0.purge(purge) }
      case .resubmitRequest: try resubmit(try ids(content), for: message)
      case .eventsRequest: try tellEvents(content, message, connection: connection)
      case .explainRequest: try explain(content, message)
      case .shutdownRequest:
        wire.reply(to: message, "shutdown_reply", ["status": "ok"])
        logger.info("a client shuts the controller down")
        shutDown(after: message)
      case .becomeDaskRequest: becomeDask(content, message)
      case .stopDistributedRequest:
        stopDask()
        wire.reply(to: message, "stop_distributed_reply", ["status": "ok"])
      case .drainRequest: wire.reply(to: message, "drain_reply", try drain(content))
      case .demandRequest: wire.reply(to: message, "demand_reply", demand(content))
      case .scaleRequest: wire.reply(to: message, "scale_reply", try scale(content))
      default: throw RemoteError(name: "KeyError", value: "'\(type)' is no request of the hub's")
      }
    } catch { fail(message, error) }
  }

  /// A question for the task database; its answer is the reply.
  private func ask(_ request: Envelope, _ question: @escaping @Sendable (isolated TaskStore) throws -> TaskStore.Answer)
    throws(RemoteError)
  {
    try store.ask(question, on: loop) { [weak self] result in self?.assumeIsolated { $0.answered(request, result) } }
  }

  private func answered(_ request: Envelope, _ result: Result<TaskStore.Answer, any Error>) {
    guard let type = request.messageType else { return }
    switch result {
    case .success(let answer): wire.reply(to: request, type.reply, answer.content, buffers: answer.buffers)
    case .failure(let error): fail(request, error)
    }
    deliverLater()
  }

  func fail(_ request: Envelope, _ error: any Error) {
    guard let type = request.messageType else { return }
    wire.reply(to: request, errorType(for: type), remoteError(error).content)
  }

  /// Which reply carries an error: the request's own where the request was understood (protocol section 6.1).
  private func errorType(for type: MessageType) -> MessageType {
    switch type {
    case .resultRequest, .historyRequest, .dbRequest, .purgeRequest, .resubmitRequest, .eventsRequest, .explainRequest: type.reply
    default: .hubError
    }
  }

  private func remoteError(_ error: any Error) -> RemoteError {
    let found =
      switch error {
      case let error as RemoteError: error
      case let error as TaskDatabaseError: RemoteError(name: error.code.rawValue, value: error.reason)
      default: RemoteError(name: "RuntimeError", value: "\(error)")
      }
    return RemoteError(name: found.name, value: found.value, traceback: ["\(found.name): \(found.value)"])
  }

  /// - Parameter isOwn: for a client of ours.
  private func connection(isOwn: Bool) -> JSONValue {
    // The schedulers do not know the others yet, and would send nobody what is for them. They are announced in a moment.
    let engines = state.sortedEngines.filter { wire.unannounced[$0.uuid] == nil }
    var content: JSONObject = ["status": "ok", "engines": .object(HubState.uuids(of: engines))]
    let kinds = HubState.kinds(of: engines)
    if !kinds.members.isEmpty { content["kinds"] = .object(kinds) }
    if isOwn {
      content["batches"] = true
      content["welcomes"] = true
      content["ranges"] = true
      content["own"] = HubState.own(of: engines)
      content["arrivals"] = .object(HubState.arrivals(of: engines))
      if let journal = wire.journal { content["journal"] = .string(journal) }
    }
    return .object(content)
  }

  // MARK: load

  private func targets(_ content: JSONObject) throws(RemoteError) -> [HubState.Engine] {
    guard let targets = content["targets"] else { throw RemoteError(name: "KeyError", value: "'targets'") }
    if targets.isNull || targets.stringValue == "all" { return state.sortedEngines }
    let elements = targets.arrayValue ?? [targets]
    guard !elements.isEmpty else { throw RemoteError(name: "IndexError", value: "no targets") }
    var engines: [HubState.Engine] = []
    for element in elements {
      let id = element.intValue.map { EngineID($0) } ?? element.stringValue.flatMap { state.ids[EngineUUID($0)] }
      guard let engine = id.flatMap({ state.engines[$0] }) else {
        throw RemoteError(name: "IndexError", value: "no such engine: \(element.text)")
      }
      engines.append(engine)
    }
    return engines
  }

  private func queueStatus(_ content: JSONObject) throws(RemoteError) -> JSONValue {
    let isVerbose = content["verbose"]?.isTruthy ?? false
    func show(_ ids: some Collection<MessageID>) -> JSONValue { isVerbose ? JSONValue(ids.map(\.text)) : .int(ids.count) }
    var members: [(key: String, value: JSONValue)] = [("status", "ok")]
    for engine in try targets(content) {
      members.append(
        (
          engine.id.description,
          [
            "queue": show(engine.queue), "tasks": show(engine.tasks),
            "completed": isVerbose ? show(engine.completed) : .int(engine.completedCount),
          ]
        ))
    }
    members.append(("unassigned", show(state.unassigned)))
    return .object(JSONObject(members: members))
  }

  private func loads(_ content: JSONObject) throws(RemoteError) -> JSONValue {
    var members: [(key: String, value: JSONValue)] = [("status", "ok")]
    for engine in try targets(content) { members.append((engine.id.description, .int(engine.queue.count + engine.tasks.count))) }
    return .object(JSONObject(members: members))
  }

  // MARK: results

  private func ids(_ content: JSONObject) throws(RemoteError) -> [MessageID] {
    guard let ids = content["msg_ids"]?.stringArrayValue ?? content["msg_ids"]?.stringValue.map({ [$0] }) else {
      throw RemoteError(name: "KeyError", value: "'msg_ids' should be a list of message ids")
    }
    return Set(ids).sorted().map { MessageID($0) }
  }

  private func statuses(_ ids: [MessageID]) throws(RemoteError) -> JSONValue {
    var pending: [String] = []
    var completed: [String] = []
    for id in ids {
      guard let isPending = isPendingWithoutRecord(id) else { throw .unknown(id) }
      if isPending { pending.append(id.text) } else { completed.append(id.text) }
    }
    return ["pending": JSONValue(pending), "completed": JSONValue(completed), "status": "ok"]
  }

  /// Without a database the counters still know what is under way.
  private func isPendingWithoutRecord(_ id: MessageID) -> Bool? {
    if state.unassigned.contains(id) || state.placedElsewhere.values.contains(where: { $0.contains(id) }) { return true }
    for engine in state.engines.values {
      if engine.queue.contains(id) || engine.tasks.contains(id) { return true }
      if engine.completed.contains(id) { return false }
    }
    return nil
  }

  // MARK: the task database

  private func purge(_ content: JSONObject) throws(RemoteError) -> TaskStore.Purge {
    if content["msg_ids"]?.stringValue == "all" { return .everything }
    let ids = content["msg_ids"].map(\.isTruthy) == true ? try ids(content) : []
    var engines: [EngineUUID] = []
    for element in content["engine_ids"]?.arrayValue ?? [] {
      let uuid = element.intValue.flatMap { number in
        state.engines[EngineID(number)]?.uuid ?? state.lost.first { $0.value.id.number == number }?.key
      }
      guard let uuid = uuid ?? element.stringValue.map({ EngineUUID($0) }) else {
        throw RemoteError(name: "IndexError", value: "no such engine: \(element.text)")
      }
      engines.append(uuid)
    }
    return .some(ids, engines: engines)
  }

  /// Of the metadata, what says how the request is written and what it is called. Engines, dependencies and retries were wishes of then.
  private static func kept(of request: Envelope) -> Frame {
    let metadata = (try? request.metadata()) ?? JSONObject()
    let kept = metadata.members.filter { ["codec", "label"].contains($0.key) }
    return kept.isEmpty ? .emptyObject : Frame(.object(JSONObject(members: kept)))
  }

  /// The stored requests again, as new tasks of the clients that sent them; results are for the database.
  private func resubmit(_ ids: [MessageID], for asker: Envelope) throws(RemoteError) {
    try store.ask({ try $0.requests(ids) }, on: loop) { [weak self] result in
      self?.assumeIsolated { hub in
        do { try hub.resubmit(result.get(), for: asker) } catch { hub.fail(asker, error) }
        hub.deliverLater()
      }
    }
  }

  private func resubmit(_ requests: [(id: MessageID, request: Envelope)], for asker: Envelope) throws(RemoteError) {
    var resubmitted = JSONObject()
    var tasks: [(old: MessageID, id: MessageID, message: Envelope)] = []
    for (old, request) in requests {
      let id = wire.session.nextID()
      guard case .object(var header)? = try? request.headerFrame.json() else { throw .unknown(old) }
      header["msg_id"] = .string(id.text)
      header["date"] = .string(Timestamp.now().description)
      let message = wire.session.signed(
        header: Frame(.object(header)), parentHeader: request.parentHeaderFrame, metadata: Self.kept(of: request),
        content: request.contentFrame, buffers: Array(request.buffers))
      tasks.append((old, id, message))
      resubmitted[old.text] = .string(id.text)
    }
    for task in tasks {
      store.replace(task.old, by: task.id)
      wire.events.report(TaskEvent(task.old, nil, at: .now(), .resubmitted(as: task.id)))
    }
    wire.audience.loop.execute { [weak self, scheduler = wire.audience.tasks, tasks, resubmitted] in
      scheduler.assumeIsolated { scheduler in for task in tasks { scheduler.resubmit(task.message) } }
      // The scheduler has reported them: the client may ask for the new tasks as soon as it has their ids.
      guard let self else { return }
      self.loop.execute { [weak self] in self?.assumeIsolated { $0.resubmitted(resubmitted, for: asker) } }
    }
  }

  private func resubmitted(_ ids: JSONObject, for asker: Envelope) {
    wire.reply(to: asker, "resubmit_reply", ["status": "ok", "resubmitted": .object(ids)])
    deliverLater()
  }
}
