import ApusMessaging
import Glibc
import TestSupport
import Testing
import Transport

@testable import ApusController

/// What comes from outside changes nothing unless it is signed, and crashes nothing whatever it is.
@Suite("Cluster: hostile frames", .serialized, .timeLimit(.minutes(2 * patience)))
struct FuzzTests {
  /// Every port of a controller that reads.
  private func ports(_ cluster: TestCluster) -> [Int] {
    var ports = [cluster.client.registration]
    for file in [cluster.client, cluster.engine] {
      ports += [file.control, file.mux, file.task, file.iopub]
      switch file.side {
      case .client(let notification, let broadcast, _): ports += [notification, broadcast]
      case .engine(let ping, let pong, let leaves): ports += [ping, pong] + leaves
      }
    }
    return ports
  }

  @Test("hundreds of absurd messages on every port, then everything works as before", arguments: ["a key", ""])
  func absurd(key: String) async throws {
    let seed = SeededRandom.newSeed()
    try await TestCluster.with {
      $0.key = key
      $0.enableCurve = false
      $0.allowsInsecure = key.isEmpty
    } _: { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(2, cluster.engine) { engines in
          try await client.waitForEngines(2)
          let known = try await client.engines()
          var random = SeededRandom(seed: seed)
          var valid: [[Frame]] = []
          for type in [
            MessageType.registrationRequest, .connectionRequest, .applyRequest, .abortRequest, .queueRequest, .eventsRequest,
            .explainRequest, "x",
          ] {
            valid.append(
              await client.sign(type, content: ["uuid": "u", "id": .int(.max)], metadata: ["status": "ok", "targets": [1]]))
          }
          for port in ports(cluster) {
            for kind in [Socket.Kind.dealer, .router, .pub, .push] {
              let messages = (0..<(kind == .dealer ? 150 : 20)).map { _ in
                message(&random, valid, engines: engines.map(\.uuid), isSigned: !key.isEmpty)
              }
              try await client.sendRaw(messages, to: port, kind: kind)
            }
            rawBytes(&random, to: port)
          }
          #expect(try await client.engines() == known, "APUS_SEED=\(seed)")
          for engine in engines { try await client.roundTrip(await engine.target) }
        }
      }
    }
  }

  /// Never a message that is both whole and signed by the key, except that without a key it may be.
  private func message(_ random: inout SeededRandom, _ valid: [[Frame]], engines: [String], isSigned: Bool) -> [Frame] {
    var frames = valid.randomElement(using: &random) ?? []
    func any() -> Frame {
      switch Int.random(in: 0..<8, using: &random) {
      case 0: return .empty
      case 1: return .delimiter
      case 2: return .emptyObject
      case 3: return Frame(engines.randomElement(using: &random) ?? "")
      case 4: return Frame(#"{"msg_id":"a","msg_type":"registration_request","uuid":7,"status":"#)
      case 5: return Frame([UInt8](repeating: 0x5B, count: 5000))
      default: return Frame(random.bytes(0...80))
      }
    }
    for _ in 0..<Int.random(in: 0...3, using: &random) { frames.insert(any(), at: 0) }
    guard let delimiter = frames.lastIndex(of: .delimiter) else { return frames }
    switch Int.random(in: 0..<6, using: &random) {
    case 0: frames.removeSubrange(Int.random(in: 0..<frames.count, using: &random)...)
    case 1: if delimiter + 1 < frames.count { frames[delimiter + 1] = .empty }
    case 2: if delimiter + 1 < frames.count { frames[delimiter + 1] = Frame(String(repeating: "0", count: 64)) }
    case 3: frames = (0..<Int.random(in: 0...12, using: &random)).map { _ in any() }
    case 4: frames.insert(any(), at: delimiter + 1)
    default:
      for index in frames.indices.dropFirst(delimiter + 2).prefix(4) { frames[index] = any() }
      frames.append(any())
    }
    // Where nothing is signed, a registration or an end of one is as good as any: those are not sent.
    if !isSigned, let envelope = Envelope(frames), let type = envelope.messageType,
      type.text.hasPrefix("regist") || type.text.hasPrefix("shut")
    {
      return []
    }
    return frames
  }

  /// Bytes that are not ZeroMQ's.
  private func rawBytes(_ random: inout SeededRandom, to port: Int) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    guard result == 0 else { return }
    let greeting: [UInt8] = random.chance(50) ? [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3] : []
    let bytes = greeting + random.bytes(1...300)
    send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }

  @Test("a message that comes again does nothing again")
  func replayed() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          // To the hub: an engine that says goodbye, then comes back; the goodbye said again changes nothing.
          let goodbye = await client.sign(.unregistrationRequest, content: ["id": 5])
          try await client.sendRaw([goodbye], to: cluster.client.registration)
          let other = try TestEngine(cluster.engine)
          defer { other.close() }
          try await other.register(wanted: 5)
          try await client.waitForEngines(2)
          try await client.sendRaw([goodbye, goodbye], to: cluster.client.registration)
          _ = try await client.hub(.connectionRequest)
          #expect(try await client.engines().count == 2)
          // To the schedulers.
          let task = await client.sign(.applyRequest, metadata: ["targets": [.string(engines[0].uuid)]])
          try await client.sendRaw([task, task, task], to: cluster.client.task)
          let direct = await client.sign(.applyRequest, identities: [Frame(engines[0].uuid)])
          try await client.sendRaw([direct, direct], to: cluster.client.mux)
          try await client.roundTrip(await engines[0].target)
          let ids = await engines[0].received
          #expect(Set(ids).count == ids.count)
          for id in [task, direct].compactMap({ Envelope($0)?.messageID }) { #expect(ids.contains(id)) }
        }
      }
    }
  }

  @Test("a signature by another key is nobody's, on every channel")
  func forged() async throws {
    try await TestCluster.with { cluster in
      try await TestClient.with(cluster.client) { client in
        try await TestEngine.with(1, cluster.engine) { engines in
          try await client.waitForEngines(1)
          var stranger = cluster.client
          stranger.key = "another key"
          try await TestClient.with(stranger) { forger in
            for channel in [TestClient.Channel.mux, .task, .control, .broadcast] {
              let metadata = channel == .broadcast ? TestClient.targets([await engines[0].target], coalescing: true) : [:]
              try await forger.send(
                channel, to: channel == .task || channel == .broadcast ? nil : engines[0].uuid, metadata: metadata)
            }
            _ = await #expect(throws: TestFailure.self) { try await forger.hub(.shutdownRequest, within: .milliseconds(200)) }
          }
          #expect(await engines[0].received.isEmpty)
          try await client.roundTrip(await engines[0].target)
        }
      }
    }
  }
}
