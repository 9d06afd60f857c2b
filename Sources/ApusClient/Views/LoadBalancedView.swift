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
  /// Tasks of a higher priority are served first, from -10 000 to 10 000; of equal ones the older. 0 is usual.
  public var priority = 0 { didSet { metadata = encoded() } }
  /// What an engine must have for these tasks, by name: those that were started with `--resources` say what they have.
  public var resources: [String: Double] = [:] { didSet { metadata = encoded() } }
  /// The pause before a task is tried again; each further one is twice as long, up to five minutes.
  public var retryDelay: Duration? { didSet { metadata = encoded() } }
  /// Names of the exceptions after which a task is tried again (`EngineError` is the loss of its engine); empty is any.
  public var retryOn: Set<String> = [] { didSet { metadata = encoded() } }
  /// How long a task may run on an engine of Apus; then it is interrupted, and fails with a `RemoteError` `TaskTimeout`.
  public var timeLimit: Duration? { didSet { metadata = encoded() } }
  /// A task that still runs so long after an interrupt, by its time limit (10 s then, unless this says otherwise) or by its client, ends
  /// with its engine's process, which starts anew.
  public var killAfter: Duration? { didSet { metadata = encoded() } }
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
    if let selection { targets = try client.resolve(selection) } else { targets = nil }
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
    if priority != 0 { members["priority"] = .int(priority) }
    if !resources.isEmpty {
      members["resources"] = .object(
        JSONObject(members: resources.sorted { $0.key < $1.key }.map { (key: $0.key, value: .double($0.value)) }))
    }
    if !retryOn.isEmpty { members["retry_on"] = JSONValue(retryOn.sorted()) }
    for (name, duration) in [("retry_delay", retryDelay), ("time_limit", timeLimit), ("kill_after", killAfter)] {
      if let duration { members[name] = .double(max(0, duration / .seconds(1))) }
    }
    return Frame(.object(members))
  }
}
