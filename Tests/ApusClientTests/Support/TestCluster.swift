import ApusClient
import ApusController
import ApusMessaging
import Glibc
import Logging
import TestSupport

/// A controller in this process with engines that echo, for one test.
struct TestCluster: Sendable {
  let controller: Controller
  let engines: [EchoEngine]
  let running: Task<Void, any Error>
  private let profile: TemporaryDirectory

  static func start(engines count: Int, _ configure: (inout ControllerConfiguration) -> Void = { _ in }) async throws -> TestCluster
  {
    let profile = TemporaryDirectory()
    var configuration = ControllerConfiguration(profileDirectory: profile.path)
    configuration.heartbeatPeriod = .milliseconds(50 * patience)
    configuration.database = .memory
    configure(&configuration)
    for directory in ["security", "log"] { mkdir("\(configuration.profileDirectory)/\(directory)", 0o700) }
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let controller = try Controller(configuration, logger: logger)
    let (ready, isReady) = AsyncStream<Void>.makeStream()
    let running = Task { try await controller.run { isReady.finish() } }
    for await _ in ready {}
    var engines: [EchoEngine] = []
    for _ in 0..<count {
      let engine = try EchoEngine(controller.engineConnection)
      try await engine.start()
      engines.append(engine)
    }
    return TestCluster(controller: controller, engines: engines, running: running, profile: profile)
  }

  func stop() async {
    for engine in engines { await engine.die() }
    running.cancel()
    _ = try? await running.value
  }

  func engine(_ uuid: EngineUUID) -> EchoEngine? { engines.first { $0.uuid == uuid } }

  func connect(_ configuration: ClientConfiguration = ClientConfiguration()) async throws -> Client {
    let client = try await Client.connect(.connection(controller.clientConnection), configuration: configuration)
    try await client.waitForEngines(engines.count, timeout: .seconds(20 * patience))
    return client
  }
}

/// Runs the body with a cluster and a client, and takes both down.
func withTestCluster(
  engines: Int = 2, _ configuration: ClientConfiguration = ClientConfiguration(),
  controller: (inout ControllerConfiguration) -> Void = { _ in }, _ body: (TestCluster, Client) async throws -> Void
) async throws {
  let cluster = try await TestCluster.start(engines: engines, controller)
  do {
    let client = try await cluster.connect(configuration)
    do { try await body(cluster, client) } catch {
      await client.close()
      throw error
    }
    await client.close()
  } catch {
    await cluster.stop()
    throw error
  }
  await cluster.stop()
}
