import ApusMessaging
import Transport

/// How the views hand tasks over.
extension Client {
  /// One message each to these engines' shells.
  func submit(_ submission: TaskSubmission, to engines: [RegisteredEngine]) async throws -> [TaskHandle] {
    let metadata = submission.metadata.joined(with: Self.labelled(submission.label))
    let cost = submission.cost(isShared: queue.sharesMemory)
    let requests = engines.map { engine in
      let number = queue.ids.next()
      let handle = TaskHandle(number, cost: cost, engine: engine, label: submission.label, queue: queue)
      return Request(
        number: number, route: .direct(engine), type: submission.type, content: submission.content, metadata: metadata,
        buffers: submission.buffers, handles: [handle], awaitsOutput: submission.awaitsOutput, cost: cost)
    }
    try await queue.submit(requests)
    return requests.flatMap(\.handles)
  }

  /// To whichever engine the scheduler chooses.
  /// - Parameters:
  ///   - metadata: the view's own members.
  ///   - observer: called once on the client's loop when the task has ended.
  func submitBalanced(
    _ submission: TaskSubmission, metadata: Frame, observer: (@Sendable (TaskOutcome) -> Void)? = nil
  ) async throws -> TaskHandle {
    let number = queue.ids.next()
    let cost = submission.cost(isShared: queue.sharesMemory)
    let handle = TaskHandle(number, cost: cost, engine: nil, label: submission.label, queue: queue, observer: observer)
    let all = metadata.joined(with: submission.metadata).joined(with: Self.labelled(submission.label))
    try await queue.submit(
      Request(
        number: number, route: .balanced, type: submission.type, content: submission.content, metadata: all,
        buffers: submission.buffers,
        handles: [handle], awaitsOutput: submission.awaitsOutput, cost: cost))
    return handle
  }

  /// One message, which the broadcast scheduler copies.
  func submitBroadcast(_ submission: TaskSubmission, to engines: [RegisteredEngine], isCoalescing: Bool) async throws
    -> [TaskHandle]
  {
    let number = queue.ids.next()
    let metadata = submission.metadata.joined(with: Self.broadcastMetadata(engines, isCoalescing: isCoalescing))
    let cost = submission.cost(isShared: queue.sharesMemory) + metadata.count
    let handles: [TaskHandle]
    if isCoalescing {
      handles = [TaskHandle(number, cost: cost, engine: nil, label: submission.label, queue: queue)]
    } else {
      let share = max(1, cost / engines.count)
      handles = engines.map {
        TaskHandle(queue.ids.next(), shareOf: number, cost: share, engine: $0, label: submission.label, queue: queue)
      }
    }
    try await queue.submit(
      Request(
        number: number, route: isCoalescing ? .coalescing(engines) : .broadcast(engines), type: submission.type,
        content: submission.content,
        metadata: metadata, buffers: submission.buffers, handles: handles, awaitsOutput: submission.awaitsOutput && !isCoalescing,
        cost: handles.reduce(0) { $0 + $1.cost }))
    return handles
  }

  /// A query of the hub or of an engine's control channel: never held back, and given up after a while.
  func ask(
    _ type: MessageType, _ content: JSONObject = [:], route: Request.Route = .hub, timeout: Duration? = nil
  ) async throws -> TaskReply {
    let number = queue.ids.next()
    var engine: RegisteredEngine?
    if case .control(let target) = route { engine = target }
    let handle = TaskHandle(number, cost: 0, engine: engine, label: nil, queue: queue)
    let request = Request(
      number: number, route: route, type: type, content: Frame(.object(content)), metadata: .emptyObject, handles: [handle],
      deadline: .now + (timeout ?? configuration.requestTimeout), cost: 0)
    queue.post(.submit(request))
    do { return try await handle.reply } catch let error as ClientError where error.code == .timeout {
      let peer = engine.map { "engine \($0)" } ?? "the hub"
      throw ClientError(.timeout, "\(peer) did not answer a \(type) in \(timeout ?? configuration.requestTimeout)")
    }
  }

  static func broadcastMetadata(_ engines: [RegisteredEngine], isCoalescing: Bool) -> Frame {
    let targets = JSONValue.array(engines.map { [.string($0.uuid.text), .int($0.id.number)] })
    return Frame(.object(["targets": targets, "is_broadcast": true, "is_coalescing": .bool(isCoalescing)]))
  }

  private static func labelled(_ label: String?) -> Frame {
    label.map { Frame(["label": .string($0)]) } ?? .emptyObject
  }
}
