import CZeroMQ
import Glibc
import TestSupport
import Testing

@testable import Transport

extension SocketMonitor {
  borrowing func nextEvent(within milliseconds: Int = 5000 * patience) throws -> Event? {
    guard try socket.waitReadable(milliseconds: milliseconds) else { return nil }
    return try next()
  }
}

@Suite("Socket monitor")
struct SocketMonitorTests {
  @Test("tells which peer has gone, by the descriptor its messages came through")
  func disconnected() throws {
    let context = try Context()
    let router = try Socket(.router, in: context)
    let monitor = try SocketMonitor(of: router, in: context, name: uniqueName())
    let endpoint = try router.bind("tcp://127.0.0.1:*")
    var first: Socket? = try connected("first", to: endpoint, in: context)
    let second = try connected("second", to: endpoint, in: context)
    var descriptors: [String: Int32] = [:]
    while descriptors.count < 2 {
      #expect(try router.waitReadable(milliseconds: 5000 * patience))
      var source: Int32 = -1
      let parts = try #require(try router.receive(source: &source))
      #expect(source >= 0)
      descriptors[parts[0].text] = source
    }
    #expect(descriptors["first"] != descriptors["second"])
    #expect(try monitor.nextEvent() == .connected(descriptor: try #require(descriptors["first"])))
    #expect(try monitor.nextEvent() == .connected(descriptor: try #require(descriptors["second"])))
    _ = first.take()
    #expect(try monitor.nextEvent() == .disconnected(descriptor: try #require(descriptors["first"])))
    // The other one is still there.
    try second.send([Frame("still here")])
    #expect(try router.next()?.last?.text == "still here")
    #expect(try monitor.next() == nil)
  }

  @Test("a monitor that has gone holds nobody up: the sockets of its context go on")
  func stopped() throws {
    let context = try Context()
    let router = try Socket(.router, in: context)
    let endpoint = try router.bind("tcp://127.0.0.1:*")
    do {
      let monitor = try SocketMonitor(of: router, in: context, name: uniqueName())
      #expect(try monitor.next() == nil)
    }
    // Each of these is an event that nobody reads; the first of them used to stop libzmq's only thread.
    for number in 0..<3 {
      let peer = try connected("peer \(number)", to: endpoint, in: context)
      #expect(try router.waitReadable(milliseconds: 5000 * patience))
      #expect(try router.receive()?.last?.text == "hello")
      withExtendedLifetime(peer) {}
    }
  }

  @Test("a peer that refuses is told from one that ends while it shakes hands")
  func refusals() throws {
    let context = try Context()
    let server = try CurveKeyPair.generate()
    let router = try Socket(.router, in: context)
    try router.serveCurve(server)
    let endpoint = try router.bind("tcp://127.0.0.1:*")
    let dealer = try Socket(.dealer, in: context)
    // The key of somebody else.
    try dealer.useCurve(CurveKeyPair.generate(), server: CurveKeyPair.generate().publicKey)
    let monitor = try SocketMonitor(of: dealer, in: context, name: uniqueName(), tellsReadiness: true)
    try dealer.connect(endpoint)
    var record = HandshakeRecord()
    var failures: [Bool] = []
    while failures.count < 4, let event = try monitor.nextEvent() {
      if case .handshakeFailed = event { failures.append(record.failed()) }
      if case .ready = event { Issue.record("a wrong key was taken") }
    }
    // Said once, and not of the first.
    #expect(failures == [false, true, false, false])
    record.succeeded()
    #expect([record.failed(), record.failed()] == [false, true])
  }

  @Test("a monitor may outlive its socket")
  func outlives() throws {
    let context = try Context()
    var router: Socket? = try Socket(.router, in: context)
    let monitor = try SocketMonitor(of: router!, in: context, name: uniqueName())
    router = nil
    _ = consume router
    _ = try monitor.next()
  }

  private func connected(_ name: String, to endpoint: String, in context: Context) throws -> Socket {
    let dealer = try Socket(.dealer, in: context)
    try dealer.set(.identity, Array(name.utf8))
    try dealer.connect(endpoint)
    try dealer.send([Frame("hello")])
    return dealer
  }

  @Test("inproc messages have no descriptor")
  func inproc() throws {
    let context = try Context()
    let router = try Socket(.router, in: context)
    let dealer = try Socket(.dealer, in: context)
    try dealer.connect(try router.bind("inproc://\(uniqueName())"))
    try dealer.send([Frame("x")])
    var source: Int32 = 12
    let parts = try router.receive(source: &source)
    #expect(parts?.count == 2)
    #expect(source == -1)
  }

  @Test("what is not ZeroMQ at the other end is noticed and harms nobody")
  func garbage() throws {
    let context = try Context()
    let router = try Socket(.router, in: context)
    let monitor = try SocketMonitor(of: router, in: context, name: uniqueName())
    let endpoint = try router.bind("tcp://127.0.0.1:*")
    let port = try #require(endpoint.split(separator: ":").last.flatMap { UInt16($0) })
    let raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(raw) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    #expect(result == 0)
    let text = Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8) + [UInt8](repeating: 0xFF, count: 200)
    #expect(send(raw, text, text.count, 0) == text.count)
    var events: [SocketMonitor.Event] = []
    while events.count < 2, let event = try monitor.nextEvent() { events.append(event) }
    guard case .connected = try #require(events.first) else { return #expect(Bool(false), "\(events)") }
    #expect(events.count == 2)
    let dealer = try connected("well behaved", to: endpoint, in: context)
    #expect(try router.next()?.first?.text == "well behaved")
    _ = try dealer.receive()
  }
}
