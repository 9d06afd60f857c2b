import ApusCluster
import ApusProcess
import Testing

@Suite struct WishProgressTests {
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
    return life
  }

  func engine(_ index: Int, busy: Int = 0, holds: Bool = false, isDraining: Bool = false, run: Int = 0) -> Engine {
    Engine(
      id: index, origin: "\(mark)#\(index)", busy: busy, idle: 100, holds: holds, isDraining: isDraining, uuid: "\(index)-\(run)")
  }

  /// The controller's answer, while a wish is known to it.
  func answer(_ engines: [Engine], wish number: Int? = nil, restart: [Int]? = nil, serial: Int = 1, controller: Int = 7)
    -> ClusterDemand
  {
    var demand = ClusterDemand(taskSeconds: 1, engines: engines)
    demand.controller = controller
    if let number { (demand.wish, demand.wishSerial) = (ScalingWish(minimum: number, maximum: number), serial) }
    if let restart { (demand.restart, demand.restartSerial) = (restart, serial) }
    return demand
  }

  mutating func hear(_ life: inout ClusterLifecycle, _ demand: ClusterDemand) {
    life.demandArrived(demand, mark: mark, now: now, &recorder)
  }

  @Test mutating func enginesThatComeCarryItOut() {
    var life = served(1)
    hear(&life, answer([engine(0)], wish: 3))
    #expect(life.wishProgress == WishProgress(serial: 1, reason: "1 of 3 engines, 2 starting"))
    hear(&life, answer([engine(0), engine(1)]))
    #expect(life.wishProgress?.state == .underWay)
    hear(&life, answer([engine(0), engine(1), engine(2)]))
    #expect(life.wishProgress == WishProgress(serial: 1, state: .done, reason: "3 engines"))
  }

  /// Those that are about to end by themselves are none of the wanted, and nobody waits for their end.
  @Test mutating func enginesWhoseTimeIsOverDoNotCount() {
    var life = served(1)
    hear(&life, answer([engine(0, isDraining: true)], wish: 2))
    hear(&life, answer([engine(0, isDraining: true), engine(1)]))
    #expect(life.wishProgress == WishProgress(serial: 1, reason: "1 of 2 engines, 1 starting"))
    hear(&life, answer([engine(0, isDraining: true), engine(1), engine(2)]))
    #expect(life.wishProgress?.state == .done)
  }

  @Test mutating func enginesThatGoAreWaitedFor() {
    var life = served(3)
    hear(&life, answer([engine(0), engine(1), engine(2)], wish: 1))
    #expect(life.wishProgress == WishProgress(serial: 1, reason: "1 of 1 engine, 2 finishing what they have"))
    hear(&life, answer([engine(0), engine(1, isDraining: true)]))
    #expect(life.wishProgress?.state == .underWay)
    hear(&life, answer([engine(0)]))
    #expect(life.wishProgress?.state == .done)
  }

  @Test mutating func whoStaysIsNamed() {
    var life = served(2)
    hear(&life, answer([engine(0, busy: 1), engine(1, holds: true)], wish: 1))
    #expect(life.wishProgress?.state == .kept && life.wishProgress?.reason.hasPrefix("1 more than wanted") == true)
  }

  @Test mutating func theQueuesWordIsTold() {
    var life = served(1) { $0.queues = true }
    hear(&life, answer([engine(0)], wish: 2))
    life.engineRuns(0, now: now, &recorder)
    life.engineWaits(1, reason: "Resources", now: now, &recorder)
    hear(&life, answer([engine(0)]))
    #expect(life.wishProgress?.reason == "1 of 2 engines, 1 in the queue (Resources)")
  }

  @Test mutating func aRefusalIsAnEnd() {
    var life = served(1)
    hear(&life, answer([engine(0)], wish: 2))
    life.engineEnded(1, .refused("sbatch: error: quota exhausted"), now: now, &recorder)
    hear(&life, answer([engine(0)]))
    #expect(life.wishProgress == WishProgress(serial: 1, state: .refused, reason: "1 of 2 engines: sbatch: error: quota exhausted"))
    // Another wish is another try.
    hear(&life, answer([engine(0)], wish: 3, serial: 2))
    #expect(life.wishProgress == WishProgress(serial: 2, reason: "1 of 3 engines, 2 starting"))
  }

  @Test mutating func enginesThatDieAgainAndAgainAreARefusal() {
    var life = served(1)
    hear(&life, answer([engine(0)], wish: 2))
    var time = now
    for index in 1...3 {
      #expect(life.wishProgress?.state == .underWay)
      life.engineEnded(index, .exited(3), now: time, &recorder)
      time += .seconds(100)
      life.demandArrived(answer([engine(0)]), mark: mark, now: time, &recorder)
    }
    #expect(life.wishProgress?.state == .refused && life.wishProgress?.reason.contains("exit code 3") == true)
  }

  @Test mutating func aNumberAndARestartAreHeardInOneAnswer() {
    var life = served(2)
    var both = answer([engine(0), engine(1)], wish: 3, serial: 1)
    (both.restart, both.restartSerial) = ([0], 2)
    recorder.done = []
    hear(&life, both)
    #expect(recorder.done.contains("start 2") && recorder.done.contains("retire [0]"))
    #expect(life.wishProgress?.serial == 1 && life.renewalProgress?.serial == 2)
  }

  /// Of other launchers, they never go, whatever is wished.
  @Test mutating func enginesOfOthersAreNotWaitedFor() {
    var life = served(1)
    var wished = answer([engine(0), Engine(id: 5, origin: "/other::2#0"), Engine(id: 6, origin: "/other::2#1")])
    (wished.wish, wished.wishSerial) = (ScalingWish(minimum: 1, maximum: 1, isForced: true), 1)
    hear(&life, wished)
    #expect(life.wishProgress?.reason == "2 of 1 engine, 1 finishing what they have")
    hear(&life, answer([Engine(id: 5, origin: "/other::2#0"), Engine(id: 6, origin: "/other::2#1")]))
    #expect(
      life.wishProgress
        == WishProgress(
          serial: 1, state: .kept, reason: "1 more than wanted, of other launchers or of kinds that cannot be asked to end"))
  }

  @Test mutating func ofARangeOnlyTheLeastIsWaitedFor() {
    var life = served(3)
    var wished = answer([engine(0, busy: 1), engine(1, busy: 1), engine(2, busy: 1)])
    (wished.wish, wished.wishSerial) = (ScalingWish(minimum: 1, maximum: 2), 1)
    hear(&life, wished)
    #expect(
      life.wishProgress
        == WishProgress(serial: 1, state: .done, reason: "3 engines, 1 more than wanted until they have nothing to do"))
  }

  @Test mutating func ranksAreAsManyAsTheyAre() {
    var life = served(2) { $0.restartsTogether = true }
    hear(&life, answer([engine(0), engine(1)], wish: 2))
    #expect(life.wishProgress == WishProgress(serial: 1, state: .done, reason: "2 engines"))
    #expect(life.policy == nil)
  }

  /// Their program is gone, for example: nobody waits for what will not come.
  @Test mutating func whoCannotBeStartedAgainIsNotWaitedFor() {
    var life = served(2)
    hear(&life, answer([engine(0), engine(1)], restart: [0, 1]))
    recorder.refused = 1
    life.engineEnded(0, .exited(0), now: now, &recorder)
    life.engineEnded(1, .exited(0), now: now, &recorder)
    life.timePassed(now: now, &recorder)
    hear(&life, answer([]))
    #expect(life.renewalProgress?.state == .underWay)
    hear(&life, answer([engine(0, run: 1)]))
    #expect(life.renewalProgress?.state == .refused)
    #expect(life.renewalProgress?.reason.contains("engine 1 did not come back: refused: no such file") == true)
  }

  /// However young the cluster is: its controller serves on, and whoever looks can see why.
  @Test mutating func whoEndsAtOnceIsNoReasonToStopTheCluster() {
    var life = served(1)
    hear(&life, answer([engine(0)], restart: [0]))
    life.engineEnded(0, .exited(0), now: now, &recorder)
    life.timePassed(now: now, &recorder)
    life.engineEnded(0, .exited(3), now: now, &recorder)
    #expect(!life.isStopping)
    #expect(life.renewalProgress?.state == .refused && life.renewalProgress?.reason.contains("exit code 3") == true)
  }

  @Test mutating func whoDoesNotRegisterInTimeIsNotWaitedFor() {
    var life = served(1)
    hear(&life, answer([engine(0)], restart: [0]))
    life.engineEnded(0, .exited(0), now: now, &recorder)
    life.timePassed(now: now, &recorder)
    life.demandArrived(answer([]), mark: mark, now: now + .seconds(60), &recorder)
    #expect(life.renewalProgress?.state == .underWay)
    life.demandArrived(answer([]), mark: mark, now: now + .seconds(61), &recorder)
    #expect(life.renewalProgress == WishProgress(serial: 1, state: .refused, reason: "engine 0 did not register within 60 s"))
  }

  @Test mutating func whoDoesNotEndInTimeIsNotWaitedFor() {
    var life = served(1)
    hear(&life, answer([engine(0)], restart: [0]))
    life.demandArrived(answer([engine(0)]), mark: mark, now: now + .seconds(61), &recorder)
    #expect(life.renewalProgress == WishProgress(serial: 1, state: .refused, reason: "engine 0 did not end within 60 s"))
  }

  @Test mutating func timeInAQueueIsNoReasonToGiveUp() {
    var life = served(1) { $0.queues = true }
    life.engineRuns(0, now: now, &recorder)
    hear(&life, answer([engine(0)], restart: [0]))
    life.engineEnded(0, .exited(0), now: now, &recorder)
    life.timePassed(now: now, &recorder)
    life.demandArrived(answer([]), mark: mark, now: now + .seconds(1000), &recorder)
    life.engineRuns(0, now: now + .seconds(1000), &recorder)
    life.demandArrived(answer([]), mark: mark, now: now + .seconds(1060), &recorder)
    #expect(life.renewalProgress?.state == .underWay)
    life.demandArrived(answer([]), mark: mark, now: now + .seconds(1061), &recorder)
    #expect(life.renewalProgress?.state == .refused)
  }

  @Test mutating func ranksStayAsManyAsTheyAre() {
    var life = served(2) { $0.restartsTogether = true }
    recorder.done = []
    hear(&life, answer([engine(0), engine(1)], wish: 3))
    hear(&life, answer([engine(0), engine(1)]))
    #expect(life.wishProgress?.state == .refused && life.wishProgress?.reason.contains("MPI") == true)
    #expect(life.policy == nil && !recorder.done.contains { $0.hasPrefix("start") || $0.hasPrefix("drain") })
    // One of them alone cannot be started anew; all can.
    hear(&life, answer([engine(0), engine(1)], restart: [1], serial: 2))
    #expect(life.renewalProgress?.state == .refused && !recorder.done.contains { $0.hasPrefix("retire") })
    hear(&life, answer([engine(0), engine(1)], restart: [0, 1], serial: 3))
    #expect(life.renewalProgress?.state == .underWay && recorder.done.contains("retire [0, 1]"))
  }

  // MARK: engines that are started anew

  @Test mutating func whoIsStartedAnewIsBackWhenAnotherProcessIsThere() {
    var life = served(2)
    hear(&life, answer([engine(0), engine(1)], restart: [1]))
    #expect(life.renewalProgress == WishProgress(serial: 1, reason: "1 of 1 engine not back yet"))
    life.engineEnded(1, .signaled(15), now: now, &recorder)
    life.timePassed(now: now, &recorder)
    // The controller has not missed it yet.
    hear(&life, answer([engine(0), engine(1)]))
    #expect(life.renewalProgress?.state == .underWay)
    hear(&life, answer([engine(0), engine(1, run: 1)]))
    #expect(life.renewalProgress == WishProgress(serial: 1, state: .done, reason: "1 engine started again"))
  }

  @Test mutating func whoDoesNotComeBackIsNamed() {
    var life = served(2)
    hear(&life, answer([engine(0), engine(1)], restart: [1]))
    life.engineEnded(1, .signaled(15), now: now, &recorder)
    life.timePassed(now: now, &recorder)
    life.engineEnded(1, .exited(3), now: now, &recorder)
    #expect(
      life.renewalProgress == WishProgress(serial: 1, state: .refused, reason: "engine 1 did not come back: exit code 3"))
  }

  @Test mutating func enginesOfOthersStay() {
    var life = served(1)
    hear(&life, answer([engine(0), Engine(id: 5, origin: "/other::2#0")], restart: [0, 5]))
    life.engineEnded(0, .signaled(15), now: now, &recorder)
    hear(&life, answer([engine(0, run: 1), Engine(id: 5, origin: "/other::2#0")]))
    #expect(
      life.renewalProgress
        == WishProgress(serial: 1, state: .kept, reason: "1 engine started again; 1 engine of other launchers stay as they are"))
  }

  // MARK: controllers that are started again

  @Test mutating func whatANewControllerDoesNotKnowYetHasNotEnded() {
    var life = served(2) {
      $0.policy = AdaptivePolicy(minimum: 1, maximum: 2)
      $0.queues = true
      $0.restartsController = true
    }
    hear(&life, answer([engine(0), engine(1)]))
    hear(&life, answer([engine(0), engine(1, isDraining: true)]))
    life.controllerEnded(.signaled(9), now: now, &recorder)
    life.timePassed(now: now + .seconds(1), &recorder)
    hear(&life, answer([], controller: 8))
    hear(&life, answer([engine(0)], controller: 8))
    #expect(life.liveEngines == [0, 1])
    // It comes back to the new one, and goes.
    hear(&life, answer([engine(0), engine(1, isDraining: true)], controller: 8))
    hear(&life, answer([engine(0)], controller: 8))
    #expect(life.liveEngines == [0])
  }

  /// A new controller counts its wishes from 1: what came of the former's says nothing of them.
  @Test mutating func wishesOfAFormerControllerAreForgotten() {
    var life = served(1)
    hear(&life, answer([engine(0)], wish: 1, serial: 4))
    hear(&life, answer([engine(0)], restart: [0], serial: 5))
    #expect(life.wishProgress?.serial == 4 && life.renewalProgress?.serial == 5)
    hear(&life, answer([engine(0)], controller: 8))
    #expect(life.wishProgress == nil && life.renewalProgress == nil)
    hear(&life, answer([engine(0)], wish: 2, serial: 1, controller: 8))
    #expect(life.wishProgress == WishProgress(serial: 1, reason: "1 of 2 engines, 1 starting"))
  }

  @Test mutating func aStopEndsJobsOfWhichOnlyTheControllerKnewThatTheyEnded() {
    var life = served(1) {
      $0.policy = AdaptivePolicy(minimum: 0, maximum: 1)
      $0.queues = true
      $0.giveUpAfter = .seconds(60)
    }
    hear(&life, answer([engine(0)]))
    hear(&life, answer([]))
    #expect(life.liveEngines == [])
    recorder.done = []
    life.signaled(15, now: now, &recorder)
    recorder.expect("stopping", "unwatch", "signal 15 controller [0]")
    life.controllerEnded(.exited(0), now: now, &recorder)
    #expect(life.exitCode == nil)
    life.engineEnded(0, .exited(0), now: now, &recorder)
    #expect(life.exitCode == .success)
  }
}
