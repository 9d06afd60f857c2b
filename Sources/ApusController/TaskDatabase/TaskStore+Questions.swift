import ApusMessaging
import Transport

/// What clients ask of the task database (protocol section 6), answered where it lives.
extension TaskStore {
  struct Answer: Sendable {
    var content: JSONValue
    var buffers: [Frame] = []
  }

  func history() throws -> Answer {
    Answer(content: ["status": "ok", "history": JSONValue(try recorder.database.history().map(\.text))])
  }

  func results(_ ids: [MessageID], isStatusOnly: Bool) throws -> Answer {
    var pending: [String] = []
    var completed: [String] = []
    var members: [(key: String, value: JSONValue)] = []
    var buffers: [Frame] = []
    for id in ids {
      guard let record = try recorder.database.record(id), record.hasRequest || record.isFinished else { throw .unknown(id) }
      guard record.isFinished else {
        pending.append(id.text)
        continue
      }
      completed.append(id.text)
      if !isStatusOnly {
        members.append((id.text, Self.entry(record)))
        buffers += record.replyBuffers
      }
    }
    // Last: whatever a task's id is, it cannot stand for the status.
    members += [("pending", JSONValue(pending)), ("completed", JSONValue(completed)), ("status", "ok")]
    return Answer(content: .object(JSONObject(members: members)), buffers: buffers)
  }

  private static func entry(_ record: TaskRecord) -> JSONValue {
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

  func records(_ content: JSONObject) throws -> Answer {
    let query = try TaskQuery(content["query"] ?? [:])
    let keys = content["keys"].flatMap { $0.isNull ? nil : $0 }
    let fields = try Self.fields(keys)
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
    return Answer(content: reply, buffers: buffers)
  }

  /// Without keys: everything but the buffers.
  private static func fields(_ keys: JSONValue?) throws(RemoteError) -> [TaskRecord.Field] {
    guard let keys else { return TaskRecord.Field.allCases.filter { $0 != .buffers && $0 != .result_buffers } }
    guard let names = keys.stringArrayValue ?? keys.stringValue.map({ [$0] }) else {
      throw RemoteError(name: "TypeError", value: "keys should be a list of field names")
    }
    var fields: [TaskRecord.Field] = [.msg_id]
    for name in names where name != "msg_id" {
      guard let field = TaskRecord.Field(rawValue: name) else {
        throw RemoteError(name: "KeyError", value: "'no such field: \(name)'")
      }
      fields.append(field)
    }
    return fields
  }

  enum Purge: Sendable {
    /// Whatever has ended.
    case everything
    /// These, and what has ended on those engines.
    case some([MessageID], engines: [EngineUUID])
  }

  func purge(_ purge: Purge) throws -> Answer {
    switch purge {
    case .everything: try recorder.database.removeFinished()
    case .some(let ids, let engines):
      for id in ids {
        if let record = try recorder.database.record(id), !record.isFinished {
          throw RemoteError(name: "IndexError", value: "msg pending: '\(id)'")
        }
      }
      try recorder.database.remove(ids)
      for uuid in engines { try recorder.database.removeFinished(of: uuid) }
    }
    return Answer(content: ["status": "ok"])
  }

  /// The stored requests of tasks.
  func requests(_ ids: [MessageID]) throws -> [(id: MessageID, request: Envelope)] {
    var requests: [(MessageID, Envelope)] = []
    for id in ids {
      guard let request = try recorder.database.record(id)?.request else { throw .unknown(id) }
      requests.append((id, request))
    }
    return requests
  }
}

extension Error where Self == RemoteError {
  static func unknown(_ id: MessageID) -> Self { RemoteError(name: "KeyError", value: "'No such message: \(id)'") }
}
