/// A start in parts, one at a time: the cluster's file names each before the next is handed over, so that whoever ends us in between leaves nothing
/// that nobody would find.
struct SubmissionQueue: Sendable {
  /// Engines whose start the launcher has not divided into parts yet.
  private var planning: [Range<Int>] = []
  /// What the system has not taken yet; the first part is under way.
  private var unsubmitted: [Range<Int>] = []

  mutating func plan(_ engines: Range<Int>) { planning.append(engines) }

  /// The cluster's file says how these are found.
  /// - Returns: the part to be handed over now.
  mutating func planned(_ engines: Range<Int>, _ parts: [Range<Int>]) -> Range<Int>? {
    guard let place = planning.firstIndex(of: engines) else { return nil }
    planning.remove(at: place)
    let isIdle = unsubmitted.isEmpty
    unsubmitted += parts
    return isIdle ? unsubmitted.first : nil
  }

  /// - Returns: the part to be handed over next.
  mutating func submitted() -> Range<Int>? {
    if !unsubmitted.isEmpty { unsubmitted.removeFirst() }
    return unsubmitted.first
  }

  /// The system does not take the part that was handed over.
  /// - Returns: engines that are not handed over any more.
  mutating func refused() -> [Int] {
    if !unsubmitted.isEmpty { unsubmitted.removeFirst() }
    defer { (planning, unsubmitted) = ([], []) }
    return Array(unsubmitted.joined()) + Array(planning.joined())
  }

  /// They are to end. The part that is under way is stopped when its system has taken it.
  /// - Returns: engines that are not handed over any more.
  mutating func cancel() -> [Int] {
    let rest = unsubmitted.dropFirst()
    defer {
      unsubmitted.removeLast(rest.count)
      planning = []
    }
    return Array(rest.joined()) + Array(planning.joined())
  }

  /// What is told of this engine is of its former run: it is started again before its system has told that it ended.
  func isAwaited(_ engine: Int) -> Bool { (unsubmitted + planning).contains { $0.contains(engine) } }
}
