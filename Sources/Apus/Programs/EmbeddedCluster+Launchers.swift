import ApusClient
import ApusCluster
import ApusController
import ApusMessaging
import ApusProcess

/// Engines on other hosts, or in a batch system; the controller stays in this process.
extension EmbeddedCluster {
  func withLauncher<R: Sendable>(_ options: [String], _ body: @escaping @Sendable (Client) async throws -> R) async throws -> R {
    let program = try ProgramEngines(options, command: [try Self.executable(), "engine"], .current())
    var configuration = ControllerConfiguration(profileDirectory: program.profile.location)
    configuration.clusterID = program.clusterID
    if let address = program.address {
      configuration.clientIP = "*"
      configuration.engineIP = "*"
      configuration.location = address
    } else {
      configuration.location = "127.0.0.1"
    }
    // No other controller comes after this one.
    let noted = configuration.engineStatePath
    defer { FileSystem.remove(noted) }
    var cluster = self
    cluster.engines = range?.lowerBound ?? program.count
    return try await cluster.withController(configuration) { cluster, controller in
      if let range {
        let engines = try program.follow(
          range, connectionInfo: String(decoding: controller.engineConnection.json.encoded(), as: UTF8.self),
          connection: controller.clientConnection)
        defer { engines.stop() }
        return try await cluster.connect(controller, failure: { await Self.failure { engines.failure } }, body)
      }
      let engines = try program.start(
        connectionInfo: String(decoding: controller.engineConnection.json.encoded(), as: UTF8.self))
      defer { engines.stop() }
      return try await cluster.connect(controller, failure: { await Self.failure { engines.failure } }, body)
    }
  }

  /// Engines that are processes of this host, as many as there is work for.
  func withFollowingProcesses<R: Sendable>(
    _ controller: Controller, _ directory: TemporaryProfile, _ body: @escaping @Sendable (Client) async throws -> R
  ) async throws -> R {
    let engines = try FollowingEngines.processes(
      range ?? 0...0, command: [try Self.executable(), "engine"], engineFile: controller.configuration.engineFilePath,
      profile: ProfileDirectory(directory.path), connection: controller.clientConnection, .current())
    defer { engines.stop() }
    return try await connect(controller, failure: { await Self.failure { engines.failure } }, body)
  }

  /// Returns when they cannot all come. What a launcher has to tell comes seldom.
  private static func failure(_ known: @Sendable () -> ClusterError?) async -> ClusterError {
    while true {
      if let failure = known() { return failure }
      do { try await Task.sleep(for: .milliseconds(50)) } catch { return ClusterError(.interrupted, "interrupted") }
    }
  }
}
