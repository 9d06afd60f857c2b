import ApusMessaging
import Logging
import Transport

/// Pings every engine once a period and listens for the echo.
actor HeartMonitor {
  private nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private var state: HeartMonitorState
  private var wire: Sockets
  private let period: Duration
  private var nextBeat: ContinuousClock.Instant
  private var isPingScheduled = false

  /// The sockets are the state's effects. XPUB, because it tells when an engine has subscribed.
  struct Sockets: ~Copyable, HeartMonitorEffects {
    let ping: Socket
    let pong: Socket
    var rejections: DroppedMessages
    let onStart: @Sendable (EngineUUID) -> Void
    let onStop: @Sendable (EngineUUID) -> Void

    init(
      ping: consuming Socket, pong: consuming Socket, logger: Logger, onStart: @escaping @Sendable (EngineUUID) -> Void,
      onStop: @escaping @Sendable (EngineUUID) -> Void
    ) {
      self.ping = ping
      self.pong = pong
      self.onStart = onStart
      self.onStop = onStop
      rejections = DroppedMessages("heartbeat", logger: logger)
    }

    mutating func ping(_ text: String) { try? ping.send([Frame(text)]) }
    mutating func heartStarted(_ engine: EngineUUID) { onStart(engine) }
    mutating func heartStopped(_ engine: EngineUUID) { onStop(engine) }
  }

  init(loop: EventLoop, wire: consuming Sockets, period: Duration, maximumMisses: Int) {
    self.loop = loop
    self.wire = wire
    self.period = period
    nextBeat = .now
    state = HeartMonitorState(maximumMisses: maximumMisses, now: .now)
  }

  func start() {
    loop.whenReadable(wire.ping) { [unowned self] in self.assumeIsolated { $0.subscriptionsChanged() } }
    loop.whenReadable(wire.pong) { [unowned self] in self.assumeIsolated { $0.pongIsReadable() } }
    beat()
  }

  func forget(_ uuid: EngineUUID) { state.forget(uuid) }
  func lastHeard(_ uuid: EngineUUID) -> ContinuousClock.Instant? { state.lastHeard(uuid) }

  private func beat() {
    // Whoever has answered is in the socket now: read it first, so that a late turn of ours is not an engine's miss.
    pongIsReadable()
    state.beat(now: .now, effects: &wire)
    // Not from the deadline on: after a pause of this process the beats must not come in a row.
    nextBeat = .now + period
    loop.schedule(at: nextBeat) { [unowned self] in self.assumeIsolated { $0.beat() } }
  }

  /// An engine has connected: ping at once instead of letting it wait for the next period. Many that come together share a ping.
  private func subscriptionsChanged() {
    var isNew = false
    while let frames = try? wire.ping.receive() {
      // The first byte is 1 for a subscription, 0 for its end.
      if frames.first?.withUnsafeBytes({ $0.first == 1 }) ?? false { isNew = true }
    }
    if isNew { pingSoon() }
  }

  /// The engine has registered: what its heart did before does not count, and it need not wait a period for the next ping.
  func expect(_ uuid: EngineUUID) { if state.forget(uuid) { pingSoon() } }

  private func pingSoon() {
    guard !isPingScheduled else { return }
    isPingScheduled = true
    let delay = min(Duration.milliseconds(50), .milliseconds(1) + .microseconds(50) * state.count)
    loop.schedule(after: delay) { [unowned self] in
      self.assumeIsolated {
        $0.isPingScheduled = false
        $0.state.pingAgain(effects: &$0.wire)
      }
    }
  }

  private func pongIsReadable() {
    // Bounded: a peer that floods this socket gets its turn and no more.
    for _ in 0..<4096 {
      guard let frames = try? wire.pong.receive() else { return }
      guard frames.count == 2, frames[1].count < 64, frames[0].count < 256 else {
        wire.rejections.note("not a pong")
        continue
      }
      if !state.pong(frames[1].text, from: EngineUUID(frames[0].text), now: .now, effects: &wire) {
        wire.rejections.note("an old pong")
      }
    }
  }
}
