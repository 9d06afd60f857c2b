import ApusCluster
import Testing

@Suite struct AdaptivePolicyTests {
  let now = Duration.seconds(1000)
  typealias Engine = ClusterDemand.Engine

  func decide(
    _ policy: AdaptivePolicy, waiting: Int = 0, seconds: Double? = nil, _ engines: [Engine], starting: Int = 0,
    at time: Duration? = nil
  ) -> AdaptivePolicy.Decision {
    policy.decide(ClusterDemand(waiting: waiting, taskSeconds: seconds, engines: engines), starting: starting, now: time ?? now)
  }

  func busy(_ count: Int) -> [Engine] { (0..<count).map { Engine(id: $0, busy: 1) } }
  func idle(_ count: Int, _ seconds: Double = 100) -> [Engine] { (0..<count).map { Engine(id: $0, idle: seconds) } }

  @Test(arguments: [
    // tasks, seconds each, engines, expected: seconds of work count, and not tasks.
    (400, 0.5, 1, 7), (400, 0.001, 1, 0), (3, 600.0, 1, 3), (1, 0.1, 0, 1), (4, 0.5, 1, 0), (5, 0.5, 1, 1), (10_000, 0.01, 4, 4),
  ])
  func growth(waiting: Int, seconds: Double, engines: Int, more: Int) {
    let decision = decide(AdaptivePolicy(minimum: 0, maximum: 8), waiting: waiting, seconds: seconds, busy(engines))
    #expect(decision.start == more && decision.drain.isEmpty)
    #expect(decision.reason.isEmpty == (more == 0))
  }

  @Test func enginesThatComeAreCounted() {
    let policy = AdaptivePolicy(minimum: 1, maximum: 8)
    #expect(decide(policy, waiting: 400, seconds: 0.5, busy(1), starting: 7).isNothing)
    #expect(decide(policy, waiting: 400, seconds: 0.5, busy(1), starting: 4).start == 3)
  }

  @Test func whatNobodyHasMeasuredIsTakenForASecond() {
    let decision = decide(AdaptivePolicy(minimum: 1, maximum: 8), waiting: 6, busy(1))
    #expect(decision.start == 2)
    #expect(decision.reason == "2 more engines: 6 tasks wait, of unknown length, 6 s of work for 1")
  }

  @Test func theLeastIsKept() {
    let decision = decide(AdaptivePolicy(minimum: 3, maximum: 8), idle(1, 0))
    #expect(decision.start == 2 && decision.reason == "2 more engines: 3 is the least")
  }

  @Test func whoIsIdleForLongGoes() {
    let policy = AdaptivePolicy(minimum: 1, maximum: 8)
    let engines = [
      Engine(id: 0, idle: 50), Engine(id: 1, busy: 1), Engine(id: 2, idle: 3), Engine(id: 3, idle: 70),
      Engine(id: 4, idle: 99, holds: true),
      Engine(id: 5, idle: 99, isOwn: false), Engine(id: 6, idle: 99, isDraining: true),
    ]
    let decision = decide(policy, engines)
    #expect(decision.drain == [3, 0])
    #expect(decision.reason == "engines 3, 0 go: idle for 50 s, nothing waits")
  }

  @Test func theLeastDoesNotGo() {
    let decision = decide(AdaptivePolicy(minimum: 2, maximum: 8), idle(4))
    #expect(decision.drain.count == 2)
    #expect(decide(AdaptivePolicy(minimum: 4, maximum: 8), idle(4)).isNothing)
  }

  @Test func nobodyGoesWhileTasksWait() {
    #expect(decide(AdaptivePolicy(minimum: 0, maximum: 8), waiting: 1, seconds: 0.1, idle(4)).isNothing)
  }

  @Test func aFixedNumberIsReachedFromBothSides() {
    let policy = AdaptivePolicy(minimum: 3, maximum: 3)
    #expect(decide(policy, idle(1)).start == 2)
    // At once: nobody asked for patience.
    #expect(decide(policy, idle(5, 0)).drain.count == 2)
    #expect(decide(policy, waiting: 1000, seconds: 10, busy(3)).isNothing)
  }

  @Test func onlyForceMovesWhoComputesOrHoldsNames() {
    var policy = AdaptivePolicy(minimum: 1, maximum: 1)
    let engines = [Engine(id: 0, busy: 1), Engine(id: 1, idle: 5, holds: true), Engine(id: 2, idle: 5)]
    #expect(decide(policy, engines).drain == [2])
    let left = Array(engines.prefix(2))
    #expect(decide(policy, left).isNothing)
    #expect(
      policy.keeps(ClusterDemand(engines: left), starting: 0)?.hasPrefix("1 more than wanted: 1 compute, 1 were addressed") == true)
    policy.wished(ScalingWish(minimum: 1, maximum: 1, isForced: true))
    #expect(decide(policy, engines).drain == [2, 1])
    #expect(policy.keeps(ClusterDemand(engines: left), starting: 0) == nil)
  }

  @Test func foreignEnginesStay() {
    let demand = ClusterDemand(engines: idle(4))
    let decision = AdaptivePolicy(minimum: 1, maximum: 8).decide(demand, starting: 0, now: now) { $0.id > 1 }
    #expect(Set(decision.drain) == [2, 3])
  }

  @Test func enginesThatDieAreNotStartedWithoutEnd() {
    var policy = AdaptivePolicy(minimum: 1, maximum: 8)
    var time = now
    var pauses: [Duration] = []
    for _ in 0..<8 {
      policy.engineFailed(now: time)
      #expect(decide(policy, [], at: time).isNothing)
      var next = time
      while decide(policy, [], at: next).isNothing { next += .seconds(1) }
      pauses.append(next - time)
      time = next
    }
    #expect(pauses == [2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
    policy.engineWorked()
    policy.engineFailed(now: time)
    #expect(decide(policy, [], at: time + .seconds(2)).start == 1)
  }

  @Test func hugeNumbersAreOnlyNumbers() {
    let decision = decide(AdaptivePolicy(minimum: 0, maximum: 1000), waiting: Int.max / 2, seconds: 1e300, busy(1))
    #expect(decision.start == 999)
  }
}
