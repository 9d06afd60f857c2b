import ApusController
import ApusMessaging
import Foundation
import Logging
import TestSupport
import Testing
import Transport

/// A controller on loopback with a profile of its own, for the time of a test.
final class TestCluster: Sendable {
  let controller: Controller
  let directory: String
  private let running: Task<Void, any Error>

  var client: ConnectionFile { controller.clientConnection }
  var engine: ConnectionFile { controller.engineConnection }

  private init(_ configuration: ControllerConfiguration) async throws {
    directory = configuration.profileDirectory
    let controller = try Controller(configuration, logger: TestCluster.logger)
    self.controller = controller
    let (ready, isReady) = AsyncStream<Void>.makeStream()
    running = Task {
      defer { isReady.finish() }
      try await controller.run { isReady.yield() }
    }
    for await _ in ready { return }
    try await running.value
    throw TestFailure("the controller ended before it was ready")
  }

  static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  static func temporaryProfile() throws -> String {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("apus-cluster-\(UUID().uuidString)")
    for folder in ["security", "log"] {
      try FileManager.default.createDirectory(at: url.appendingPathComponent(folder), withIntermediateDirectories: true)
    }
    return url.path
  }

  /// - Parameter directory: a profile that is there already and stays.
  static func with<R>(
    in directory: String? = nil, _ configure: (inout ControllerConfiguration) -> Void = { _ in },
    _ body: (TestCluster) async throws -> R
  ) async throws -> R {
    let profile = try directory ?? temporaryProfile()
    defer { if directory == nil { try? FileManager.default.removeItem(atPath: profile) } }
    var configuration = ControllerConfiguration(profileDirectory: profile)
    configuration.heartbeatPeriod = .milliseconds(100 * patience)
    configuration.maximumHeartbeatMisses = 20
    configure(&configuration)
    let cluster = try await TestCluster(configuration)
    do {
      let result = try await body(cluster)
      await cluster.stop()
      return result
    } catch {
      await cluster.stop()
      throw error
    }
  }

  func stop() async {
    running.cancel()
    _ = await running.result
  }

  /// Waits for the end that somebody else asked for, for at most ten seconds.
  func ended() async -> Bool {
    let running = running
    return await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        _ = await running.result
        return true
      }
      group.addTask {
        try? await Task.sleep(for: .seconds(10))
        return false
      }
      let first = await group.next() ?? false
      group.cancelAll()
      if !first { running.cancel() }
      return first
    }
  }
}

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Opens sockets to a controller as its peers do.
struct Connector: Sendable {
  let context: Context
  let file: ConnectionFile
  private let keys: CurveKeyPair?

  init(_ file: ConnectionFile) throws {
    context = try Context()
    self.file = file
    keys = file.curveServerKey == nil ? nil : try CurveKeyPair.generate()
  }

  func connect(_ kind: Socket.Kind, identity: String? = nil, to ports: Int...) throws -> Socket {
    let socket = try Socket(kind, in: context)
    if let identity { try socket.set(.identity, Array(identity.utf8)) }
    if let keys, let server = file.curveServerKey { try socket.useCurve(keys, server: server) }
    if kind == .sub { try socket.set(.subscribe, []) }
    for port in ports { try socket.connect(file.endpoint(port: port, host: "127.0.0.1")) }
    return socket
  }
}

extension Socket {
  /// Reads until a message fits, for at most so long. To be called from a thread that may wait.
  borrowing func next(within limit: Duration = .seconds(30 * patience), where fits: (Envelope) -> Bool = { _ in true }) throws
    -> Envelope?
  {
    let end = ContinuousClock.now + limit
    while true {
      let left = ContinuousClock.now.duration(to: end).components
      guard left.seconds >= 0, left.attoseconds >= 0 else { return nil }
      guard try waitReadable(milliseconds: Int(left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000) + 1) else {
        continue
      }
      while let frames = try receive() { if let envelope = Envelope(frames), fits(envelope) { return envelope } }
    }
  }
}
