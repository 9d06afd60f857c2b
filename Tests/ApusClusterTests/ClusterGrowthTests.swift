import ApusCluster
import ApusProcess
import Glibc
import Testing

@Suite struct ClusterGrowthTests {
  typealias Engine = ClusterDemand.Engine

  var recorder = ClusterLifecycleTests.Recorder()
  let now = Duration.seconds(100)
  let mark = "/profile::1"

  mutating func served(_ engines: Int, _ change: (inout ClusterLifecycle.Plan) -> Void = { _ in }) -> ClusterLifecycle {
    var plan = ClusterLifecycle.Plan(engines: engines)
    change(&plan)
    var life = ClusterLifecycle(plan, now: now)
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(engines, now: now, &recorder)
    recorder.done = []
    return life
  }

  func engine(_ id: Int, index: Int? = nil, busy: Int = 0, idle: Double = 100, holds: Bool = false) -> Engine {
    Engine(id: id, origin: "\(mark)#\(index ?? id)", busy: busy, idle: idle, holds: holds)
  }

  func demand(_ engines: [Engine], waiting: Int = 0, seconds: Double? = 1, wish: ScalingWish? = nil, serial: Int = 0)
    -> ClusterDemand
  {
    var demand = ClusterDemand(waiting: waiting, taskSeconds: seconds, engines: engines)
    (demand.wish, demand.wishSerial) = (wish, serial)
    return demand
  }

  @Test mutating func workMakesItGrowOnce() {
    var life = served(1) { $0.policy = AdaptivePolicy(minimum: 1, maximum: 3) }
    life.demandArrived(demand([engine(0, busy: 1)], waiting: 100), mark: mark, now: now, &recorder)
    recorder.expect("scaling(\"2 more engines: 100 tasks wait, 1 s each, 100 s of work for 1\")", "start 1", "start 2", "file")
    // They are on their way.
    life.demandArrived(demand([engine(0, busy: 1)], waiting: 100), mark: mark, now: now, &recorder)
    recorder.expect()
    #expect(life.steps.map(\.reason).count == 1 && life.liveEngines == [0, 1, 2])
  }

  @Test mutating func idlenessMakesItShrinkOnce() {
    var life = served(3) { $0.policy = AdaptivePolicy(minimum: 1, maximum: 3) }
    let engines = [engine(0, idle: 5), engine(1, idle: 20), engine(2, idle: 30)]
    life.demandArrived(demand(engines), mark: mark, now: now, &recorder)
    recorder.expect("scaling(\"engines 2, 1 go: idle for 20 s, nothing waits\")", "drain [2, 1]")
    // The controller has not heard of it yet.
    life.demandArrived(demand([engine(0, idle: 50), engine(1, idle: 20), engine(2, idle: 30)]), mark: mark, now: now, &recorder)
    recorder.expect("drain [1, 2]")
    life.engineEnded(2, .exited(0), now: now, &recorder)
    life.engineEnded(1, .exited(0), now: now, &recorder)
    #expect(life.liveEngines == [0] && life.exitCode == nil)
  }

  @Test mutating func whoWasAskedToGoDoesNotComeBack() {
    var life = served(2) {
      $0.restart = .always
      $0.policy = AdaptivePolicy(minimum: 1, maximum: 2)
    }
    life.demandArrived(demand([engine(0), engine(1)]), mark: mark, now: now, &recorder)
    life.engineEnded(1, .exited(0), now: now, &recorder)
    #expect(life.liveEngines == [0] && life.deadline == nil)
  }

  @Test mutating func whatAControllerKnewFirstIsNotToldTwice() {
    var life = served(2) {
      $0.policy = AdaptivePolicy(minimum: 1, maximum: 2)
      $0.restart = .always
      $0.queues = true
    }
    life.engineRuns(0, now: now, &recorder)
    life.engineRuns(1, now: now, &recorder)
    life.demandArrived(demand([engine(0), engine(1)]), mark: mark, now: now, &recorder)
    // Its system says nothing of it: the job goes on.
    life.demandArrived(demand([engine(0)]), mark: mark, now: now, &recorder)
    #expect(life.liveEngines == [0])
    recorder.done = []
    life.engineEnded(1, .exited(0), now: now, &recorder)
    recorder.expect()
    #expect(life.liveEngines == [0] && life.deadline == nil)
  }

  @Test mutating func aControllerThatWasStartedAgainCountsWishesAnew() {
    var life = served(2)
    let engines = [engine(0), engine(1)]
    life.demandArrived(demand(engines, wish: ScalingWish(minimum: 3, maximum: 3), serial: 5), mark: mark, now: now, &recorder)
    life.demandArrived(demand(engines), mark: mark, now: now, &recorder)
    recorder.done = []
    var other = demand(engines, wish: ScalingWish(minimum: 4, maximum: 4), serial: 1)
    other.controller = 1
    life.demandArrived(other, mark: mark, now: now, &recorder)
    #expect(recorder.done.contains("start 3"))
  }

  @Test mutating func aWishIsHeardOnce() {
    var life = served(2)
    let wish = ScalingWish(minimum: 4, maximum: 4)
    life.demandArrived(demand([engine(0), engine(1)], wish: wish, serial: 1), mark: mark, now: now, &recorder)
    recorder.expect(
      "scaling(\"a client wants 4 engines\")", "scaling(\"2 more engines: 4 are wanted, 2 are there\")", "start 2", "start 3",
      "file")
    life.demandArrived(demand([engine(0), engine(1)], wish: wish, serial: 1), mark: mark, now: now, &recorder)
    recorder.expect()
  }

  @Test mutating func whoStaysIsSaidOnce() {
    var life = served(2)
    let wish = ScalingWish(minimum: 1, maximum: 1)
    let engines = [engine(0, busy: 1), engine(1, holds: true)]
    life.demandArrived(demand(engines, wish: wish, serial: 1), mark: mark, now: now, &recorder)
    life.demandArrived(demand(engines, wish: wish, serial: 1), mark: mark, now: now, &recorder)
    #expect(recorder.done.filter { $0.contains("more than wanted") }.count == 1)
  }

  @Test mutating func enginesOfOthersCountAndStay() {
    var life = served(1) { $0.policy = AdaptivePolicy(minimum: 0, maximum: 2) }
    let foreign = [Engine(id: 7, origin: "/other::2#0", idle: 1000), Engine(id: 8, idle: 1000), engine(0, idle: 1000)]
    life.demandArrived(demand(foreign), mark: mark, now: now, &recorder)
    recorder.expect("scaling(\"engine 0 goes: idle for 1000 s, nothing waits\")", "drain [0]")
  }

  @Test mutating func engineNumbersAreNotGivenAgain() {
    var life = served(2) { $0.policy = AdaptivePolicy(minimum: 0, maximum: 2) }
    life.demandArrived(demand([engine(0), engine(1)]), mark: mark, now: now, &recorder)
    for index in 0..<2 { life.engineEnded(index, .exited(0), now: now, &recorder) }
    recorder.done = []
    life.demandArrived(demand([], waiting: 1), mark: mark, now: now, &recorder)
    recorder.expect("scaling(\"1 more engine: 1 task waits, 1 s each, 1 s of work for 0\")", "start 2", "file")
  }

  @Test mutating func enginesThatDieAtOnceAreNotStartedAtEveryLook() {
    var life = served(1) {
      $0.policy = AdaptivePolicy(minimum: 1, maximum: 2)
      $0.earlyShutdown = .zero
    }
    life.engineEnded(0, .exited(1), now: now, &recorder)
    recorder.done = []
    life.demandArrived(demand([]), mark: mark, now: now + .milliseconds(200), &recorder)
    recorder.expect()
    life.demandArrived(demand([]), mark: mark, now: now + .seconds(3), &recorder)
    recorder.expect("scaling(\"1 more engine: 1 is the least\")", "start 1", "file")
  }

  @Test mutating func enginesThatHaveWorkedAndDieAreReplacedAtOnce() {
    var life = served(2) { $0.policy = AdaptivePolicy(minimum: 2, maximum: 2) }
    life.demandArrived(demand([engine(0), engine(1)]), mark: mark, now: now, &recorder)
    life.engineEnded(0, .signaled(9), now: now, &recorder)
    recorder.done = []
    life.demandArrived(demand([engine(1)]), mark: mark, now: now, &recorder)
    #expect(recorder.done.contains("start 2"))
  }

  @Test mutating func someAreStartedAnew() {
    var life = served(3)
    var wanted = demand([engine(5, index: 0), engine(6, index: 1), engine(7, index: 2)])
    (wanted.restart, wanted.restartSerial) = ([6, 99], 1)
    life.demandArrived(wanted, mark: mark, now: now, &recorder)
    recorder.expect("scaling(\"a client wants engine 6 to be started anew\")", "retire [6]")
    life.demandArrived(wanted, mark: mark, now: now, &recorder)
    recorder.expect()
    life.engineEnded(1, .exited(0), now: now, &recorder)
    life.timePassed(now: now, &recorder)
    #expect(recorder.done.contains("start 1") && life.liveEngines == [0, 1, 2])
  }

  @Test mutating func nothingChangesWhileTheControllerIsAway() {
    var life = served(1) {
      $0.policy = AdaptivePolicy(minimum: 3, maximum: 3)
      $0.restartsController = true
    }
    life.controllerEnded(.signaled(9), now: now, &recorder)
    recorder.done = []
    life.demandArrived(demand([]), mark: mark, now: now, &recorder)
    recorder.expect()
  }
}
