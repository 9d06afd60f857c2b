import ApusCluster
import ApusController
import Glibc
import Logging
import ServiceLifecycle
import Transport
import UnixSignals

/// `apus controller`: runs a controller in this process until a signal or a client ends it.
struct ControllerCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    let configuration = try ControllerConfiguration(
      context.configuration, profile: context.selection.profile, executable: context.executable, context.environment)
    // Each engine takes some eight connections.
    Descriptors.raiseLimit()
    let controller: Controller
    do throws(ControllerError) {
      controller = try ReadingSignals.taken(configuration) { () throws(ControllerError) in
        try Controller(configuration, logger: context.logger)
      }
    } catch { throw ClusterError(error) }
    // A log that nobody reads any more must not end the controller.
    signal(SIGPIPE, SIG_IGN)
    // A file that may not grow (`ulimit -f`) is a full disk: the journal is suspended, and says so.
    signal(SIGXFSZ, SIG_IGN)
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: controller, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(context.logger)))
    do { try await group.run() } catch let error as ControllerError { throw ClusterError(error) } catch {
      throw ClusterError(.failure, "the controller ended: \(error)")
    }
    return .success
  }

  /// The service group tells of every step of its own at info level.
  private func quiet(_ logger: Logger) -> Logger {
    var logger = logger
    if logger.logLevel == .info { logger.logLevel = .warning }
    return logger
  }
}

extension ClusterError {
  init(_ error: ControllerError) {
    let code: ExitCode =
      switch error.code {
      case .addressInUse, .messaging: .cannotListen
      case .file, .database: .cannotWrite
      case .configuration: .failure
      case .alreadyRunning: .alreadyRunning
      }
    self.init(code, error.reason)
  }
}
