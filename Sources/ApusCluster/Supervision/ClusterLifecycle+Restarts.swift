/// Engines that are started again.
extension ClusterLifecycle {
  /// Engines that end at nearly the same time are started again together: as one job, where they are jobs.
  static let gathering = Duration.milliseconds(200)

  /// - Returns: whether it comes back.
  mutating func comesBack(_ engine: Int, _ end: EngineEnd, now: Duration, _ effects: inout some ClusterLifecycleEffects) -> Bool {
    if unwanted.remove(engine) != nil {
      restartPolicy.forget(engine)
      return false
    }
    if renewed.remove(engine) != nil {
      restartPolicy.forget(engine)
      effects.report(.engineRestarts(engine, after: .zero))
      due[engine] = now
      return true
    }
    switch restartPolicy.ended(engine, end, now: now) {
    case .stays: return false
    case .givesUp(let count):
      effects.report(.engineGivenUp(engine, after: count))
      return false
    case .restarts(let at):
      effects.report(.engineRestarts(engine, after: at - now))
      due[engine] = at
      return true
    }
  }

  /// When engines are to be started again next.
  var restartDeadline: Duration? {
    // Ranks of one program end and begin together.
    if plan.restartsTogether, !liveEngines.isEmpty { return nil }
    return due.values.min()
  }

  mutating func startAgain(now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard let deadline = restartDeadline, now >= deadline else { return }
    let ready = plan.restartsTogether ? due.keys.sorted() : due.filter { $0.value <= now + Self.gathering }.keys.sorted()
    for engine in ready { due[engine] = nil }
    for range in Self.ranges(ready) {
      let count = start(range, now: now, &effects)
      let reason = effects.startRefusal ?? ""
      for engine in range.dropFirst(count) {
        noteLostRenewal(of: engine, .refused(reason))
        noteFailedStart(of: engine, .refused(reason))
      }
    }
    effects.updateClusterFile()
  }

  /// Numbers in a row together.
  static func ranges(_ sorted: [Int]) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    for number in sorted {
      if let last = ranges.last, last.upperBound == number {
        ranges[ranges.count - 1] = last.lowerBound..<number + 1
      } else {
        ranges.append(number..<number + 1)
      }
    }
    return ranges
  }

  /// - Returns: how many of them were started.
  @discardableResult
  mutating func start(_ engines: Range<Int>, now: Duration, _ effects: inout some ClusterLifecycleEffects) -> Int {
    let count = effects.startEngines(engines)
    let started = engines.prefix(count)
    liveEngines.formUnion(started)
    if plan.queues { waitingEngines.formUnion(started) }
    for engine in started {
      restartPolicy.started(engine, now: now)
      if renewal?.awaited[engine] != nil { renewal?.since[engine] = now }
    }
    // What is told from now on is told of the new ones.
    missed.subtract(started)
    arrived.subtract(started)
    return count
  }
}
