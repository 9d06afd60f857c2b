import ApusMessaging

/// How tasks ended and on which engine: what dependencies ask. Keeps the newest `capacity` in 24 bytes or so each.
///
/// Ids are kept as 64-bit hashes: two of a million ids coincide once in 40 million clusters. The hash begins with a seed that a journal keeps, so
/// that the controller after this one understands them.
struct FinishedTasks {
  struct Outcome {
    var succeeded: Bool
    /// Index in the scheduler's engines; `nil` if it never ran.
    var engine: Int?
    /// All that is known of a task of before: dependencies may name it; who still waits for it has not got its result.
    var isHearsay = false
  }

  private var outcomes: [Int: Int32] = [:]
  private var ring: [Int] = []
  private var oldest = 0
  private var seed: UInt64
  let capacity: Int

  init(capacity: Int, seed: UInt64 = 0) {
    self.capacity = max(1, capacity)
    self.seed = seed
  }

  var count: Int { outcomes.count }

  mutating func record(_ id: MessageID, succeeded: Bool, engine: Int?) {
    record(code: code(id), succeeded: succeeded, engine: engine, isHearsay: false)
  }

  mutating func record(code: Int, succeeded: Bool, engine: Int?, isHearsay: Bool) {
    let packed = ((engine ?? -1) + 1) << 2 | (isHearsay ? 2 : 0) | (succeeded ? 1 : 0)
    let known = outcomes.updateValue(Int32(truncatingIfNeeded: packed), forKey: code) != nil
    if known { return }
    if ring.count < capacity {
      ring.append(code)
    } else {
      outcomes[ring[oldest]] = nil
      ring[oldest] = code
      oldest = (oldest + 1) % capacity
    }
  }

  subscript(id: MessageID) -> Outcome? { outcomes[code(id)].map(Self.unpack) }

  private func code(_ id: MessageID) -> Int { Int(truncatingIfNeeded: id.code(seed: seed)) }

  private static func unpack(_ packed: Int32) -> Outcome {
    let engine = Int(packed >> 2) - 1
    return Outcome(succeeded: packed & 1 == 1, engine: engine < 0 ? nil : engine, isHearsay: packed & 2 == 2)
  }

  // MARK: journals

  /// From now on it hashes as the controller before did.
  /// - Returns: whether it does: not where it knows of tasks already, by another seed.
  mutating func adopt(seed: UInt64) -> Bool {
    if outcomes.isEmpty { self.seed = seed }
    return self.seed == seed
  }

  private static let partSize = 16_384

  /// All of them, the oldest first, in pieces that a journal writes.
  func parts(in engines: EngineLoads) -> [EndedTasks] {
    stride(from: 0, to: ring.count, by: Self.partSize).map { start in
      var part = EndedTasks(seed: seed)
      var places: [Int: Int] = [:]
      for place in start..<min(ring.count, start + Self.partSize) {
        let code = ring[(oldest + place) % ring.count]
        guard let outcome = outcomes[code].map(Self.unpack) else { continue }
        var end = EndedTasks.End(code: code, succeeded: outcome.succeeded)
        if let engine = outcome.engine {
          if places[engine] == nil {
            places[engine] = part.engines.count
            part.engines.append(engines[engine].uuid)
          }
          end.engine = places[engine]
        }
        part.ends.append(end)
      }
      return part
    }
  }
}

/// A piece of `FinishedTasks` in a journal.
struct EndedTasks: Sendable, Hashable {
  struct End: Sendable, Hashable {
    var code: Int
    var succeeded: Bool
    /// Its place in `engines`; `nil` if it never ran.
    var engine: Int?
  }

  /// Of the hash.
  var seed: UInt64
  var engines: [EngineUUID] = []
  var ends: [End] = []
}
