import Glibc

/// Why the system did not start a program, or refused a pipe.
public struct ProcessError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// There is no such program, or it cannot be run.
    case missingProgram
    /// A file for its output could not be opened.
    case file
    /// The system has no room: for a process, a thread, a descriptor.
    case refused
  }

  public let kind: Kind
  /// What happened and where, as one sentence without a full stop.
  public let reason: String

  init(program: String, code: Int32) {
    kind = code == EAGAIN || code == ENOMEM ? .refused : .missingProgram
    reason =
      code == ENOENT && !program.contains("/")
      ? "there is no program \(program)" : "\(program) could not be started: \(Self.text(code))"
  }

  init(file: String, code: Int32) {
    kind = .file
    reason = "\(file) could not be opened for a program's output: \(Self.text(code))"
  }

  init(pipe code: Int32) {
    kind = .refused
    reason = "no pipe could be made: \(Self.text(code))"
  }

  public var description: String { reason }

  private static func text(_ code: Int32) -> String { String(cString: strerror(code)) }
}
