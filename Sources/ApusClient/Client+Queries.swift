public import ApusMessaging
public import Transport

/// How much an engine has had, and has to do.
public struct EngineQueue: Hashable, Sendable {
  /// Direct tasks that it has not answered.
  public var queued: Int
  /// Balanced tasks placed on it and not answered.
  public var tasks: Int
  public var completed: Int
}

/// What the hub knows of all engines' queues.
public struct QueueStatus: Hashable, Sendable {
  public var engines: [EngineID: EngineQueue]
  /// Balanced tasks that wait for an engine.
  public var unassigned: Int
}

/// Which tasks are done, as the hub knows it.
public struct ResultStatus: Hashable, Sendable {
  public var pending: [MessageID]
  public var completed: [MessageID]
}

/// A task in the hub's database (protocol section 11.1).
public struct FoundTask: Sendable {
  public var id: MessageID
  /// The fields that were asked for, by their names in ipyparallel.
  public var fields: JSONObject
  /// The request's buffers, if `buffers` was asked for.
  public var buffers: [Frame]
  /// The reply's buffers, if `result_buffers` was asked for.
  public var resultBuffers: [Frame]
}

/// Queries of the hub (protocol section 6). Each throws `RemoteError` where the hub refuses, and `ClientError` where no answer comes.
extension Client {
  /// - Parameter engines: by default all.
  public func queueStatus(of engines: [EngineID]? = nil) async throws -> QueueStatus {
    let targets = engines.map { JSONValue.array($0.map { .int($0.number) }) } ?? .null
    let content = try await ask(.queueRequest, ["targets": targets, "verbose": false]).content
    var status = QueueStatus(engines: [:], unassigned: content["unassigned"]?.intValue ?? 0)
    for (key, value) in content.members {
      guard let id = Int(key) else { continue }
      status.engines[EngineID(id)] = EngineQueue(
        queued: value["queue"]?.intValue ?? 0, tasks: value["tasks"]?.intValue ?? 0, completed: value["completed"]?.intValue ?? 0)
    }
    return status
  }

  /// - Throws: `RemoteError` `KeyError` for an id that the hub does not know.
  public func resultStatus(of ids: [MessageID]) async throws -> ResultStatus {
    let content = try await ask(.resultRequest, ["msg_ids": JSONValue(ids.map(\.text)), "status_only": true]).content
    func list(_ key: String) -> [MessageID] { content[key]?.stringArrayValue?.map { MessageID($0) } ?? [] }
    return ResultStatus(pending: list("pending"), completed: list("completed"))
  }

  /// The result of a task that any client submitted. The hub does not tell when it is there, so it is asked again and again.
  /// - Parameters:
  ///   - interval: between two questions.
  ///   - timeout: how long to wait for the task; by default as long as it takes.
  /// - Throws: the task's `RemoteError`; `KeyError` where the hub does not know it.
  public func result(
    of id: MessageID, polling interval: Duration = .milliseconds(100), timeout: Duration? = nil
  ) async throws -> TaskReply {
    let deadline = timeout.map { ContinuousClock.now + $0 }
    while true {
      let reply = try await ask(.resultRequest, ["msg_ids": [.string(id.text)], "status_only": false])
      if let entry = reply.content[id.text] { return try Self.reply(entry, buffers: Array(reply.buffers)).outcome.get() }
      if let deadline, deadline <= .now { throw ClientError(.timeout, "task \(id) was not done after \(timeout ?? .zero)") }
      try await Task.sleep(for: interval)
    }
  }

  private static func reply(_ entry: JSONValue, buffers: [Frame]) throws(ClientError) -> TaskReply {
    guard let content = entry["result_content"], content.objectValue != nil else {
      throw ClientError(.badReply, "the hub's record of a finished task has no result")
    }
    func frame(_ key: String) -> Frame { Frame(entry[key].flatMap { $0.isNull ? nil : $0 } ?? [:]) }
    return TaskReply(
      Envelope(
        signature: .empty, header: frame("result_header"), parentHeader: frame("header"), metadata: frame("result_metadata"),
        content: Frame(content), buffers: buffers))
  }

  /// Ids of all tasks in the database, by time of submission.
  public func history() async throws -> [MessageID] {
    try await ask(.historyRequest).content["history"]?.stringArrayValue?.map { MessageID($0) } ?? []
  }

  /// Searches the task database.
  /// - Parameters:
  ///   - query: conditions on fields, in the words of ipyparallel's `db_query`: `["completed": ["$ne": .null]]`. Empty is every task.
  ///   - fields: which to return; by default all but buffers.
  public func taskQuery(_ query: JSONObject = [:], fields: [String]? = nil) async throws -> [FoundTask] {
    let reply = try await ask(.dbRequest, ["query": .object(query), "keys": fields.map { JSONValue($0) } ?? .null])
    let content = reply.content
    let requestCounts = content["buffer_lens"]?.arrayValue?.map { $0.intValue ?? 0 }
    let replyCounts = content["result_buffer_lens"]?.arrayValue?.map { $0.intValue ?? 0 }
    var rest = reply.buffers
    func take(_ counts: [Int]?, _ index: Int) -> [Frame] {
      guard let counts, counts.indices.contains(index) else { return [] }
      defer { rest = rest.dropFirst(max(0, counts[index])) }
      return Array(rest.prefix(max(0, counts[index])))
    }
    return (content["records"]?.arrayValue ?? []).enumerated().map { index, record in
      let fields = record.objectValue ?? JSONObject()
      let buffers = take(requestCounts, index)
      return FoundTask(
        id: MessageID(fields["msg_id"]?.stringValue ?? ""), fields: fields, buffers: buffers,
        resultBuffers: take(replyCounts, index))
    }
  }

  /// Removes finished tasks from the database.
  /// - Throws: `RemoteError` `IndexError` if one of them is not finished.
  public func purge(_ ids: [MessageID]) async throws {
    _ = try await ask(.purgeRequest, ["msg_ids": JSONValue(ids.map(\.text)), "engine_ids": []])
  }

  /// Removes the finished tasks of these engines.
  public func purge(engines: [EngineID]) async throws {
    _ = try await ask(.purgeRequest, ["msg_ids": [], "engine_ids": .array(engines.map { .int($0.number) })])
  }

  /// Removes all finished tasks.
  public func purgeEverything() async throws { _ = try await ask(.purgeRequest, ["msg_ids": "all", "engine_ids": []]) }

  /// Runs tasks of the database again, as balanced tasks without their metadata.
  /// - Returns: for each the id of the new task; `result(of:)` gets its result.
  public func resubmit(_ ids: [MessageID]) async throws -> [MessageID: MessageID] {
    let reply = try await ask(.resubmitRequest, ["msg_ids": JSONValue(ids.map(\.text))])
    var renamed: [MessageID: MessageID] = [:]
    for (old, new) in reply.content["resubmitted"]?.objectValue?.members ?? [] {
      if let new = new.stringValue { renamed[MessageID(old)] = MessageID(new) }
    }
    return renamed
  }
}
