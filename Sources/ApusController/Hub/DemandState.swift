import ApusMessaging

/// How much there is to do, in time: what tasks take is measured as they end.
struct DemandState {
  private struct Engine {
    /// When it last began to have nothing to do, or came.
    var lastEnd: Timestamp?
    /// It was addressed itself: it may have names in its memory that somebody wants to find there.
    var isAddressed = false
  }

  private var engines: [EngineUUID: Engine] = [:]
  private var placed: [MessageID: (engine: EngineUUID, at: Timestamp)] = [:]
  /// Tasks that wait for others: no engine could have them now.
  private var dependents: Set<MessageID> = []
  private(set) var measured = 0
  private var mean = 0.0

  /// Old tasks count ever less: the last hundred or so are what is to be expected.
  private static let memory = 100.0

  /// Tasks without an engine that an engine could begin now.
  func waiting(of unassigned: Int) -> Int { max(0, unassigned - dependents.count) }

  /// Seconds that a balanced task takes; `nil` where none has ended yet.
  var meanSeconds: Double? { measured == 0 ? nil : mean }

  func isAddressed(_ uuid: EngineUUID) -> Bool { engines[uuid]?.isAddressed ?? false }

  /// Seconds since the engine had something to do, given that it has nothing.
  func idleSeconds(_ uuid: EngineUUID, now: Timestamp) -> Double {
    guard let end = engines[uuid]?.lastEnd else { return 0 }
    return max(0, Double(now.microseconds - end.microseconds) / 1e6)
  }

  mutating func joined(_ uuid: EngineUUID, now: Timestamp = .now()) {
    if engines[uuid] == nil { engines[uuid] = Engine() }
    engines[uuid]?.lastEnd = now
  }

  mutating func left(_ uuid: EngineUUID) { engines[uuid] = nil }

  mutating func observe(_ event: TaskEvent) {
    switch event.kind {
    case .submitted(_, let uuid):
      guard event.queue != .task else { return }
      if let uuid {
        engines[uuid]?.isAddressed = true
      } else {
        // A broadcast whose shares are not told of one by one.
        for uuid in engines.keys { engines[uuid]?.isAddressed = true }
      }
    case .waiting: dependents.insert(event.id)
    case .queued: dependents.remove(event.id)
    case .placed(let uuid):
      dependents.remove(event.id)
      placed[event.id] = (uuid, event.time)
    case .retried, .lost: placed[event.id] = nil
    case .finished(_, let uuid, let outcome):
      dependents.remove(event.id)
      let place = placed.removeValue(forKey: event.id)
      guard let uuid else { return }
      let before = engines[uuid]?.lastEnd
      engines[uuid]?.lastEnd = event.time
      guard let place, outcome == .ok || outcome == .error else { return }
      // An engine runs one task after the other: of several that it has, each begins when the one before ends.
      let begin = max(place.at.microseconds, before?.microseconds ?? 0)
      measure(max(0, Double(event.time.microseconds - begin) / 1e6))
    case .started, .output, .failed, .restored, .abortRequested, .aborted, .resubmitted: break
    }
  }

  private mutating func measure(_ seconds: Double) {
    measured += 1
    mean += (seconds - mean) / min(Double(measured), Self.memory)
  }
}
