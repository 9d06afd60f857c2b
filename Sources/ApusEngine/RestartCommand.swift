import Glibc

/// How the process of an engine begins anew: what it was started with.
public struct RestartCommand: Sendable, Hashable {
  public var executable: String
  /// With the name of the program first.
  public var arguments: [String]
  public var directory: String
  /// `NAME=VALUE`: as it was at the beginning. What holds the cluster's key is taken out of the present one.
  public var environment: [String]

  public init(executable: String, arguments: [String], directory: String, environment: [String]) {
    self.executable = executable
    self.arguments = arguments
    self.directory = directory
    self.environment = environment
  }

  /// When this process began, as far as the engine knows: at the first use.
  static let began = time(nil)

  /// Replaces the process, whatever its other threads do. Returns if that is not possible.
  func run() {
    guard !executable.isEmpty, !arguments.isEmpty, chdir(directory) == 0 else { return }
    // A new program begins without what this thread has blocked.
    var nothing = sigset_t()
    sigemptyset(&nothing)
    pthread_sigmask(SIG_SETMASK, &nothing, nil)
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    let mark = EngineOrigin.begunVariable + "="
    let begun = environment.contains { $0.hasPrefix(mark) } ? [] : [mark + String(Self.began)]
    var variables: [UnsafeMutablePointer<CChar>?] = (environment + begun).map { strdup($0) } + [nil]
    execve(executable, &words, &variables)
    EngineLog.log(.error, "The engine could not be started anew: \(String(cString: strerror(errno)))")
  }
}
