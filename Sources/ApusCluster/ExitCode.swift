/// How a command of Apus ends: `docs/commands.md` lists the same numbers for users.
///
/// 10, 11 and 12 are ipyparallel's own; 65 to 74 follow `sysexits.h`; 127 is a shell's "command not found", 124 is what `timeout` ends with,
/// and 130 is how a shell names the end by Ctrl-C.
public struct ExitCode: RawRepresentable, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let success = ExitCode(rawValue: 0)
  /// It was understood and tried, and failed: engines died, a value of the configuration is wrong, time ran out.
  public static let failure = ExitCode(rawValue: 1)
  /// The command line was not understood.
  public static let usage = ExitCode(rawValue: 2)
  /// `start`: this cluster runs already.
  public static let alreadyRunning = ExitCode(rawValue: 10)
  /// `stop`: there is no such cluster.
  public static let alreadyStopped = ExitCode(rawValue: 11)
  /// `engines` and clients: there is no controller to connect to, or none that answers.
  public static let noController = ExitCode(rawValue: 12)
  /// Clients: an engine or a task that was named is not there, or there are no engines at all.
  public static let missing = ExitCode(rawValue: 13)
  /// `start`, `engines`, `stop`: the system that is to run engines refused, or does not answer: a batch system, a host.
  public static let refused = ExitCode(rawValue: 14)
  /// A connection file or cluster file is damaged.
  public static let damagedFile = ExitCode(rawValue: 65)
  /// A file or a profile that was named does not exist.
  public static let missingFile = ExitCode(rawValue: 66)
  /// Something of ipyparallel that Apus does not have (yet).
  public static let unsupported = ExitCode(rawValue: 69)
  /// The controller could not listen: a port is in use, or the address is not of this machine.
  public static let cannotListen = ExitCode(rawValue: 71)
  /// Results could not be written to standard output: the disk is full.
  public static let outputFailed = ExitCode(rawValue: 74)
  /// Whoever read standard output through a pipe has closed it; the same number as of a program that SIGPIPE ended.
  public static let closedPipe = ExitCode(rawValue: 141)
  /// A directory or file could not be made or written.
  public static let cannotWrite = ExitCode(rawValue: 73)
  /// Clients: the time that was given for the work is over.
  public static let timedOut = ExitCode(rawValue: 124)
  /// Clients: ended by Ctrl-C or SIGTERM.
  public static let interrupted = ExitCode(rawValue: 130)
  /// A start in the background that a signal ended before there was a cluster: as shells say it.
  public static func ended(bySignal signal: Int32) -> ExitCode { ExitCode(rawValue: 128 + signal) }
  /// The Python interpreter, or another program that should be started, was not found.
  public static let missingProgram = ExitCode(rawValue: 127)
}
