public import ApusMessaging
import Transport

/// Runs each task on one engine, which the scheduler chooses (protocol section 10).
public struct LoadBalancedView: EngineView {
  public let client: Client
  /// Tasks that must have ended before these begin.
  public var after = Dependency.none { didSet { metadata = encoded() } }
  /// Tasks beside which these must run: on an engine that ran them.
  public var follow = Dependency.none { didSet { metadata = encoded() } }
  /// How often a task that failed, or lost its engine, is tried on another.
  public var retries = 0 { didSet { metadata = encoded() } }
  /// How long a task may wait for its dependencies and an engine; then it fails with a `RemoteError` `TaskTimeout`.
  public var timeout: Duration? { didSet { metadata = encoded() } }
  /// Which engines may run these tasks; `nil` is any. Resolved when it is set, because the scheduler knows engines by name.
  public private(set) var targets: [RegisteredEngine]?
  /// For the task database, where a task has none of its own.
  public var label: String?
  /// All of the above as the wire has it, once for all tasks.
  private(set) var metadata = Frame.emptyObject

  public init(client: Client) { self.client = client }

  /// The same view with other settings: `view.with { $0.retries = 2 }`.
  public func with(_ change: (inout LoadBalancedView) throws -> Void) rethrows -> LoadBalancedView {
    var copy = self
    try change(&copy)
    return copy
  }

  /// Lets only these engines run the view's tasks; `nil` lets any.
  /// - Throws: `noEngines`, `unknownEngine`.
  public mutating func setTargets(_ selection: EngineSelection?) throws(ClientError) {
    if let selection { targets = try selection.resolve(among: client.engines) } else { targets = nil }
    metadata = encoded()
  }

  /// The same view for tasks that begin when these have succeeded.
  public func after(_ tasks: [TaskHandle]) -> LoadBalancedView { with { $0.after = Dependency(Set(tasks.map(\.id))) } }
  /// The same view for tasks that run where these have succeeded.
  public func following(_ tasks: [TaskHandle]) -> LoadBalancedView { with { $0.follow = Dependency(Set(tasks.map(\.id))) } }

  public func submit(_ submission: TaskSubmission) async throws -> TaskHandle { try await submit(submission, observer: nil) }

  func submit(_ submission: TaskSubmission, observer: (@Sendable (TaskOutcome) -> Void)?) async throws -> TaskHandle {
    guard submission.label == nil, let label else {
      return try await client.submitBalanced(submission, metadata: metadata, observer: observer)
    }
    var labelled = submission
    labelled.label = label
    return try await client.submitBalanced(labelled, metadata: metadata, observer: observer)
  }

  private func encoded() -> Frame {
    var members = JSONObject()
    if !after.isEmpty { members["after"] = after.json }
    if !follow.isEmpty { members["follow"] = follow.json }
    if retries > 0 { members["retries"] = .int(retries) }
    if let timeout { members["timeout"] = .double(max(0, timeout / .seconds(1))) }
    if let targets { members["targets"] = JSONValue(targets.map(\.uuid.text)) }
    return Frame(.object(members))
  }
}
