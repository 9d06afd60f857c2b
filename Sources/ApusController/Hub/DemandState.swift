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
  /// Tasks that no engine could have now: they wait for others, or rest before another try.
  private var unready: Set<MessageID> = []
  /// What tasks that wait for an engine ask for, where they do.
  private var needs: [MessageID: [String: Double]] = [:]
  /// How many ask for each set of resources.
  private var needCounts: [[String: Double]: Int] = [:]
  /// What engines of launchers have had for tasks: others of theirs will have the same.
  private var offers: Set<[String: Double]> = []
  private(set) var measured = 0
  private var mean = 0.0

  /// Old tasks count ever less: the last hundred or so are what is to be expected.
  private static let memory = 100.0

  /// More kinds of engines than that are not told apart.
  private static let mostOffers = 64

  /// Tasks without an engine that another engine could begin now.
  func waiting(of unassigned: Int) -> Int { max(0, unassigned - unready.count - hopeless) }

  /// Tasks that ask for resources which no engine of a launcher has had.
  private var hopeless: Int {
    if offers.isEmpty || needCounts.isEmpty { return 0 }
    return needCounts.reduce(0) { sum, need in
      let isOffered = offers.contains { offer in need.key.allSatisfy { offer[$0.key, default: 0] >= $0.value } }
      return isOffered ? sum : sum + need.value
    }
  }

  /// Seconds that a balanced task takes; `nil` where none has ended yet.
  var meanSeconds: Double? { measured == 0 ? nil : mean }

  func isAddressed(_ uuid: EngineUUID) -> Bool { engines[uuid]?.isAddressed ?? false }

  /// Seconds since the engine had something to do, given that it has nothing.
  func idleSeconds(_ uuid: EngineUUID, now: Timestamp) -> Double {
    guard let end = engines[uuid]?.lastEnd else { return 0 }
    return max(0, Double(now.microseconds - end.microseconds) / 1e6)
  }

  /// - Parameter offer: what it has for tasks that ask for it, where a launcher started it.
  mutating func joined(_ uuid: EngineUUID, offer: [String: Double]? = nil, now: Timestamp = .now()) {
    if let offer, offers.count < Self.mostOffers { offers.insert(offer) }
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
    case .waiting: unready.insert(event.id)
    case .queued(let needing):
      unready.remove(event.id)
      if !needing.isEmpty { need(needing, of: event.id) }
    case .placed(let uuid):
      ready(event.id)
      placed[event.id] = (uuid, event.time)
    case .retried:
      placed[event.id] = nil
      // Until it is queued or placed it rests.
      unready.insert(event.id)
    case .lost: placed[event.id] = nil
    case .finished(_, let uuid, let outcome):
      ready(event.id)
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

  private mutating func need(_ resources: [String: Double], of task: MessageID) {
    guard needs.updateValue(resources, forKey: task) == nil else { return }
    needCounts[resources, default: 0] += 1
  }

  /// It waits no more.
  private mutating func ready(_ task: MessageID) {
    if !unready.isEmpty { unready.remove(task) }
    guard !needs.isEmpty, let resources = needs.removeValue(forKey: task), let count = needCounts[resources] else { return }
    needCounts[resources] = count > 1 ? count - 1 : nil
  }

  private mutating func measure(_ seconds: Double) {
    measured += 1
    mean += (seconds - mean) / min(Double(measured), Self.memory)
  }
}
