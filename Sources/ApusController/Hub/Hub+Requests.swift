import ApusMessaging
import Logging
import Transport

/// What clients ask of the hub (protocol section 6).
extension Hub {
  func answer(_ type: MessageType, _ content: JSONObject, _ message: Envelope) {
    // What the schedulers have reported counts: an answer must not be older than the reply that the client has seen.
    wire.events.drain()
    do {
      switch type {
      case .connectionRequest: wire.reply("connection_reply", connection(content))
      case .queueRequest: wire.reply("queue_reply", try queueStatus(content))
      case .loadRequest: wire.reply("load_reply", try loads(content))
      case .resultRequest:
        let (reply, buffers) = try results(content)
        wire.reply("result_reply", reply, buffers: buffers)
      case .historyRequest:
        wire.reply("history_reply", ["status": "ok", "history": JSONValue(try recorder.database.history().map(\.text))])
      case .dbRequest:
        let (reply, buffers) = try query(content)
        wire.reply("db_reply", reply, buffers: buffers)
      case .purgeRequest: wire.reply("purge_reply", try purge(content))
      case .resubmitRequest: wire.reply("resubmit_reply", try resubmit(content))
      case .shutdownRequest:
        wire.reply("shutdown_reply", ["status": "ok"])
        logger.info("a client shuts the controller down")
        shutDown(after: message)
      case .becomeDaskRequest: becomeDask(content, message)
      case .stopDistributedRequest:
        stopDask()
        wire.reply("stop_distributed_reply", ["status": "ok"])
      default: throw RemoteError(name: "KeyError", value: "'\(type)' is no request of the hub's")
      }
    } catch { wire.reply(errorType(for: type), remoteError(error).content) }
  }

  /// Which reply carries an error: the request's own where the request was understood (protocol section 6.1).
  private func errorType(for type: MessageType) -> MessageType {
    switch type {
    case .resultRequest, .historyRequest, .dbRequest, .purgeRequest, .resubmitRequest: type.reply
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

  private func connection(_ request: JSONObject) -> JSONValue {
    var content: JSONObject = ["status": "ok", "engines": .object(state.enginesObject)]
    let kinds = state.kindsObject
    if !kinds.members.isEmpty { content["kinds"] = .object(kinds) }
    if request["batches"]?.isTruthy ?? false { content["batches"] = true }
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

  private func results(_ content: JSONObject) throws -> (JSONValue, [Frame]) {
    let isStatusOnly = content["status_only"]?.isTruthy ?? false
    var pending: [String] = []
    var completed: [String] = []
    var members: [(key: String, value: JSONValue)] = []
    var buffers: [Frame] = []
    for id in try ids(content) {
      if !recorder.database.keepsRecords, isStatusOnly {
        guard let isPending = isPendingWithoutRecord(id) else { throw unknown(id) }
        if isPending { pending.append(id.text) } else { completed.append(id.text) }
        continue
      }
      guard let record = try recorder.database.record(id), record.request != nil || record.isFinished else { throw unknown(id) }
      guard record.isFinished else {
        pending.append(id.text)
        continue
      }
      completed.append(id.text)
      if !isStatusOnly {
        members.append((id.text, entry(record)))
        buffers += record.replyBuffers
      }
    }
    // Last: whatever a task's id is, it cannot stand for the status.
    members += [("pending", JSONValue(pending)), ("completed", JSONValue(completed)), ("status", "ok")]
    return (.object(JSONObject(members: members)), buffers)
  }

  private func unknown(_ id: MessageID) -> RemoteError { RemoteError(name: "KeyError", value: "'No such message: \(id)'") }

  /// Without a database the counters still know what is under way.
  private func isPendingWithoutRecord(_ id: MessageID) -> Bool? {
    if state.unassigned.contains(id) { return true }
    for engine in state.engines.values {
      if engine.queue.contains(id) || engine.tasks.contains(id) { return true }
      if engine.completed.contains(id) { return false }
    }
    return nil
  }

  private func entry(_ record: TaskRecord) -> JSONValue {
    [
      "header": record.value(.header), "metadata": record.value(.metadata), "result_metadata": record.value(.result_metadata),
      "result_header": record.value(.result_header), "result_content": record.value(.result_content),
      "received": record.value(.received),
      "io": [
        "execute_input": record.value(.execute_input), "execute_result": record.value(.execute_result),
        "error": record.value(.error),
        "stdout": record.value(.stdout), "stderr": record.value(.stderr),
      ],
    ]
  }

  // MARK: the task database

  private func query(_ content: JSONObject) throws -> (JSONValue, [Frame]) {
    let query = try TaskQuery(content["query"] ?? [:])
    let keys = content["keys"].flatMap { $0.isNull ? nil : $0 }
    var fields = TaskRecord.Field.allCases.filter { $0 != .buffers && $0 != .result_buffers }
    if let keys {
      guard let names = keys.stringArrayValue ?? keys.stringValue.map({ [$0] }) else {
        throw RemoteError(name: "TypeError", value: "keys should be a list of field names")
      }
      fields = [.msg_id]
      for name in names where name != "msg_id" {
        guard let field = TaskRecord.Field(rawValue: name) else {
          throw RemoteError(name: "KeyError", value: "'no such field: \(name)'")
        }
        fields.append(field)
      }
    }
    let sendsRequests = keys != nil && fields.contains(.buffers)
    let sendsReplies = keys != nil && fields.contains(.result_buffers)
    var records: [JSONValue] = []
    var requestCounts: [JSONValue] = []
    var replyCounts: [JSONValue] = []
    var buffers: [Frame] = []
    for record in try recorder.database.find(query) {
      var object = JSONObject()
      for field in fields where field != .buffers && field != .result_buffers { object[field.rawValue] = record.value(field) }
      records.append(.object(object))
      if sendsRequests {
        buffers += record.requestBuffers
        requestCounts.append(.int(record.requestBuffers.count))
      }
      if sendsReplies {
        buffers += record.replyBuffers
        replyCounts.append(.int(record.replyBuffers.count))
      }
    }
    let reply: JSONValue = [
      "status": "ok", "records": .array(records), "buffer_lens": sendsRequests ? .array(requestCounts) : .null,
      "result_buffer_lens": sendsReplies ? .array(replyCounts) : .null,
    ]
    return (reply, buffers)
  }

  private func purge(_ content: JSONObject) throws -> JSONValue {
    if content["msg_ids"]?.stringValue == "all" {
      try recorder.database.removeFinished()
      return ["status": "ok"]
    }
    let ids = content["msg_ids"].map(\.isTruthy) == true ? try ids(content) : []
    for id in ids {
      if let record = try recorder.database.record(id), !record.isFinished {
        throw RemoteError(name: "IndexError", value: "msg pending: '\(id)'")
      }
    }
    try recorder.database.remove(ids)
    for element in content["engine_ids"]?.arrayValue ?? [] {
      let uuid = element.intValue.flatMap { number in
        state.engines[EngineID(number)]?.uuid ?? state.lost.first { $0.value.id.number == number }?.key
      }
      guard let uuid = uuid ?? element.stringValue.map({ EngineUUID($0) }) else {
        throw RemoteError(name: "IndexError", value: "no such engine: \(element.text)")
      }
      try recorder.database.removeFinished(of: uuid)
    }
    return ["status": "ok"]
  }

  /// Of the metadata, what says how the request is written and what it is called. Engines, dependencies and retries were wishes of then.
  private static func kept(of request: Envelope) -> Frame {
    let metadata = (try? request.metadata()) ?? JSONObject()
    let kept = metadata.members.filter { ["codec", "label"].contains($0.key) }
    return kept.isEmpty ? .emptyObject : Frame(.object(JSONObject(members: kept)))
  }

  /// The stored requests again, as new tasks of the clients that sent them; results are for the database.
  private func resubmit(_ content: JSONObject) throws -> JSONValue {
    var requests: [(MessageID, Envelope)] = []
    for id in try ids(content) {
      guard let request = try recorder.database.record(id)?.request else { throw unknown(id) }
      requests.append((id, request))
    }
    var resubmitted = JSONObject()
    let scheduler = wire.audience.tasks
    for (old, request) in requests {
      let id = wire.session.nextID()
      guard case .object(var header)? = try? request.headerFrame.json() else { throw unknown(old) }
      header["msg_id"] = .string(id.text)
      header["date"] = .string(Timestamp.now().description)
      let message = wire.session.signed(
        header: Frame(.object(header)), parentHeader: request.parentHeaderFrame, metadata: Self.kept(of: request),
        content: request.contentFrame, buffers: Array(request.buffers))
      try recorder.change(old) { $0.resubmitted = id }
      // Known before the client can ask for it; the scheduler's own report comes later and changes nothing.
      recorder.record(.submitted(id, request: message, queue: .task, engine: nil), at: .now())
      resubmitted[old.text] = .string(id.text)
      wire.audience.loop.execute { scheduler.assumeIsolated { $0.resubmit(message) } }
    }
    return ["status": "ok", "resubmitted": .object(resubmitted)]
  }
}
