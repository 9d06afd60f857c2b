/// How often it is said that messages are dropped: at once, and then at most once an interval with a count, for each reason. Whoever floods a
/// socket does not fill a disk.
///
/// It counts; who has a log writes the line.
public struct RejectionLog: Sendable {
  private struct Entry {
    var dropped = 0
    var lastSaid: ContinuousClock.Instant
  }

  private var entries: [String: Entry] = [:]
  private let interval: Duration
  private let limit: Int

  /// - Parameters:
  ///   - interval: between two lines about one reason.
  ///   - limit: how many reasons are known; of further ones nothing is said. Reasons are few and our own: the limit is against a mistake.
  public init(interval: Duration = .seconds(10), limit: Int = 64) {
    self.interval = interval
    self.limit = limit
  }

  /// A message was dropped.
  /// - Parameter reason: what was wrong with it, or with which socket it came.
  /// - Returns: how many were dropped for this reason since the last line about it, this one included; `nil` if it is too early for another.
  public mutating func dropped(_ reason: String, now: ContinuousClock.Instant = .now) -> Int? {
    guard var entry = entries[reason] else {
      guard entries.count < limit else { return nil }
      entries[reason] = Entry(lastSaid: now)
      return 1
    }
    entry.dropped += 1
    defer { entries[reason] = entry }
    guard now - entry.lastSaid >= interval else { return nil }
    defer { entry = Entry(lastSaid: now) }
    return entry.dropped
  }
}
