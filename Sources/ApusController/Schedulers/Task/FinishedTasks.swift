import ApusMessaging

/// How tasks ended and on which engine: what dependencies ask. Keeps the newest `capacity` in 24 bytes or so each.
///
/// Ids are kept as 64-bit hashes: two of a million ids coincide once in 40 million clusters.
struct FinishedTasks {
  struct Outcome {
    var succeeded: Bool
    /// Index in the scheduler's engines; `nil` if it never ran.
    var engine: Int?
  }

  private var outcomes: [Int: Int32] = [:]
  private var ring: [Int] = []
  private var oldest = 0
  let capacity: Int

  init(capacity: Int) { self.capacity = max(1, capacity) }

  var count: Int { outcomes.count }

  mutating func record(_ id: MessageID, succeeded: Bool, engine: Int?) {
    let hash = id.hashValue
    let known =
      outcomes.updateValue(Int32(truncatingIfNeeded: ((engine ?? -1) + 1) << 1 | (succeeded ? 1 : 0)), forKey: hash) != nil
    if known { return }
    if ring.count < capacity {
      ring.append(hash)
    } else {
      outcomes[ring[oldest]] = nil
      ring[oldest] = hash
      oldest = (oldest + 1) % capacity
    }
  }

  subscript(id: MessageID) -> Outcome? {
    guard let packed = outcomes[id.hashValue] else { return nil }
    let engine = Int(packed >> 1) - 1
    return Outcome(succeeded: packed & 1 == 1, engine: engine < 0 ? nil : engine)
  }
}
