/// How items are divided among engines.
public enum Partition {
  /// Contiguous ranges of `count` items, one for each part; the first ones have one more if it does not divide evenly. The semantics are
  /// those of ipyparallel's default map.
  public static func blocks(_ count: Int, in parts: Int) -> [Range<Int>] {
    guard parts > 0, count >= 0 else { return [] }
    let (size, rest) = count.quotientAndRemainder(dividingBy: parts)
    var start = 0
    return (0..<parts).map { part in
      let end = start + size + (part < rest ? 1 : 0)
      defer { start = end }
      return start..<end
    }
  }
}
