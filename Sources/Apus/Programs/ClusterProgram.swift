import ApusClient
import ApusCluster
import ApusEngine
import ApusMessaging
import Glibc

/// A program that is its own client and its own engines.
///
/// ```swift
/// import Apus
///
/// @main struct Squares: ClusterProgram {
///   static func run(_ client: Client) async throws {
///     print(try await client.loadBalancedView().map(0..<32) { $0 * $0 })
///   }
/// }
/// ```
///
/// Started plainly it brings up a cluster of as many engines as there are cores, and takes it down at the end (`--engines N` for another
/// number); with `--engines=slurm -n 16` its engines are jobs of a batch system, and so with every launcher of `apus start`. With `--profile`, `--profile-dir`, `--cluster-id` or `--file` it joins a running one. With `engine` as its first word it serves one:
///
/// ```
/// $ apus start -n 0 &                    # a controller
/// $ ./Squares engine &  ./Squares engine &
/// $ ./Squares --profile default
/// ```
///
/// Exit codes: 0, 1 for an error of the program, 2 for wrong options, 12 and 66 where there is no cluster, 65 for a damaged connection file,
/// 130 if Ctrl-C or SIGTERM cancelled it.
public protocol ClusterProgram: SendableMetatype {
  /// The program, with a client whose engines are there (of a joined cluster: as many as there are).
  static func run(_ client: Client) async throws
  /// Changes to the cluster that the program brings up when it joins none.
  static func configure(_ cluster: inout EmbeddedCluster)
  /// Called on each engine before it serves: the place to `host` actors for protocols.
  static func prepare(_ kernel: SwiftKernel)
  /// What `--help` prints before the cluster's options.
  static var help: String { get }
}

extension ClusterProgram {
  public static func configure(_ cluster: inout EmbeddedCluster) {}
  public static func prepare(_ kernel: SwiftKernel) {}
  public static var help: String { "" }

  /// The command line without the program's name and the cluster's options.
  public static var arguments: [String] { (try? ProgramOptions(Array(CommandLine.arguments.dropFirst())))?.rest ?? [] }

  @concurrent public static func main() async {
    // A reader of our output that goes away must not end us in the middle.
    signal(SIGPIPE, SIG_IGN)
    do {
      let options = try ProgramOptions(Array(CommandLine.arguments.dropFirst()))
      if options.wantsHelp {
        print((help.isEmpty ? "" : help + "\n\n") + ProgramOptions.help)
        return
      }
      let work = Task { try await ProgressDisplay.$isProgram.withValue(true) { try await start(options) } }
      if options.role != .engine { ProgramSignals.watch { work.cancel() } }
      try await work.value
    } catch {
      if ProgramSignals.isInterrupted { exit(ExitCode.interrupted.rawValue) }
      let (code, text) = ProgramFailure.describe(error)
      fflush(nil)
      var line = "error: \(text)\n"
      line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
      exit(code)
    }
  }

  private static func start(_ options: ProgramOptions) async throws {
    switch options.role {
    case .engine: exit(try await EngineRole.run(options, prepare: { prepare($0) }))
    case .client: try await Client.withClient(options.source) { try await run($0) }
    case .embedded:
      var cluster = EmbeddedCluster(engines: options.engines)
      if let range = options.range { cluster = EmbeddedCluster(engines: range) }
      if !options.launching.isEmpty { cluster.placement = .launcher(options.launching) }
      configure(&cluster)
      try await cluster.run { try await run($0) }
    }
  }
}

/// What an error that ends a program means outside.
enum ProgramFailure {
  static func describe(_ error: any Error) -> (code: Int32, text: String) {
    switch error {
    case let error as ClusterError: (error.exitCode.rawValue, error.description)
    case let error as ClientError:
      switch error.code {
      case .noCluster: (ExitCode.missingFile.rawValue, error.description)
      case .connectionFile: (ExitCode.damagedFile.rawValue, error.description)
      case .controllerNotFound, .controllerSilent, .controllerLost: (ExitCode.noController.rawValue, error.description)
      case .timeout: (ExitCode.timedOut.rawValue, error.description)
      default: (1, error.description)
      }
    case let error as RemoteError:
      (1, error.traceback.isEmpty ? error.description : error.traceback.joined(separator: "\n"))
    default: (1, "\(error)")
    }
  }
}
