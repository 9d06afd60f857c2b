import ApusMessaging
import Transport

/// Echoes the controller's pings, and notices when they stop.
extension Engine {
  func startHeart() {
    guard case .engine(let pingPort, let pongPort, _) = connection.side else { return }
    do {
      forget(.ping)
      let freshPong = try socket(.dealer, linger: 0)
      try freshPong.connect(endpoint(pongPort))
      let freshPing = try socket(.sub, linger: 0)
      try freshPing.set(.subscribe, [])
      try freshPing.connect(endpoint(pingPort))
      readers[.ping] = loop.whenReadable(freshPing) { [weak self] in self?.assumeIsolated { $0.readPing() } }
      ping = consume freshPing
      pong = consume freshPong
    } catch {
      EngineLog.log(.critical, "The heart cannot beat: \(error)")
      return stop(255, grace: configuration.shutdownGrace)
    }
    if heartTimer == nil { scheduleHeartCheck() }
  }

  private func readPing() {
    while let frames = (try? ping?.receive()) ?? nil {
      heart.pinged()
      do { try pong?.send(frames) } catch { EngineLog.log(.warning, "A heartbeat was not answered: \(error)") }
    }
  }

  /// A little longer than the controller's period, so that one late ping is no miss.
  private func scheduleHeartCheck() {
    guard configuration.maximumHeartbeatMisses > 0 else { return }
    heartTimer = loop.schedule(after: heartbeatPeriod + .milliseconds(500)) { [weak self] in
      self?.assumeIsolated { $0.checkHeart() }
    }
  }

  private func checkHeart() {
    heartTimer = nil
    guard !isLeaving else { return }
    switch heart.check() {
    case .beating: break
    case .missed(let count):
      EngineLog.log(.warning, "No heartbeat in the last \(heartbeatPeriod + .milliseconds(500)) (\(count) time(s) in a row).")
    case .silent(let count):
      EngineLog.log(.critical, "No heartbeat for \(count) checks in a row: the controller is gone, and so is this engine")
      return stop(1, grace: configuration.shutdownGrace)
    }
    scheduleHeartCheck()
  }
}
