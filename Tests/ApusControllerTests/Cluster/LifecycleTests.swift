import ApusMessaging
import Foundation
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Cluster: beginning and end", .serialized, .timeLimit(.minutes(2 * patience)))
struct LifecycleTests {
  private func mode(_ path: String) throws -> Int {
    try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
  }

  @Test("connection files: for the owner alone, right, and gone at the end")
  func files() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    // One before was killed while it wrote them.
    for side in ["client", "engine", "curve"] {
      try AtomicFile.write([1], to: "\(profile)/security/ipcontroller-c1-\(side).json.12-345.new")
    }
    let engines = "\(profile)/log/enginesc1.json.12-345.new"
    try AtomicFile.write([1], to: engines)
    try await TestCluster.with(in: profile) {
      $0.clusterID = "c1"
    } _: { cluster in
      for side in ["client", "engine"] {
        let path = "\(profile)/security/ipcontroller-c1-\(side).json"
        #expect(try mode(path) == 0o600)
        let file = try ConnectionFile(parsing: String(decoding: AtomicFile.read(path), as: UTF8.self))
        #expect(file == (side == "client" ? cluster.client : cluster.engine))
        #expect(file.key.utf8.count == 33)
      }
      #expect(!FileManager.default.fileExists(atPath: engines))
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(profile)/security").isEmpty)
  }

  @Test("--reuse: the files stay, and the next controller has the same ports and key")
  func reuse() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    let first = try await TestCluster.with(in: profile) {
      $0.reuseFiles = true
    } _: {
      ($0.client, $0.engine)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(profile)/security").count == 3)
    try await TestCluster.with(in: profile) {
      $0.reuseFiles = true
    } _: { cluster in
      #expect(cluster.client == first.0)
      #expect(cluster.engine == first.1)
      // An engine that knew the first controller finds the second.
      try await TestClient.with(first.0) { client in
        try await TestEngine.with(1, first.1) { engines in
          try await client.waitForEngines(1)
          try await client.roundTrip(await engines[0].target)
        }
      }
    }
    // Damaged files are not reused, and not in the way.
    try AtomicFile.write(Array("{".utf8), to: "\(profile)/security/ipcontroller-client.json")
    try await TestCluster.with(in: profile) {
      $0.reuseFiles = true
    } _: {
      #expect($0.client.key != first.0.key)
    }
  }

  @Test("--restore: engines that are still there are known again under their ids")
  func restore() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    let engine = try await TestCluster.with(in: profile) {
      $0.restoreEngines = true
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        let engine = try TestEngine(cluster.engine)
        try await engine.register(wanted: 7)
        try await client.waitForEngines(1)
        return engine
      }
    }
    defer { engine.close() }
    try await TestCluster.with(in: profile) {
      $0.restoreEngines = true
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await client.waitForEngines(1)
        #expect(try await client.engines() == [7: engine.uuid])
        try await client.roundTrip(await engine.target)
      }
    }
  }

  @Test("a port in use is an error that names it")
  func portInUse() async throws {
    let context = try Context()
    let taken = try Socket(.router, in: context)
    let endpoint = try taken.bind("tcp://127.0.0.1:*")
    let port = try #require(endpoint.split(separator: ":").last.flatMap { Int($0) })
    await #expect {
      try await TestCluster.with {
        $0.ports = [port]
      } _: { _ in
      }
    } throws: {
      guard let error = $0 as? ControllerError else { return false }
      return error.code == .addressInUse && error.reason.contains("\(port)")
    }
  }

  @Test("fewer ports than sockets: the rest is free ones; one list serves both sides")
  func fewPorts() async throws {
    // Found and given back: somebody else may take them before us, then others are tried.
    for attempt in 0..<5 {
      let ports = try freePorts(4)
      do {
        try await TestCluster.with {
          $0.ports = ports
        } _: { cluster in
          #expect(cluster.client.registration == ports[0])
          #expect(cluster.engine.registration == ports[0])
          #expect(cluster.engine.control == ports[1])
          #expect(cluster.engine.mux == ports[2])
          try await TestClient.with(cluster.client) { client in
            try await TestEngine.with(1, cluster.engine) { engines in
              try await client.waitForEngines(1)
              try await client.roundTrip(await engines[0].target)
            }
          }
        }
        return
      } catch let error as ControllerError where error.code == .addressInUse && attempt < 4 { continue }
    }
  }

  private func freePorts(_ count: Int) throws -> [Int] {
    let context = try Context()
    var ports: [Int] = []
    for _ in 0..<count {
      let socket = try Socket(.router, in: context)
      ports.append(try #require(try socket.bind("tcp://127.0.0.1:*").split(separator: ":").last.flatMap { Int($0) }))
    }
    return Set(ports).count == count ? ports : try freePorts(count)
  }

  @Test("configurations that cannot be", arguments: ["depth", "period", "port", "folder", "address", "database"])
  func impossible(what: String) async throws {
    await #expect {
      try await TestCluster.with { configuration in
        switch what {
        case "depth": configuration.broadcastDepth = 40
        case "period": configuration.heartbeatPeriod = .zero
        case "port": configuration.clientPorts = [99_999]
        case "folder": configuration.clientFile = "no/such/folder/file.json"
        case "address": configuration.engineIP = "256.1.2.3"
        default:
          configuration.database = .sqlite
          configuration.sqliteFile = "/no/such/folder/tasks.db"
        }
      } _: { _ in
      }
    } throws: {
      guard let error = $0 as? ControllerError else { return false }
      let codes: [String: ControllerError.Code] = [
        "depth": .configuration, "period": .configuration, "port": .configuration, "folder": .file, "address": .messaging,
        "database": .database,
      ]
      return error.code == codes[what] && !error.reason.isEmpty
    }
  }

  @Test("a client shuts the controller down: an answer, a notification, and the end of run()")
  func shutdown() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    try await TestCluster.with(in: profile) { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { _ in
          // Its subscription has arrived: what is told before that is lost, and the end is told once.
          _ = try #require(try await client.notification(.registrationNotification))
          let reply = try await client.hub(.shutdownRequest)
          #expect(reply.messageType == .shutdownReply)
          #expect(try reply.content()["status"] == "ok")
          let notification = try #require(try await client.notification(.shutdownNotification))
          #expect(try notification.content() == ["status": "ok"] as JSONObject)
          #expect(notification.parentHeader()?.type == .shutdownRequest)
        }
        #expect(await cluster.ended())
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(profile)/security").isEmpty)
      }
    }
  }

  @Test("what was answered before the end is in the database file")
  func recordsAreWritten() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    var ids: [MessageID] = []
    try await TestCluster.with(in: profile) {
      $0.database = .sqlite
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          for _ in 0..<20 { ids.append(try await client.send(.task)) }
          ids.append(try await client.send(.mux, to: engines[0].uuid))
          for id in ids.dropLast() { _ = try await client.answer(.task, to: id) }
          _ = try await client.answer(.mux, to: ids[20])
        }
      }
    }
    let database = try SQLiteDatabase(.init(path: "\(profile)/tasks.db"))
    for id in ids { #expect(try database.record(id)?.isFinished == true) }
  }

  @Test("stopping in the midst of work")
  func stoppingUnderLoad() async throws {
    for _ in 0..<4 {
      try await TestCluster.with { cluster in
        try await TestClient.with(cluster.client) { client in
          try await TestEngine.with(3, cluster.engine) { engines in
            try await client.waitForEngines(3)
            for number in 0..<500 {
              try await client.send(.task, buffers: [Frame([UInt8](repeating: 1, count: 500))])
              try await client.send(.mux, to: engines[number % 3].uuid)
            }
            _ = try await client.next(.task)
            await cluster.stop()
          }
        }
      }
    }
  }

  @Test("a controller that has gone leaves nothing behind, run or not")
  func released() async throws {
    let profile = try TestCluster.temporaryProfile()
    defer { try? FileManager.default.removeItem(atPath: profile) }
    weak var controller: Controller?
    var ports: [Int] = []
    try await TestCluster.with(in: profile) { cluster in
      controller = cluster.controller
      ports = [cluster.client.registration, cluster.client.task, cluster.engine.mux]
      try await TestClient.with(cluster.client) { _ = try await $0.engines() }
    }
    for _ in 0..<1000 * patience where controller != nil { try await Task.sleep(for: .milliseconds(2)) }
    #expect(controller == nil)
    let context = try Context()
    for port in ports {
      let socket = try Socket(.router, in: context)
      var isFree = false
      for _ in 0..<1000 * patience where !isFree {
        isFree = (try? socket.bind("tcp://127.0.0.1:\(port)")) != nil
        if !isFree { try await Task.sleep(for: .milliseconds(2)) }
      }
      #expect(isFree, "port \(port)")
    }
    _ = try Controller(ControllerConfiguration(profileDirectory: profile), logger: TestCluster.logger)
  }
}
