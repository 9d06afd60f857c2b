import Glibc

/// A process that we started, in a session of its own, with its output in a file.
///
/// `posix_spawn` and not swift-subprocess: there a child lives in the scope of a call that waits for it, and a cluster that was daemonized
/// outlives its launcher. The launcher also is one thread in one `poll`, and keeps running beside the cluster: it should weigh nothing.
public struct ChildProcess: Sendable, Hashable {
  public let pid: Int32
  public let outputFile: String

  /// A process that runs already.
  public init(pid: Int32, outputFile: String) {
    self.pid = pid
    self.outputFile = outputFile
  }

  /// - Parameter outputFile: gets standard output and standard error, appended.
  public static func start(_ command: Command, input: Stream = .nothing, outputFile: String) throws(ProcessError) -> ChildProcess {
    ChildProcess(pid: try command.spawn(input: input, output: .file(outputFile), isolation: .session), outputFile: outputFile)
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

extension ChildProcess {
  /// What to run.
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

  /// Where a standard stream of a child comes from, or goes to.
  public enum Stream: Sendable, Hashable {
    /// `/dev/null`.
    case nothing
    /// Ours.
    case inherited
    /// Appended to; made with these permissions if it is not there.
    case file(String, mode: UInt32 = 0o644)
    /// Open in this process, which keeps it.
    case descriptor(Int32)
  }

  /// What reaches a child of the signals that a terminal sends: nothing, in either case.
  public enum Isolation: Sendable, Hashable {
    /// A process group of its own, for children that go with us.
    case group
    /// A session of its own, for those that outlive us.
    case session
  }
}

extension ChildProcess.Command {
  /// `POSIX_SPAWN_SETSID`, which is behind a feature macro that Swift's importer does not set.
  private static let newSession: Int16 = 0x80

  /// Starts it. Signals that we ignore, handle or block start fresh in it.
  /// - Parameter errors: `nil` goes where the output goes.
  /// - Returns: its process id, for the caller to wait for.
  public func spawn(
    input: ChildProcess.Stream = .nothing, output: ChildProcess.Stream, errors: ChildProcess.Stream? = nil,
    isolation: ChildProcess.Isolation
  ) throws(ProcessError) -> Int32 {
    guard let path = environment.find(program) else { throw ProcessError(program: program, code: ENOENT) }
    var opened: [Int32] = []
    defer { for descriptor in opened { close(descriptor) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    try Self.connect(0, to: input, &actions, &opened)
    try Self.connect(1, to: output, &actions, &opened)
    if let errors {
      try Self.connect(2, to: errors, &actions, &opened)
    } else if output != .inherited {
      posix_spawn_file_actions_adddup2(&actions, 1, 2)
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    posix_spawnattr_setpgroup(&attributes, 0)
    let isolated = isolation == .session ? Self.newSession : Int16(POSIX_SPAWN_SETPGROUP)
    posix_spawnattr_setflags(&attributes, isolated | Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK))
    var pid: pid_t = 0
    let code = withCStrings(arguments) { arguments in
      withCStrings(environment.assignments) { environment in posix_spawn(&pid, path, &actions, &attributes, arguments, environment)
      }
    }
    guard code == 0 else { throw ProcessError(program: path, code: code) }
    return pid
  }

  private static func connect(
    _ target: Int32, to stream: ChildProcess.Stream, _ actions: inout posix_spawn_file_actions_t, _ opened: inout [Int32]
  ) throws(ProcessError) {
    switch stream {
    case .inherited: break
    case .descriptor(let descriptor): posix_spawn_file_actions_adddup2(&actions, descriptor, target)
    case .nothing: posix_spawn_file_actions_addopen(&actions, target, "/dev/null", target == 0 ? O_RDONLY : O_WRONLY, 0)
    case .file(let path, let mode):
      // Here and not in the child, whose failure would look like a missing program.
      let descriptor = open(path, target == 0 ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, mode)
      guard descriptor >= 0 else { throw ProcessError(file: path, code: errno) }
      opened.append(descriptor)
      posix_spawn_file_actions_adddup2(&actions, descriptor, target)
    }
  }

  /// Becomes that program, under the same process id.
  /// - Returns: only where that failed, with the reason.
  public func replaceThisProcess() -> ProcessError {
    guard let path = environment.find(program) else { return ProcessError(program: program, code: ENOENT) }
    withCStrings(arguments) { arguments in
      withCStrings(environment.assignments) { environment in _ = execve(path, arguments, environment) }
    }
    return ProcessError(program: path, code: errno)
  }
}

/// Calls with a null-terminated array of C strings, as `exec` takes them.
private func withCStrings<R>(_ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> R) -> R {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
  pointers.append(nil)
  defer { for pointer in pointers { free(pointer) } }
  return pointers.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { preconditionFailure("an array with its terminating null is never empty") }
    return body(base)
  }
}
