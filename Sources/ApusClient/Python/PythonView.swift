import ApusMessaging

/// The Python side of a view: reached as `view.python`.
///
/// Values go over as MessagePack (docs/codecs.md): numbers, text, arrays, dictionaries and structures become Python's own; arrays
/// of numbers become NumPy arrays, large ones without being copied. What fails over there is thrown as a `RemoteError` with its
/// traceback; a value that cannot be sent, or a result of another type than the one asked for, as a `ClientError`.
///
/// Calls on a load-balanced view give one result, of the engine that the scheduler chose. On direct and broadcast views they give
/// the results of all engines, in the order of the view's `engines`. Where a cluster has engines of several kinds, only those that
/// run Python are used.
public struct PythonView<View: PythonEngineView>: Sendable {
  /// The view whose engines these are, with all its settings (dependencies, retries, targets).
  public var view: View
  /// Whether the output of calls is waited for: set it to read `TaskHandle.outputEvents` or `completeOutput()` of a call to its
  /// end. Costs two messages a call. Executed code always has it.
  public var awaitsOutput = false
  /// For the task database.
  public var label: String?

  public init(_ view: View) { self.view = view }

  /// The same view with other settings: `view.python.with { $0.awaitsOutput = true }`.
  public func with(_ change: (inout PythonView) throws -> Void) rethrows -> PythonView {
    var copy = self
    try change(&copy)
    return copy
  }

  /// Starts source as a cell, and returns without waiting for its end. Its output comes while it runs: `outputEvents` of the task,
  /// or of the set of tasks.
  /// - Parameter isSilent: shows no value of the last expression, and stays out of the engine's history.
  /// - Throws: `ClientError` where no engine runs Python, `CancellationError`.
  public func executeAsync(_ code: String, isSilent: Bool = false) async throws -> View.Submitted {
    try await view.ofPythonEngines().execute(code, isSilent: isSilent, label: label)
  }

  func submit(_ call: PythonCall) async throws -> View.Submitted {
    try await view.ofPythonEngines().submit(call.submission(label: label, awaitsOutput: awaitsOutput))
  }
}
