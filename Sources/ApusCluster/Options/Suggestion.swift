/// "Did you mean …?"
public enum Suggestion {
  /// The candidate that is nearest to what was written, if it is near enough to be what was meant.
  public static func nearest(to written: String, among candidates: some Sequence<String>) -> String? {
    let limit = max(1, min(3, written.count / 2))
    let scored = candidates.map { candidate -> (name: String, distance: Int) in
      let isStart = written.count >= 3 && candidate.hasPrefix(written)
      return (candidate, isStart ? 1 : distance(Array(written.lowercased().utf8), Array(candidate.lowercased().utf8)))
    }
    let best = scored.filter { $0.distance <= limit }.min { ($0.distance, $0.name) < ($1.distance, $1.name) }
    return best?.name
  }

  /// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
  static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
    var older: [Int] = []
    var previous = Array(0...b.count)
    for i in 1...a.count {
      var row = [i] + [Int](repeating: 0, count: b.count)
      for j in 1...b.count {
        row[j] = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { row[j] = min(row[j], older[j - 2] + 1) }
      }
      older = previous
      previous = row
    }
    return previous[b.count]
  }
}
