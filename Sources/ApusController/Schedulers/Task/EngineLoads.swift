import ApusMessaging
import HeapModule

/// The engines as the task scheduler sees them: who is there, how loaded, how recently used; and the choice among them.
///
/// The choice takes logarithmic time at most, with thousands of engines: entries of a heap become stale when a load changes and are
/// skipped when they surface.
struct EngineLoads {
  struct Engine {
    let uuid: EngineUUID
    var isRegistered = true
    /// It gets no more tasks.
    var isDraining = false
    /// The same from when it has its place.
    var drainsOnArrival = false
    /// Tasks that were placed and not answered.
    var load = 0
    /// Order of last use; smaller is longer ago. New engines come before all others.
    var stamp: Int
    /// What it says that it has, by name.
    var resources: [String: Double] = [:]
    /// Where it stands in `free`.
    var freeIndex: Int?
  }

  private struct Entry: Comparable {
    let load: Int
    let stamp: Int
    let engine: Int
    static func < (a: Entry, b: Entry) -> Bool { (a.load, a.stamp) < (b.load, b.stamp) }
  }

  private(set) var engines: [Engine] = []
  private var indexes: [EngineUUID: Int] = [:]
  private var heap = Heap<Entry>()
  /// Registered engines below the high-water mark, in no order.
  private(set) var free: [Int] = []
  private(set) var registeredCount = 0
  /// Tasks on all engines.
  private(set) var totalLoad = 0
  private var lastStamp = 0
  private var firstStamp = 0
  private let policy: SchedulingPolicy
  /// Tasks that an engine may have at once; 0 is no limit.
  let highWaterMark: Int
  private var random: SeededGenerator

  init(policy: SchedulingPolicy, highWaterMark: Int, seed: UInt64) {
    self.policy = policy
    self.highWaterMark = policy == .pure ? 0 : max(0, highWaterMark)
    random = SeededGenerator(seed: seed)
  }

  subscript(index: Int) -> Engine { engines[index] }
  func index(of uuid: EngineUUID) -> Int? { indexes[uuid] }
  var hasFree: Bool { !free.isEmpty }
  func isFree(_ index: Int) -> Bool { engines[index].freeIndex != nil }
  func isRegistered(_ uuid: EngineUUID) -> Bool { indexes[uuid].map { engines[$0].isRegistered } ?? false }

  /// - Returns: the index of an engine that may come, or has been here before.
  mutating func know(_ uuid: EngineUUID) -> Int {
    if let known = indexes[uuid] { return known }
    let index = engines.count
    engines.append(Engine(uuid: uuid, isRegistered: false, stamp: 0))
    indexes[uuid] = index
    return index
  }

  /// - Returns: the engine's index: the one it had, if it has been here before.
  mutating func register(_ uuid: EngineUUID) -> Int {
    firstStamp -= 1
    let index: Int
    if let known = indexes[uuid] {
      index = known
      guard !engines[index].isRegistered else { return index }
      engines[index].isRegistered = true
      engines[index].isDraining = engines[index].drainsOnArrival
      engines[index].drainsOnArrival = false
      engines[index].stamp = firstStamp
    } else {
      index = engines.count
      engines.append(Engine(uuid: uuid, stamp: firstStamp))
      indexes[uuid] = index
    }
    registeredCount += 1
    update(index)
    return index
  }

  mutating func offer(_ resources: [String: Double], of index: Int) { engines[index].resources = resources }

  mutating func unregister(_ index: Int) {
    guard engines[index].isRegistered else { return }
    engines[index].isRegistered = false
    registeredCount -= 1
    update(index)
  }

  mutating func drain(_ index: Int) {
    guard engines[index].isRegistered else { return engines[index].drainsOnArrival = true }
    engines[index].isDraining = true
    update(index)
  }

  /// It did not come, and what it said of itself was for then.
  mutating func stayedAway(_ index: Int) { engines[index].drainsOnArrival = false }

  mutating func placed(on index: Int) {
    lastStamp += 1
    engines[index].load += 1
    totalLoad += 1
    engines[index].stamp = lastStamp
    update(index)
  }

  mutating func relieved(_ index: Int) {
    engines[index].load -= 1
    totalLoad -= 1
    update(index)
  }

  /// The policy's choice among all free engines.
  mutating func choose() -> Int? {
    guard !free.isEmpty else { return nil }
    switch policy {
    case .leastLoad, .leastRecentlyUsed, .pure:
      while let entry = heap.min {
        if isCurrent(entry) { return entry.engine }
        heap.removeMin()
      }
      return nil
    case .plainRandom, .twoBin, .weighted: return choose(among: free)
    }
  }

  /// The policy's choice among some free engines.
  mutating func choose(among candidates: [Int]) -> Int? {
    guard !candidates.isEmpty else { return nil }
    func older(_ a: Int, _ b: Int) -> Bool { engines[a].stamp < engines[b].stamp }
    switch policy {
    case .leastLoad: return candidates.min { (engines[$0].load, engines[$0].stamp) < (engines[$1].load, engines[$1].stamp) }
    case .leastRecentlyUsed, .pure: return candidates.min(by: older)
    case .plainRandom: return candidates.randomElement(using: &random)
    case .twoBin:
      guard let a = candidates.randomElement(using: &random), let b = candidates.randomElement(using: &random) else { return nil }
      return older(a, b) ? a : b
    case .weighted:
      let weights = candidates.map { 1 / (1e-6 + Double(engines[$0].load)) }
      let total = weights.reduce(0, +)
      func draw(_ random: inout SeededGenerator) -> Int {
        var rest = Double.random(in: 0..<total, using: &random)
        for (position, weight) in weights.enumerated() {
          rest -= weight
          if rest < 0 { return position }
        }
        return weights.count - 1
      }
      let (a, b) = (draw(&random), draw(&random))
      return candidates[weights[a] >= weights[b] ? a : b]
    }
  }

  // MARK: bookkeeping

  private func key(_ engine: Engine) -> Int { policy == .leastLoad ? engine.load : 0 }

  private func isCurrent(_ entry: Entry) -> Bool {
    let engine = engines[entry.engine]
    return engine.freeIndex != nil && engine.stamp == entry.stamp && key(engine) == entry.load
  }

  private mutating func update(_ index: Int) {
    let engine = engines[index]
    let isFree = engine.isRegistered && !engine.isDraining && (highWaterMark == 0 || engine.load < highWaterMark)
    if isFree, engine.freeIndex == nil {
      engines[index].freeIndex = free.count
      free.append(index)
    } else if !isFree, let position = engine.freeIndex {
      engines[index].freeIndex = nil
      let last = free.removeLast()
      if last != index {
        free[position] = last
        engines[last].freeIndex = position
      }
    }
    guard isFree else { return }
    switch policy {
    case .leastLoad, .leastRecentlyUsed, .pure:
      heap.insert(Entry(load: key(engine), stamp: engine.stamp, engine: index))
      if heap.count > 4 * free.count + 64 {
        heap = Heap(free.map { Entry(load: key(engines[$0]), stamp: engines[$0].stamp, engine: $0) })
      }
    case .plainRandom, .twoBin, .weighted: break
    }
  }
}

/// A small generator with a seed (SplitMix64), so that a test or a simulation can repeat a choice.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
