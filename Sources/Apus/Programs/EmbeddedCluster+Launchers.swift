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
    cluster.engines = program.count
    return try await cluster.withController(configuration) { cluster, controller in
      let engines = try program.start(
        connectionInfo: String(decoding: controller.engineConnection.json.encoded(), as: UTF8.self))
      defer { engines.stop() }
      return try await cluster.connect(controller, failure: { await Self.failure(of: engines) }, body)
    }
  }

  /// Returns when they cannot all come. What a launcher has to tell comes seldom.
  private static func failure(of engines: RunningEngines) async -> ClusterError {
    while true {
      if let failure = engines.failure { return failure }
      do { try await Task.sleep(for: .milliseconds(50)) } catch { return ClusterError(.interrupted, "interrupted") }
    }
  }
}
