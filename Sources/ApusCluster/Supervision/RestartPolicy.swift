/// Which engines that have ended are started again, and when: a pure value, time is an argument.
///
/// The first restart comes at once, each further one later than the one before, until the engine has run for a while. One that
/// ends again and again is given up.
public struct RestartPolicy: Sendable, Hashable {
  public enum Mode: String, Sendable, Hashable, CaseIterable {
    case never
    /// What ended by itself with exit code 0, or was cancelled by somebody through its system, stays ended.
    case onFailure = "on-failure"
    /// All but what was asked to end.
    case always
  }

  public enum Verdict: Sendable, Hashable {
    case stays
    case restarts(at: Duration)
    /// - Parameter after: restarts in a row.
    case givesUp(after: Int)
  }

  private struct Record: Sendable, Hashable {
    var startedAt: Duration
    /// Restarts since it last ran for a while.
    var rapid = 0
  }

  public var mode: Mode
  /// Restarts in a row, without having run for `stable` in between, after which an engine is given up.
  public var limit: Int
  /// Before the first restart. Others wait twice as long as the one before.
  public var firstDelay: Duration = .milliseconds(100)
  public var longestDelay: Duration = .seconds(60)
  /// An engine that has run for so long was no failed start.
  public var stable: Duration = .seconds(60)
  private var records: [Int: Record] = [:]

  public init(_ mode: Mode = .never, limit: Int = 5) {
    self.mode = mode
    self.limit = max(0, limit)
  }

  /// An engine was started, for the first time or again.
  public mutating func started(_ engine: Int, now: Duration) {
    records[engine, default: Record(startedAt: now)].startedAt = now
  }

  public mutating func ended(_ engine: Int, _ end: EngineEnd, now: Duration) -> Verdict {
    guard isFailure(end) else { return .stays }
    var record = records[engine] ?? Record(startedAt: now)
    if now - record.startedAt >= stable { record.rapid = 0 }
    guard record.rapid < limit else {
      records[engine] = record
      return .givesUp(after: record.rapid)
    }
    let delay = firstDelay * (1 << min(record.rapid, 20))
    record.rapid += 1
    records[engine] = record
    return .restarts(at: now + min(delay, longestDelay))
  }

  /// It was asked to end, and stays away.
  public mutating func forget(_ engine: Int) { records[engine] = nil }

  private func isFailure(_ end: EngineEnd) -> Bool {
    switch mode {
    case .never: return false
    case .always:
      // What its system refused once, it refuses again.
      if case .refused = end { return false }
      return true
    case .onFailure:
      switch end {
      case .exited(0), .refused: return false
      case .cancelled: return !end.isDeliberate
      default: return true
      }
    }
  }
}
