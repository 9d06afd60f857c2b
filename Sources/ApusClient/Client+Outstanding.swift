public import ApusMessaging

/// Tasks of all clients that are not done, by where they are.
public struct OutstandingTasks: Hashable, Sendable {
  /// Direct tasks, and balanced ones that were placed, by engine; in no order.
  public var engines: [EngineID: [MessageID]]
  /// Balanced tasks that wait for an engine.
  public var unassigned: [MessageID]

  /// Each once.
  public var ids: Set<MessageID> { Set(unassigned).union(engines.values.joined()) }
}

extension Client {
  /// Asks the hub what is under way, whoever submitted it. Works without a task database too. Broadcasts are not counted.
  public func outstandingTasks() async throws -> OutstandingTasks {
    let content = try await ask(.queueRequest, ["targets": .null, "verbose": true]).content
    func list(_ value: JSONValue?) -> [MessageID] { value?.stringArrayValue?.map { MessageID($0) } ?? [] }
    var tasks = OutstandingTasks(engines: [:], unassigned: list(content["unassigned"]))
    for (key, value) in content.members {
      guard let id = Int(key) else { continue }
      tasks.engines[EngineID(id)] = Array(Set(list(value["queue"]) + list(value["tasks"])))
    }
    return tasks
  }
}
