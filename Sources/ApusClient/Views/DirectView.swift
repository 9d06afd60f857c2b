import ApusMessaging

/// Runs each task on every one of its engines.
///
/// Live by default: its engines are those that the selection finds at each call. `frozen()` keeps those of now.
public struct DirectView: EngineView {
  public let client: Client
  public var targets: EngineSelection
  /// For the task database, where a task has none of its own.
  public var label: String?

  public init(client: Client, targets: EngineSelection = .all, label: String? = nil) {
    self.client = client
    self.targets = targets
    self.label = label
  }

  /// The engines of this moment. Ones that are named may be away, where a restarted controller has not all of them back yet: what is submitted to
  /// them waits.
  /// - Throws: `noEngines`, `unknownEngine`.
  public var engines: [RegisteredEngine] {
    get throws(ClientError) { try client.resolve(targets) }
  }

  /// The same view of the engines of this moment, whoever comes later. One that leaves makes its calls throw.
  public func frozen() throws(ClientError) -> DirectView {
    DirectView(client: client, targets: .engines(try engines.map(\.id)), label: label)
  }

  public func submit(_ submission: TaskSubmission) async throws -> TaskSet {
    var submission = submission
    submission.label = submission.label ?? label
    return TaskSet(try await client.submit(submission, to: engines))
  }
}
