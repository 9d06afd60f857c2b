/// How many items of a map travel in one message.
public enum ChunkSize: Sendable, Hashable {
  /// Begins with single items, and grows until a chunk takes some 20 ms on an engine: small items are not held up by messages, large ones
  /// still spread evenly.
  case automatic
  /// As many in each message; 1 is a task for each item.
  case items(Int)
}

/// Chooses the size of a map's next chunk. A value without a clock: what engines measured is told to it.
struct ChunkSizer: Sendable {
  /// What a chunk should take on an engine, in seconds.
  static let target = 0.02
  /// No chunk grows above this many items: its results must find room in memory, too.
  static let largest = 262_144

  private let fixed: Int?
  private let engines: Int
  private let total: Int?
  private var given = 0
  /// Estimated seconds an item, of the chunks that were measured.
  private var cost: Double?
  private var largestMeasured = 1

  /// - Parameter total: of the items, where it is known.
  init(_ size: ChunkSize, engines: Int, total: Int?) {
    if case .items(let count) = size { fixed = max(1, count) } else { fixed = nil }
    self.engines = max(1, engines)
    self.total = total
  }

  /// Chunks that may be under way, beside the limit of items: without measurements it is no use to be far ahead.
  var chunksAhead: Int { fixed == nil ? 3 * engines : .max }

  /// Whether it wants to be told what chunks took.
  var isMeasuring: Bool { fixed == nil }

  /// The size of the next chunk, at least 1.
  mutating func next() -> Int {
    var size = fixed ?? 1
    if fixed == nil, let cost {
      let wanted = cost > 0 ? Self.target / cost : Double(Self.largest)
      // What was measured of few items says little of many: steps of at most eight times.
      size = max(1, Int(min(wanted, Double(8 * largestMeasured), Double(Self.largest))))
    }
    if let total {
      let rest = max(1, total - given)
      if fixed == nil { size = min(size, max(1, (rest + 2 * engines - 1) / (2 * engines))) }
      size = min(size, rest)
    }
    given += size
    return size
  }

  /// A chunk came back.
  /// - Parameter seconds: that its engine had it.
  mutating func measured(_ items: Int, seconds: Double) {
    guard fixed == nil, items > 0, seconds >= 0 else { return }
    let each = seconds / Double(items)
    if items > largestMeasured {
      cost = each
    } else if items * 4 > largestMeasured {
      cost = cost.map { 0.7 * $0 + 0.3 * each } ?? each
    }
    largestMeasured = max(largestMeasured, items)
  }
}
