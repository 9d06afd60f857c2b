/// Whether the controller still beats. It is asked at intervals a little longer than the controller's period.
struct HeartState {
  enum Verdict: Equatable {
    case beating
    /// No ping since the last check, so many times in a row.
    case missed(Int)
    /// That many times in a row that the engine ends.
    case silent(Int)
  }

  /// 0: never give up.
  let limit: Int
  private(set) var misses = 0
  private var wasPinged = true

  init(limit: Int) { self.limit = limit }

  mutating func pinged() { wasPinged = true }

  /// After a reconnection: the new controller gets the full patience.
  mutating func reset() {
    misses = 0
    wasPinged = true
  }

  mutating func check() -> Verdict {
    defer { wasPinged = false }
    guard !wasPinged else {
      misses = 0
      return .beating
    }
    misses += 1
    return limit > 0 && misses >= limit ? .silent(misses) : .missed(misses)
  }
}
