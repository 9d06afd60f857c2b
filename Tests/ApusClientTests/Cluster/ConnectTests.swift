import ApusController
import ApusMessaging
import Glibc
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// Finding a cluster, or saying what is wrong.
@Suite(.timeLimit(.minutes(1 * patience)))
struct ConnectTests {
  private func write(_ text: String, to path: String) throws { try AtomicFile.write(Array(text.utf8), to: path) }

  private func failure(_ source: ConnectionSource, _ variables: [String: String] = [:]) -> ClientError? {
    #expect(throws: ClientError.self) { try source.connectionFile(environment: ClientEnvironment(variables)) }
  }

  private func refusal(of file: ConnectionFile, _ configuration: ClientConfiguration) async -> ClientError? {
    await #expect(throws: ClientError.self) { _ = try await Client.connect(.connection(file), configuration: configuration) }
  }

  @Test func profilesFilesAndEnvironmentLead() async throws {
    let cluster = try await TestCluster.start(engines: 0) { $0.clusterID = "two" }
    let profile = cluster.controller.configuration.profileDirectory
    let path = cluster.controller.configuration.clientFilePath
    let expected = cluster.controller.clientConnection
    #expect(try ConnectionSource.file(path).connectionFile() == expected)
    #expect(try ConnectionSource.profileDirectory(profile, clusterID: "two").connectionFile() == expected)
    let environment = ClientEnvironment(["IPP_PROFILE_DIR": profile, "IPP_CLUSTER_ID": "two"])
    #expect(try ConnectionSource.environment.connectionFile(environment: environment) == expected)
    let folder = TemporaryDirectory()
    let base = folder.path
    #expect(symlink(profile, "\(base)/profile_mine") == 0)
    let inBase = ClientEnvironment(["IPYTHONDIR": base, "IPP_CLUSTER_ID": "two"])
    #expect(try ConnectionSource.profile("mine").connectionFile(environment: inBase) == expected)
    #expect(try ConnectionSource.profile("mine", clusterID: "two", ipythonDirectory: base).connectionFile() == expected)

    let wrong = failure(.profileDirectory(profile))
    #expect(wrong?.code == .noCluster)
    #expect(wrong?.advice.contains("cluster two") == true)
    #expect(failure(.file(cluster.controller.configuration.engineFilePath))?.code == .connectionFile)
    let client = try await Client.connect(.file(path))
    #expect(client.ids == [])
    await client.close()
    await cluster.stop()
    withExtendedLifetime(folder) {}
  }

  @Test func uselessFilesAreExplained() throws {
    let folder = TemporaryDirectory()
    let directory = folder.path
    let missing = failure(.environment, ["IPYTHONDIR": directory])
    #expect(missing?.code == .noCluster)
    #expect(missing?.description.contains("apus start") == true)
    for text in ["", "{", "[]", "{}", "{\"interface\": 5}"] {
      try write(text, to: "\(directory)/file.json")
      #expect(failure(.file("\(directory)/file.json"))?.code == .connectionFile, "\(text)")
    }
    #expect(failure(.file(directory))?.code == .connectionFile)
    withExtendedLifetime(folder) {}
  }

  @Test func staleFilesAreExplained() async throws {
    var configuration = ClientConfiguration()
    configuration.connectTimeout = .milliseconds(500 * patience)
    var file: ConnectionFile
    do {
      let cluster = try await TestCluster.start(engines: 0)
      file = cluster.controller.clientConnection
      file.key = "another"
      let silent = await refusal(of: file, configuration)
      #expect(silent?.code == .controllerSilent)
      await cluster.stop()
    }
    // Port 1 is nobody's here.
    file.registration = 1
    file.localDirectory = nil
    let gone = await refusal(of: file, configuration)
    #expect(gone?.code == .controllerNotFound)
    #expect(gone?.description.contains("stale") == true)
    file.ssh = "gateway"
    let tunnel = await refusal(of: file, configuration)
    #expect(tunnel?.code == .connectionFile)
  }

  @Test func curveAndUnsignedClustersWork() async throws {
    try await withTestCluster(engines: 1, controller: { ($0.key, $0.allowsInsecure) = ("", true) }) { _, client in
      _ = try await client[0].submit(TaskSubmission()).replies
    }
    let cluster = try await TestCluster.start(engines: 0) { $0.enableCurve = true }
    let client = try await Client.connect(.connection(cluster.controller.clientConnection))
    #expect(try await client.history() == [])
    await client.close()
    await cluster.stop()
  }
}
