import ApusMessaging
import Glibc

/// A process that we started, in a session of its own, with its output in a file.
///
/// `posix_spawn` and not swift-subprocess: there a child lives in the scope of a call that waits for it, and a cluster that was daemonized
/// outlives its launcher. The launcher also is one thread in one `poll`, and keeps running beside the cluster: it should weigh nothing.
public struct ChildProcess: Sendable, Hashable {
  public let pid: Int32
  public let outputFile: String

  public struct Command: Sendable, Hashable {
    /// A path, or a name to be looked for on PATH.
    public var program: String
    /// Beginning with the name that the process has in lists.
    public var arguments: [String]
    public var environment: Environment

    public init(program: String, arguments: [String], environment: Environment) {
      self.program = program
      self.arguments = arguments
      self.environment = environment
    }
  }

  /// `POSIX_SPAWN_SETSID`, which is behind a feature macro that Swift's importer does not set.
  private static let newSession: Int16 = 0x80

  /// - Parameter outputFile: gets standard output and standard error, appended. Standard input is `/dev/null`.
  public static func start(_ command: Command, outputFile: String) throws(ClusterError) -> ChildProcess {
    let output = open(outputFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard output >= 0 else {
      throw ClusterError(.cannotWrite, "the log \(FileError(path: outputFile, action: "open", code: errno))")
    }
    defer { close(output) }
    guard let program = command.environment.find(command.program) else { throw missing(command.program, ENOENT) }

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_adddup2(&actions, output, 2)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Ctrl-C of the terminal must reach us alone: we stop the children in order. Signals that we ignore or handle start fresh in them.
    var signals = sigset_t()
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, newSession | Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK))

    var pid: pid_t = 0
    let variables = command.environment.variables.map { "\($0.key)=\($0.value)" }
    let code = withCStrings(command.arguments) { arguments in
      withCStrings(variables) { environment in posix_spawn(&pid, program, &actions, &attributes, arguments, environment) }
    }
    guard code == 0 else { throw missing(program, code) }
    return ChildProcess(pid: pid, outputFile: outputFile)
  }

  private static func missing(_ program: String, _ code: Int32) -> ClusterError {
    ClusterError(
      code == EAGAIN || code == ENOMEM ? .failure : .missingProgram,
      "\(program) could not be started: \(String(cString: strerror(code)))")
  }

  /// Whether the process has ended; asking takes it from the system's table.
  public func endedStatus() -> ExitStatus? {
    var status: Int32 = 0
    while true {
      let result = waitpid(pid, &status, WNOHANG)
      if result == pid { return ExitStatus(waitStatus: status) }
      if result == 0 { return nil }
      if errno == EINTR { continue }
      // Somebody else took it: it is gone, and how is not known.
      return .exited(0)
    }
  }

  public func send(_ signal: Int32) { kill(pid, signal) }
}

extension ChildProcess.Command {
  /// Becomes that program, under the same process id.
  /// - Returns: only where that failed, with the reason.
  public func replaceThisProcess() -> ClusterError {
    guard let path = environment.find(program) else { return ClusterError(.missingProgram, "there is no program \(program)") }
    let variables = environment.variables.map { "\($0.key)=\($0.value)" }
    withCStrings(arguments) { arguments in withCStrings(variables) { environment in _ = execve(path, arguments, environment) } }
    return ClusterError(.missingProgram, "\(path) could not be started: \(String(cString: strerror(errno)))")
  }
}

/// Calls with a null-terminated array of C strings, as `exec` takes them.
func withCStrings<R>(_ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R) -> R {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
  pointers.append(nil)
  defer { for pointer in pointers { free(pointer) } }
  return pointers.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { preconditionFailure("an array with its terminating null is never empty") }
    return body(base)
  }
}
