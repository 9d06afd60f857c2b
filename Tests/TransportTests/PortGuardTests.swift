import Testing

@testable import Transport

@Suite("Guarded ports")
struct PortGuardTests {
  @Test("a port is guarded as long as its listener is there, or who took its guard over; then it is anybody's")
  func life() throws {
    var port = 0
    do {
      let listener = try TCPListener(address: "127.0.0.1", port: 0, admission: .ownUserOnThisHost)
      port = listener.port
      #expect(PortGuard.isGuarded(port))
    }
    #expect(!PortGuard.isGuarded(port))
    let context = try Context()
    let socket = try Socket(.router, in: context)
    var guards: [PortGuard] = []
    do {
      let listener = try TCPListener(address: "127.0.0.1", port: 0, admission: .ownUserOnThisHost)
      port = listener.port
      guards.append(PortGuard(of: listener))
      try socket.bind(listener)
    }
    #expect(PortGuard.isGuarded(port))
    guards = []
    #expect(!PortGuard.isGuarded(port))
  }
}
