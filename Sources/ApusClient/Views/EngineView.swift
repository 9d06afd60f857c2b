/// A way to run tasks on a client's engines.
public protocol EngineView: Sendable {
  /// What submitting gives: one task, or one for each engine.
  associatedtype Submitted: Sendable
  var client: Client { get }
  /// Sends a task. Suspends while more is under way than `maximumInFlight`, and never blocks a thread.
  /// - Throws: `ClientError` where there is no engine to send to or the client is closed, `CancellationError`.
  func submit(_ submission: TaskSubmission) async throws -> Submitted
}

extension EngineView {
  /// Runs source on Python engines, as a cell. Its output comes while it runs.
  /// - Parameter isSilent: shows no value of the last expression, and stays out of the engine's history.
  public func execute(_ code: String, isSilent: Bool = false, label: String? = nil) async throws -> Submitted {
    try await submit(.execute(code, isSilent: isSilent, label: label))
  }
}

extension Client {
  /// A view that sends each task to every selected engine.
  public func directView(_ targets: EngineSelection = .all) -> DirectView { DirectView(client: self, targets: targets) }
  /// A view that sends each task to one engine, which the scheduler chooses.
  public func loadBalancedView() -> LoadBalancedView { LoadBalancedView(client: self) }
  /// A view that sends each task to every selected engine as one message, which the controller copies.
  public func broadcastView(_ targets: EngineSelection = .all, isCoalescing: Bool = false) -> BroadcastView {
    BroadcastView(client: self, targets: targets, isCoalescing: isCoalescing)
  }
  /// A view of one engine.
  public subscript(engine: Int) -> DirectView { directView(.engine(engine)) }
}
