import ApusCluster
import Testing

/// Engines that had ended, and are there again with their job.
@Suite struct ReturnedEnginesTests {
  var recorder = ClusterLifecycleTests.Recorder()
  let now = Duration.seconds(100)

  func plan(_ change: (inout ClusterLifecycle.Plan) -> Void) -> ClusterLifecycle {
    var plan = ClusterLifecycle.Plan(engines: 2)
    change(&plan)
    return ClusterLifecycle(plan, now: now)
  }

  @Test mutating func anEngineThatIsBackWithItsJobCounts() {
    var life = plan { $0.ownsController = false }
    life.connectionInfoArrived(now: now, &recorder)
    for count in [0, 2] { life.enginesRegistered(count, now: now, &recorder) }
    recorder.done = []
    life.engineEnded(1, .signaled(9), now: now, &recorder)
    recorder.expect("\(ClusterReport.engineEnded(1, .signaled(9)))", "file")
    life.engineReturned(1, now: now, &recorder)
    recorder.expect("engineReturned(1)", "file")
    life.engineReturned(1, now: now, &recorder)
    recorder.expect()
    life.engineEnded(0, .exited(0), now: now + .seconds(60), &recorder)
    #expect(life.liveEngines == [1] && life.exitCode == nil)
    // Its first end is none: all have ended well.
    life.engineEnded(1, .exited(0), now: now + .seconds(60), &recorder)
    #expect(life.exitCode == .success)
    life.engineReturned(1, now: now + .seconds(60), &recorder)
    #expect(life.liveEngines.isEmpty)
  }

  @Test mutating func anEngineThatIsBackWithItsJobIsNotStartedAgain() {
    var life = plan {
      $0.restart = .onFailure
      $0.queues = true
    }
    life.connectionInfoArrived(now: now, &recorder)
    for engine in 0..<2 { life.engineRuns(engine, now: now, &recorder) }
    life.enginesRegistered(2, now: now, &recorder)
    life.engineEnded(1, .signaled(9), now: now, &recorder)
    #expect(life.deadline != nil)
    life.engineReturned(1, now: now, &recorder)
    life.engineWaits(1, reason: "BeginTime", now: now, &recorder)
    #expect(life.liveEngines == [0, 1] && life.deadline == nil)
    recorder.done = []
    life.timePassed(now: now + .seconds(5), &recorder)
    recorder.expect()
  }
}
