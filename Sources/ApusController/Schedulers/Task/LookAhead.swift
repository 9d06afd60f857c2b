/// How many tasks beyond the high-water mark an engine may be sent, so that it need not wait for a message after each.
///
/// With one task at a time an engine rests between its reply and its next task, for as long as messages take; of tasks that take microseconds
/// that is most of the time, and of some milliseconds a part that counts. An engine that answers quickly, while many tasks wait, is therefore
/// sent some in advance: twice as many after each quick answer, half as many after a slow one, but one, and none after a task that took long.
/// Long tasks so go to whichever engine is free first, as ever.
struct LookAhead: Sendable {
  /// An answer within this time of the one before is quick.
  static let quick = Duration.milliseconds(1)
  /// Beyond this the task was long, and not the machine busy with something else for a moment.
  static let long = Duration.milliseconds(20)

  private struct Pace {
    /// Since when the engine has been working on its next answer; `nil` while it rests.
    var since: ContinuousClock.Instant?
    var depth = 0
  }

  /// Tasks in advance at most; 0 is none.
  let limit: Int
  private var paces: [Pace] = []

  init(limit: Int) { self.limit = max(0, limit) }

  /// The engine answered.
  mutating func answered(_ engine: Int, now: ContinuousClock.Instant) {
    guard limit > 0, engine < paces.count, let since = paces[engine].since else { return }
    let time = now - since
    let depth = paces[engine].depth
    paces[engine].depth = time < Self.quick ? min(limit, max(1, 2 * depth)) : time < Self.long ? max(1, depth / 2) : 0
  }

  /// After an answer, and what followed from it.
  mutating func goesOn(_ engine: Int, isBusy: Bool, now: ContinuousClock.Instant) {
    guard limit > 0 else { return }
    while paces.count <= engine { paces.append(Pace()) }
    paces[engine].since = isBusy ? now : nil
  }

  /// How many tasks the engine may have in advance.
  /// - Parameters:
  ///   - waiting: tasks that no engine has.
  ///   - engines: that share them: towards the end of the work nobody is to sit on it.
  func depth(of engine: Int, waiting: Int, engines: Int) -> Int {
    guard limit > 0, engine < paces.count else { return 0 }
    // One goes as long as there is one for each: what it may keep from another engine is short.
    let share = waiting >= max(1, engines) ? max(1, waiting / (4 * max(1, engines))) : 0
    return min(paces[engine].depth, share)
  }
}
