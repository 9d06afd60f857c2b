public import ApusProcess

/// Why a command, a launcher or a file of a cluster failed: what happened, what to do about it, and how the command ends.
public struct ClusterError: Error, Hashable, Sendable, CustomStringConvertible {
  public let exitCode: ExitCode
  /// What happened and where, as one sentence without a full stop.
  public let reason: String
  /// What a person can do now.
  public let advice: String?

  public init(_ exitCode: ExitCode, _ reason: String, advice: String? = nil) {
    self.exitCode = exitCode
    self.reason = reason
    self.advice = advice
  }

  public var description: String { advice.map { "\(reason)\n\($0)" } ?? reason }
}

extension ClusterError {
  public init(_ error: ProcessError) {
    let code: ExitCode =
      switch error.kind {
      case .missingProgram: .missingProgram
      case .file: .cannotWrite
      case .refused: .failure
      }
    self.init(code, error.reason)
  }
}
