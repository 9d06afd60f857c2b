import ApusMessaging
import Testing

@testable import ApusController

@Suite("Engine loads")
struct EngineLoadsTests {
  private func loads(_ policy: SchedulingPolicy = .leastLoad, hwm: Int = 2, engines: Int = 4) -> EngineLoads {
    var loads = EngineLoads(policy: policy, highWaterMark: hwm, seed: 7)
    for number in 0..<engines { _ = loads.register(EngineUUID("e\(number)")) }
    return loads
  }

  @Test("an engine keeps its index when it goes and comes back")
  func indexes() {
    var loads = loads(engines: 2)
    #expect(loads.index(of: "e1") == 1)
    loads.unregister(1)
    loads.unregister(1)
    #expect(!loads.isRegistered("e1"))
    #expect(loads.registeredCount == 1)
    #expect(loads.register("e1") == 1)
    #expect(loads.register("e1") == 1)
    #expect(loads.registeredCount == 2)
    #expect(loads.index(of: "never") == nil)
    #expect(!loads.isRegistered("never"))
  }

  @Test("nobody free is nobody chosen", arguments: SchedulingPolicy.allCases)
  func nobody(policy: SchedulingPolicy) {
    var none = loads(policy, engines: 0)
    #expect(none.choose() == nil)
    #expect(none.choose(among: []) == nil)
    var one = loads(policy, hwm: 1, engines: 1)
    #expect(one.choose() == 0)
    one.placed(on: 0)
    if policy != .pure { #expect(one.choose() == nil) }
    one.relieved(0)
    #expect(one.choose() == 0)
    one.unregister(0)
    #expect(one.choose() == nil)
  }

  @Test(
    "the quick choice is the one that a search over all would make", arguments: [SchedulingPolicy.leastLoad, .leastRecentlyUsed],
    [0, 1, 4])
  func sameAsSearch(policy: SchedulingPolicy, hwm: Int) {
    let seed = SeededRandom.newSeed()
    var random = SeededRandom(seed: seed)
    var loads = loads(policy, hwm: hwm, engines: 12)
    var placed: [Int] = []
    for _ in 0..<3000 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0:
        loads.unregister(Int.random(in: 0..<12, using: &random))
      case 1:
        _ = loads.register(EngineUUID("e\(Int.random(in: 0..<12, using: &random))"))
      case 2..<6:
        if let index = placed.indices.randomElement(using: &random) { loads.relieved(placed.remove(at: index)) }
      default:
        let chosen = loads.choose()
        let free = loads.engines.indices.filter { index in
          loads[index].isRegistered && (hwm == 0 || loads[index].load < hwm)
        }
        let expected = free.min { a, b in
          policy == .leastLoad
            ? (loads[a].load, loads[a].stamp) < (loads[b].load, loads[b].stamp) : loads[a].stamp < loads[b].stamp
        }
        #expect(chosen == expected, "APUS_SEED=\(seed)")
        #expect(Set(loads.free) == Set(free), "APUS_SEED=\(seed)")
        #expect(loads.free.allSatisfy { loads.isFree($0) })
        if let chosen {
          loads.placed(on: chosen)
          placed.append(chosen)
        }
      }
    }
    for engine in loads.engines.indices { #expect(loads[engine].load == placed.count { $0 == engine }) }
  }
}

@Suite("Finished tasks")
struct FinishedTasksTests {
  @Test("how each ended, and where; the oldest are forgotten when there are too many")
  func bounds() {
    var finished = FinishedTasks(capacity: 100)
    for number in 0..<1000 {
      let id = MessageID("t\(number)")
      #expect(finished[id] == nil)
      finished.record(id, succeeded: number % 3 == 0, engine: number % 7 == 0 ? nil : number)
      #expect(finished[id]?.succeeded == (number % 3 == 0))
      #expect(finished[id]?.engine == (number % 7 == 0 ? nil : number))
      #expect(finished.count == min(number + 1, 100))
    }
    for number in 0..<900 { #expect(finished[MessageID("t\(number)")] == nil) }
    for number in 900..<1000 { #expect(finished[MessageID("t\(number)")] != nil) }
  }

  @Test("recorded again it is changed and takes no second place")
  func again() {
    var finished = FinishedTasks(capacity: 2)
    finished.record("a", succeeded: false, engine: nil)
    for _ in 0..<5 { finished.record("a", succeeded: true, engine: 0) }
    finished.record("b", succeeded: true, engine: 1)
    #expect(finished.count == 2)
    #expect(finished["a"]?.succeeded == true)
    #expect(finished["a"]?.engine == 0)
    finished.record("c", succeeded: true, engine: nil)
    #expect(finished["a"] == nil)
    #expect(finished.count == 2)
  }

  @Test("another process understands what is written of tasks that have ended, the oldest first", arguments: [3, 40_000])
  func finishedParts(capacity: Int) {
    var engines = EngineLoads(policy: .leastLoad, highWaterMark: 1, seed: 0)
    for name in ["x", "e0", "e1"] { _ = engines.register(EngineUUID(name)) }
    var finished = FinishedTasks(capacity: capacity, seed: 99)
    let count = capacity + capacity / 2
    for number in 0..<count {
      finished.record(MessageID("t\(number)"), succeeded: number % 3 == 0, engine: number % 5 == 0 ? nil : 1 + number % 2)
    }
    let parts = finished.parts(in: engines)
    #expect(parts.map(\.ends.count).reduce(0, +) == capacity)
    // A smaller table keeps the latest of them.
    var other = FinishedTasks(capacity: 2)
    for part in parts {
      #expect(Set(part.engines).isSubset(of: ["e0", "e1"]) && part.ends.count <= 1 << 14)
      let isSame = other.adopt(seed: part.seed)
      #expect(isSame)
      for end in part.ends {
        other.record(code: end.code, succeeded: end.succeeded, engine: end.engine, isHearsay: true)
      }
    }
    #expect(other.count == 2)
    for number in count - 2..<count {
      let outcome = other[MessageID("t\(number)")]
      #expect(outcome?.succeeded == (number % 3 == 0) && outcome?.isHearsay == true)
      #expect((outcome?.engine == nil) == (number % 5 == 0))
    }
    #expect(other[MessageID("t\(count - 3)")] == nil)
    // It has ended here now.
    other.record(MessageID("t\(count - 1)"), succeeded: true, engine: nil)
    #expect(other[MessageID("t\(count - 1)")]?.isHearsay == false && other.count == 2)
  }
}
