import ApusController
import ApusMessaging

@testable import ApusClient

/// Runs the body with a controller in this process, Python engines of their own, and perhaps engines that say they are Swift.
func withPythonCluster(
  engines: Int = 1, swift: Int = 0, _ body: (Client) async throws -> Void
) async throws {
  let cluster = try await TestCluster.start(engines: 0)
  var others: [EchoEngine] = []
  var processes: [PythonEngine] = []
  func stop() async {
    for process in processes { process.end() }
    for engine in others { await engine.die() }
    await cluster.stop()
  }
  do {
    for _ in 0..<swift {
      let engine = try EchoEngine(cluster.controller.engineConnection, kind: .swift)
      others.append(engine)
      try await engine.start()
    }
    for _ in 0..<engines { processes.append(try PythonEngine(cluster.controller.engineConnection)) }
    let client = try await cluster.connect()
    do {
      try await client.waitForEngines(engines + swift, timeout: .seconds(30))
      try await body(client)
    } catch {
      await client.close()
      throw error
    }
    await client.close()
  } catch {
    await stop()
    throw error
  }
  await stop()
}
