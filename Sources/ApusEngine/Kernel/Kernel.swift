public import ApusMessaging
import ApusValues
import Transport

/// What runs the tasks of an engine whose kernel is Swift code. (A Python engine drives its `Shell` itself, from Python.)
public protocol Kernel: Sendable {
  /// What the engine says of itself when it registers, and in its `kernel_info_reply`.
  var language: String { get }
  /// Runs the task of an `apply_request`. Never throws: an error is an outcome. Cancelled when the task is to be interrupted.
  func run(_ request: ShellRequest) async -> Shell.Outcome
  /// Forgets everything that tasks have left.
  func clear()
}

extension Shell.Outcome {
  /// The outcome of an `apply_request` that failed.
  /// - Parameter isMisplaced: another engine may be the right one; the scheduler is told to look for it.
  public static func failure(_ error: RemoteError, isMisplaced: Bool = false) -> Shell.Outcome {
    var outcome = Shell.Outcome(
      type: .applyReply, succeeded: false, content: Frame(error.content), buffers: error.thrown?.frames ?? [],
      errorName: error.name, codec: error.thrown == nil ? nil : MessagePackCodec.name)
    outcome.isRefusal = isMisplaced
    return outcome
  }
}
