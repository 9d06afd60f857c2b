import ApusClient
import ApusCluster
import ApusMessaging

/// How a command finds its cluster: `--file`, else the profile and the cluster id.
struct ClusterConnection {
  let source: ConnectionSource
  /// For people.
  let path: String
  private let context: CommandContext
  private let timeout: Duration

  init(_ context: CommandContext) throws(ClusterError) {
    self.context = context
    let application = context.command.application
    timeout = .seconds(max(0.1, try context.configuration.double("connect_timeout", of: application) ?? 5))
    if let file = try context.configuration.string("url_file", of: application), !file.isEmpty {
      path = Path.expanded(file, context.environment)
      guard FileSystem.exists(path) else {
        throw ClusterError(
          .missingFile, "there is no connection file \(path)",
          advice:
            "Name the ipcontroller-client.json that the controller wrote, or a copy of it; without --file the profile's is used."
        )
      }
      source = .file(path)
    } else {
      let id = try context.configuration.string("cluster_id", of: application) ?? ""
      let profile = context.selection.profile
      path = profile.connectionFile("client", clusterID: id)
      source = .profileDirectory(profile.location, clusterID: id)
      try Self.checkController(profile.clusterFile(id))
    }
  }

  /// Said at once, where a client would wait for a controller that has died.
  private static func checkController(_ clusterFile: String) throws(ClusterError) {
    guard let status = try? ClusterStatus(reading: clusterFile), let controller = status.deadController, !status.isRestarting else {
      // One that is about to be started again is waited for.
      return
    }
    let engines = status.engineCount
    throw ClusterError(
      .noController,
      "the controller of this cluster (process \(controller.pid)) has died; its last words may be in \(controller.outputFile)",
      advice: engines == 0
        ? "'apus stop' removes what it left, 'apus start' starts anew."
        : "\(engines) of its engines are left: 'apus stop' ends them, 'apus start' starts anew.")
  }

  /// Connects, runs the body and closes.
  func withClient<R: Sendable>(
    _ configuration: ClientConfiguration = ClientConfiguration(), _ body: (Client) async throws -> R
  ) async throws(ClusterError) -> R {
    var configuration = configuration
    configuration.connectTimeout = timeout
    do { return try await Client.withClient(source, configuration: configuration, logger: context.logger, body) } catch {
      throw ClusterError(clientSide: error)
    }
  }
}

extension CommandContext {
  var printsJSON: Bool {
    get throws(ClusterError) { try configuration.string("output_format", of: command.application) == "json" }
  }

  /// A time option; `nil` where it is 0.
  func duration(_ trait: String) throws(ClusterError) -> Duration? {
    guard let seconds = try configuration.double(trait, of: command.application), seconds > 0 else { return nil }
    // Centuries are "no limit", and longer times do not fit a clock.
    return seconds < 1e10 ? .seconds(seconds) : nil
  }
}

extension ClusterError {
  /// What a client threw, with the exit code for it.
  init(clientSide error: any Error) {
    switch error {
    case let error as ClusterError: self = error
    case let error as ClientError:
      let code: ExitCode =
        switch error.code {
        case .noCluster, .controllerNotFound, .controllerSilent, .controllerLost: .noController
        case .connectionFile: .damagedFile
        case .noEngines, .unknownEngine: .missing
        case .timeout: .timedOut
        default: .failure
        }
      self.init(code, error.reason, advice: error.advice.isEmpty ? nil : error.advice)
    case let error as RemoteError:
      if error.name == "NoEvents" {
        self.init(.failure, error.value, advice: "Start it without that setting.")
      } else if [MessageType.eventsRequest, .explainRequest].contains(where: { error.value.contains($0.text) }) {
        // Whoever does not know the request names it.
        self.init(
          .unsupported, "this controller has no log of events",
          advice: "It is ipyparallel's, or of an Apus before there was one: 'apus status' and 'apus tasks' work with it.")
      } else if error.name == "NoData" {
        self.init(
          .failure, "the controller keeps no task database", advice: "Start it without --nodb; 'apus status' works without one too."
        )
      } else {
        self.init(.failure, "the controller refused: \(error)")
      }
    case is CancellationError: self.init(.interrupted, "interrupted")
    default: self.init(.failure, "\(error)")
    }
  }
}
