import ApusMessaging

/// Runs each task on every one of its engines, by one message that the controller copies: for many engines and large arguments.
///
/// Its tasks are not in the task database (protocol section 9).
public struct BroadcastView: EngineView {
  public let client: Client
  public var targets: EngineSelection
  /// Whether the engines' replies come as one, whose buffers are all engines' in the order of the targets. If one engine fails, all do.
  public var isCoalescing: Bool

  public init(client: Client, targets: EngineSelection = .all, isCoalescing: Bool = false) {
    self.client = client
    self.targets = targets
    self.isCoalescing = isCoalescing
  }

  /// The engines of this moment.
  /// - Throws: `noEngines`, `unknownEngine`.
  public var engines: [RegisteredEngine] {
    get throws(ClientError) { try client.resolve(targets) }
  }

  /// - Returns: a task for each engine, or a single one if the view coalesces. `execute` never coalesces: its replies are not data.
  public func submit(_ submission: TaskSubmission) async throws -> TaskSet {
    let coalesces = isCoalescing && submission.type != .executeRequest
    return TaskSet(try await client.submitBroadcast(submission, to: engines, isCoalescing: coalesces))
  }
}
