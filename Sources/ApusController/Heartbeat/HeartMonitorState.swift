import ApusMessaging

/// What the heart monitor's state asks of the world.
protocol HeartMonitorEffects: ~Copyable {
  /// To every engine.
  mutating func ping(_ text: String)
  /// An engine answers that had not answered before, or not since it was given up.
  mutating func heartStarted(_ engine: EngineUUID)
  mutating func heartStopped(_ engine: EngineUUID)
}

/// Who is alive: counts the pings that each engine left unanswered (protocol section 5.5).
struct HeartMonitorState {
  private struct Heart {
    var misses = 0
    var hasAnswered = true
    var lastHeard: ContinuousClock.Instant?
  }

  private var hearts: [EngineUUID: Heart] = [:]
  private var current = ""
  private var previous = ""
  private let start: ContinuousClock.Instant
  /// Failure is one more than this many misses in a row.
  private let maximumMisses: Int

  init(maximumMisses: Int = 10, now: ContinuousClock.Instant) {
    self.maximumMisses = maximumMisses
    start = now
  }

  var count: Int { hearts.count }

  /// When the engine's last answer came; `nil` for one whose heart is not known.
  func lastHeard(_ uuid: EngineUUID) -> ContinuousClock.Instant? { hearts[uuid]?.lastHeard }

  /// A period is over: who did not answer missed a beat, and the next ping goes out.
  mutating func beat(now: ContinuousClock.Instant, effects: inout some HeartMonitorEffects & ~Copyable) {
    var stopped: [EngineUUID] = []
    for (uuid, heart) in hearts {
      let misses = heart.hasAnswered ? 0 : heart.misses + 1
      if misses > maximumMisses {
        stopped.append(uuid)
      } else {
        hearts[uuid] = Heart(misses: misses, hasAnswered: false, lastHeard: heart.lastHeard)
      }
    }
    for uuid in stopped.sorted(by: { $0.text < $1.text }) {
      hearts[uuid] = nil
      effects.heartStopped(uuid)
    }
    previous = current
    // The text is a float of seconds, as ipyparallel's; engines return it as it is.
    current = String(Double((now - start).components.seconds) + Double((now - start).components.attoseconds) * 1e-18)
    effects.ping(current)
  }

  /// An engine has just connected: the present ping again, so that it is known at once and not after a period.
  func pingAgain(effects: inout some HeartMonitorEffects & ~Copyable) { if !current.isEmpty { effects.ping(current) } }

  /// - Returns: false if the text is not one of the last two pings: the pong is ignored.
  mutating func pong(
    _ text: String, from uuid: EngineUUID, now: ContinuousClock.Instant? = nil, effects: inout some HeartMonitorEffects & ~Copyable
  ) -> Bool {
    guard !text.isEmpty, text == current || text == previous else { return false }
    if hearts[uuid] == nil { effects.heartStarted(uuid) }
    hearts[uuid] = Heart(lastHeard: now)
    return true
  }

  /// The engine has gone in another way, or begins anew.
  /// - Returns: whether its heart was known.
  @discardableResult
  mutating func forget(_ uuid: EngineUUID) -> Bool { hearts.removeValue(forKey: uuid) != nil }
}
