import ApusProcess
import ApusCluster
import Glibc
import Testing

@Suite struct ClusterLifecycleTests {
  /// Writes down what the lifecycle wants done.
  struct Recorder: ClusterLifecycleEffects {
    var done: [String] = []
    /// The engine that the system does not start.
    var refused: Int?
    var startRefusal: String? { refused == nil ? nil : "no such file" }
    mutating func startEngines(_ engines: Range<Int>) -> Int {
      for (count, index) in engines.enumerated() {
        done.append("start \(index)")
        if index == refused { return count }
      }
      return engines.count
    }
    mutating func restartController() -> Bool {
      done.append("restart")
      return true
    }
    mutating func drain(_ ids: [Int]) { done.append("drain \(ids)") }
    mutating func forgetEnd(of engine: Int) {}
    mutating func retire(_ ids: [Int]) { done.append("retire \(ids)") }
    mutating func adoptEngines() { done.append("adopt") }
    mutating func watchRegistrations() { done.append("watch") }
    mutating func stopWatchingRegistrations() { done.append("unwatch") }
    mutating func signal(_ signal: Int32, controller: Bool, engines: Set<Int>) {
      done.append("signal \(signal) \(controller ? "controller " : "")\(engines.sorted())")
    }
    mutating func updateClusterFile() { done.append("file") }
    mutating func removeFiles() { done.append("remove") }
    var canLeave = true
    mutating func leaveRunning() -> Bool {
      done.append("leave")
      return canLeave
    }
    mutating func report(_ report: ClusterReport) { done.append("\(report)") }

    mutating func expect(_ expected: String..., sourceLocation: SourceLocation = #_sourceLocation) {
      #expect(done == expected, sourceLocation: sourceLocation)
      done = []
    }
  }

  var recorder = Recorder()
  let now = Duration.seconds(100)

  func plan(_ engines: Int = 2, _ change: (inout ClusterLifecycle.Plan) -> Void = { _ in }) -> ClusterLifecycle {
    var plan = ClusterLifecycle.Plan(engines: engines)
    change(&plan)
    return ClusterLifecycle(plan, now: now)
  }

  /// A cluster that is ready.
  mutating func served(_ engines: Int = 2) -> ClusterLifecycle {
    var life = plan(engines)
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(engines, now: now, &recorder)
    recorder.done = []
    return life
  }

  @Test mutating func aStart() {
    var life = plan()
    #expect(life.deadline == now + .seconds(60))
    life.connectionInfoArrived(now: now, &recorder)
    recorder.expect("watch", "start 0", "start 1", "file", "progress(registered: 0, of: 2)")
    life.enginesRegistered(1, now: now, &recorder)
    recorder.expect("progress(registered: 1, of: 2)")
    life.enginesRegistered(2, now: now + .milliseconds(300), &recorder)
    recorder.expect("ready(engines: 2, of: 2, after: \(Duration.milliseconds(300)))", "unwatch")
    #expect(life.deadline == nil)
  }

  @Test mutating func delaysAreKept() {
    var life = plan {
      $0.delay = .seconds(1)
      $0.engineDelay = .seconds(2)
    }
    life.connectionInfoArrived(now: now, &recorder)
    recorder.expect("watch")
    #expect(life.deadline == now + .seconds(1))
    life.timePassed(now: now + .seconds(1), &recorder)
    recorder.expect("start 0")
    #expect(life.deadline == now + .seconds(3))
    life.timePassed(now: now + .seconds(3), &recorder)
    recorder.expect("start 1", "file", "progress(registered: 0, of: 2)")
  }

  @Test mutating func anInterruptStopsEverything() {
    var life = served()
    life.signaled(SIGINT, now: now, &recorder)
    recorder.expect("stopping", "unwatch", "signal 15 controller [0, 1]")
    life.engineEnded(0, .signaled(15), now: now, &recorder)
    life.controllerEnded(.exited(0), now: now, &recorder)
    recorder.expect()
    life.engineEnded(1, .exited(0), now: now, &recorder)
    recorder.expect("unwatch", "remove")
    #expect(life.exitCode == .success)
  }

  @Test mutating func patienceEnds() {
    var life = served(1)
    life.signaled(SIGTERM, now: now, &recorder)
    recorder.done = []
    life.timePassed(now: now + .seconds(4), &recorder)
    recorder.expect()
    life.timePassed(now: now + .seconds(5), &recorder)
    recorder.expect("killing(becauseAsked: false)", "signal 9 controller [0]")
  }

  @Test mutating func asecondInterruptKills() {
    var life = served(1)
    life.signaled(SIGINT, now: now, &recorder)
    recorder.done = []
    life.signaled(SIGINT, now: now, &recorder)
    recorder.expect("killing(becauseAsked: true)", "signal 9 controller [0]")
  }

  @Test mutating func theFirstEngineThatTheSystemRefusesIsTheLastThatIsTried() {
    var life = plan(1000)
    recorder.refused = 2
    life.connectionInfoArrived(now: now, &recorder)
    recorder.expect("watch", "start 0", "start 1", "start 2")
    life.failed(.failure, now: now, &recorder)
    recorder.expect("unwatch", "signal 15 controller [0, 1]")
    life.engineEnded(0, .exited(0), now: now, &recorder)
    life.engineEnded(1, .exited(0), now: now, &recorder)
    life.controllerEnded(.exited(0), now: now, &recorder)
    #expect(life.exitCode == .failure)
  }

  @Test(arguments: [SIGINT, SIGTERM]) mutating func anInterruptedStartInTheBackgroundIsNoSuccess(signal: Int32) {
    var life = plan { $0.daemonizes = true }
    life.connectionInfoArrived(now: now, &recorder)
    life.signaled(signal, now: now, &recorder)
    for index in 0..<2 { life.engineEnded(index, .exited(0), now: now, &recorder) }
    life.controllerEnded(.exited(0), now: now, &recorder)
    #expect(life.exitCode?.rawValue == 128 + signal)
  }

  @Test(arguments: [true, false]) mutating func enginesThatEndWellWithoutRegisteringAreAFailure(ownsController: Bool) {
    var life = plan { $0.ownsController = ownsController }
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(0, now: now, &recorder)
    for index in 0..<2 { life.engineEnded(index, .exited(0), now: now, &recorder) }
    if ownsController { life.controllerEnded(.exited(0), now: now, &recorder) }
    #expect(life.exitCode == .failure)
  }

  @Test mutating func aClusterThatItsFileDoesNotNameIsNotLeft() {
    var life = plan { $0.daemonizes = true }
    recorder.canLeave = false
    life.connectionInfoArrived(now: now, &recorder)
    recorder.done = []
    life.enginesRegistered(2, now: now, &recorder)
    recorder.expect(
      "ready(engines: 2, of: 2, after: \(Duration.zero))", "unwatch", "leave", "unwatch", "signal 15 controller [0, 1]")
  }

  @Test mutating func oneDeadEngineIsToldAndTheRestGoesOn() {
    var life = served()
    life.engineEnded(1, .signaled(9), now: now, &recorder)
    recorder.expect("engineEnded(1, \(ExitStatus.signaled(9)))", "file")
    #expect(life.phase == .serving)
  }

  @Test mutating func theDeathOfAllEnginesSoonAfterTheStartEndsTheCluster() {
    var life = served(1)
    life.engineEnded(0, .exited(1), now: now + .seconds(29), &recorder)
    recorder.expect("engineEnded(0, exit code 1)", "file", "allEnginesEnded(early: true)", "unwatch", "signal 15 controller []")
    life.controllerEnded(.exited(0), now: now, &recorder)
    #expect(life.exitCode == .failure)
  }

  @Test mutating func laterTheControllerServesOn() {
    var life = served(1)
    life.engineEnded(0, .exited(1), now: now + .seconds(31), &recorder)
    recorder.expect("engineEnded(0, exit code 1)", "file", "allEnginesEnded(early: false)")
    #expect(life.phase == .serving)
  }

  @Test mutating func anEngineThatDiesWhileOthersRegisterIsNotWaitedFor() {
    var life = plan()
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(1, now: now, &recorder)
    recorder.done = []
    life.engineEnded(1, .exited(1), now: now, &recorder)
    recorder.expect("engineEnded(1, exit code 1)", "file", "ready(engines: 1, of: 2, after: \(Duration.zero))", "unwatch")
  }

  @Test mutating func theControllersEndIsTheClusters() {
    var life = served(1)
    life.controllerEnded(.exited(0), now: now, &recorder)
    recorder.expect("controllerEnded(exit code 0, early: false)", "file", "unwatch", "signal 15 [0]")
    life.engineEnded(0, .signaled(15), now: now, &recorder)
    #expect(life.exitCode == .success)
  }

  @Test mutating func aControllerThatCannotStartGivesItsExitCode() {
    var life = plan()
    life.controllerEnded(.exited(71), now: now, &recorder)
    recorder.expect("controllerEnded(exit code 71, early: true)", "file", "unwatch", "signal 15 []", "unwatch", "remove")
    #expect(life.exitCode == .cannotListen)
  }

  @Test mutating func timeRunsOut() {
    var life = plan()
    life.timePassed(now: now + .seconds(60), &recorder)
    recorder.expect("controllerTimedOut(after: \(Duration.seconds(60)))", "unwatch", "signal 15 controller []")
    var other = plan()
    other.connectionInfoArrived(now: now, &recorder)
    recorder.done = []
    other.timePassed(now: now + .seconds(60), &recorder)
    recorder.expect("enginesTimedOut(registered: 0, of: 2, after: \(Duration.seconds(60)))", "unwatch")
    #expect(other.phase == .serving)
  }

  @Test mutating func daemonizedClustersAreLeft() {
    var life = plan { $0.daemonizes = true }
    life.connectionInfoArrived(now: now, &recorder)
    recorder.done = []
    life.enginesRegistered(2, now: now, &recorder)
    recorder.expect("ready(engines: 2, of: 2, after: \(Duration.zero))", "unwatch", "leave")
    #expect(life.exitCode == .success)
  }

  @Test mutating func enginesForAnotherController() {
    var life = plan { $0.ownsController = false }
    life.connectionInfoArrived(now: now, &recorder)
    recorder.expect("watch")
    life.enginesRegistered(3, now: now, &recorder)
    recorder.expect("start 0", "start 1", "file", "progress(registered: 0, of: 2)")
    life.enginesRegistered(5, now: now, &recorder)
    recorder.expect("ready(engines: 2, of: 2, after: \(Duration.zero))", "unwatch")
    life.signaled(SIGINT, now: now, &recorder)
    recorder.expect("interrupting", "signal 2 [0, 1]")
    life.signaled(SIGTERM, now: now, &recorder)
    recorder.expect("stopping", "unwatch", "signal 15 [0, 1]")
    life.engineEnded(0, .exited(0), now: now, &recorder)
    life.engineEnded(1, .exited(0), now: now, &recorder)
    recorder.expect("unwatch", "remove")
  }

  /// A cluster with a journal that is ready.
  mutating func supervised() -> ClusterLifecycle {
    var life = plan { $0.restartsController = true }
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(2, now: now, &recorder)
    recorder.done = []
    return life
  }

  @Test mutating func aDeadControllerIsStartedAgain() {
    var life = supervised()
    #expect(life.startCode == .success)
    life.controllerEnded(.signaled(9), now: now, &recorder)
    recorder.expect("controllerRestarts(\(ExitStatus.signaled(9)), after: \(Duration.milliseconds(50)))", "file")
    #expect(life.deadline == now + .milliseconds(50) && !life.isControllerAlive)
    life.timePassed(now: now + .milliseconds(50), &recorder)
    recorder.expect("restart")
    #expect(life.phase == .serving && life.isControllerAlive && life.deadline == nil)
  }

  @Test mutating func aControllerThatDiesAgainAndAgainGetsTimeAndIsGivenUp() {
    var life = supervised()
    var time = now
    var delays: [Duration] = []
    for _ in 0..<5 {
      life.controllerEnded(.exited(71), now: time, &recorder)
      guard let next = life.deadline else { break }
      delays.append(next - time)
      time = next
      life.timePassed(now: time, &recorder)
    }
    #expect(delays == [50, 200, 800, 3200, 12800].map { .milliseconds($0) })
    recorder.done = []
    life.controllerEnded(.exited(71), now: time, &recorder)
    recorder.expect("controllerEnded(\(ExitStatus.exited(71)), early: false)", "file", "unwatch", "signal 15 [0, 1]")
    // After a minute without it the first restart counts as the first.
    life = supervised()
    life.controllerEnded(.signaled(9), now: now, &recorder)
    life.timePassed(now: now + .seconds(1), &recorder)
    life.controllerEnded(.signaled(9), now: now + .seconds(70), &recorder)
    #expect(life.deadline == now + .milliseconds(70_050))
  }

  @Test mutating func aControllerThatEndsInOrderIsNotStartedAgain() {
    var life = supervised()
    life.controllerEnded(.exited(0), now: now, &recorder)
    recorder.expect("controllerEnded(\(ExitStatus.exited(0)), early: false)", "file", "unwatch", "signal 15 [0, 1]")
  }

  @Test mutating func aSignalWhileTheControllerIsDeadStopsTheRest() {
    var life = supervised()
    life.controllerEnded(.signaled(9), now: now, &recorder)
    recorder.done = []
    life.signaled(SIGTERM, now: now, &recorder)
    recorder.expect("stopping", "unwatch", "signal 15 [0, 1]")
    life.timePassed(now: now + .milliseconds(50), &recorder)
    recorder.expect()
    for index in 0..<2 { life.engineEnded(index, .exited(0), now: now, &recorder) }
    recorder.expect("unwatch", "remove")
    #expect(life.exitCode == .success)
  }

  @Test mutating func withoutAJournalTheClusterEndsWithItsController() {
    var life = served()
    life.controllerEnded(.signaled(9), now: now, &recorder)
    recorder.expect("controllerEnded(\(ExitStatus.signaled(9)), early: false)", "file", "unwatch", "signal 15 [0, 1]")
  }

  @Test mutating func nobodyAnswers() {
    var life = plan {
      $0.ownsController = false
      $0.controllerTimeout = .seconds(10)
    }
    life.connectionInfoArrived(now: now, &recorder)
    life.timePassed(now: now + .seconds(10), &recorder)
    #expect(life.exitCode == .noController)
  }

  @Test mutating func signalsForUsersReachTheEngines() {
    var life = served()
    life.signaled(SIGUSR1, now: now, &recorder)
    recorder.expect("signal \(SIGUSR1) [0, 1]")
  }

  @Test mutating func noEnginesAreReadyAtOnce() {
    var life = plan(0)
    life.connectionInfoArrived(now: now, &recorder)
    recorder.expect("watch", "file", "ready(engines: 0, of: 0, after: \(Duration.zero))", "unwatch")
  }

  /// A plan for engines that a batch system runs.
  func queued(_ engines: Int = 2) -> ClusterLifecycle {
    plan(engines) {
      $0.queues = true
      $0.giveUpAfter = .seconds(60)
    }
  }

  @Test mutating func timeInAQueueDoesNotCount() {
    var life = queued()
    life.connectionInfoArrived(now: now, &recorder)
    life.engineWaits(0, reason: "Priority", now: now, &recorder)
    recorder.done = []
    // Hours later.
    for hour in 1...5 {
      life.timePassed(now: now + .seconds(hour * 3600), &recorder)
      recorder.expect()
      #expect(life.phase == .registering(until: now + .seconds(hour * 3600) + .seconds(60)))
    }
    let later = now + .seconds(20_000)
    life.engineRuns(0, now: later, &recorder)
    life.engineRuns(1, now: later, &recorder)
    #expect(life.deadline == later + .seconds(60))
    life.timePassed(now: later + .seconds(60), &recorder)
    recorder.expect("enginesTimedOut(registered: 0, of: 2, after: \(Duration.seconds(60)))", "unwatch")
  }

  @Test mutating func enginesThatDieAfterLongInAQueueAreAFailedStartToo() {
    var life = queued(1)
    life.connectionInfoArrived(now: now, &recorder)
    let later = now + .seconds(20_000)
    life.engineRuns(0, now: later, &recorder)
    recorder.done = []
    life.engineEnded(0, .timeLimit, now: later + .seconds(1), &recorder)
    recorder.expect(
      "engineEnded(0, \(EngineEnd.timeLimit))", "file", "allEnginesEnded(early: true)", "unwatch", "signal 15 controller []")
  }

  @Test mutating func aSystemThatEndsNothingIsGivenUp() {
    var life = queued(1)
    life.connectionInfoArrived(now: now, &recorder)
    life.controllerEnded(.exited(1), now: now, &recorder)
    recorder.done = []
    life.timePassed(now: now + .seconds(5), &recorder)
    recorder.expect("killing(becauseAsked: false)", "signal 9 [0]")
    life.timePassed(now: now + .seconds(65), &recorder)
    recorder.expect("gaveUp(engines: Set([0]), controller: false)")
    #expect(life.exitCode == .refused)
  }

  // MARK: controllers that die while engines come

  @Test mutating func aControllerThatDiesWhileEnginesWaitInAQueueIsStartedAgain() {
    var life = plan {
      $0.restartsController = true
      $0.queues = true
    }
    life.connectionInfoArrived(now: now, &recorder)
    recorder.done = []
    life.controllerEnded(.signaled(9), now: now, &recorder)
    recorder.expect("controllerRestarts(\(ExitStatus.signaled(9)), after: \(Duration.milliseconds(50)))", "file")
    #expect(life.deadline == now + .milliseconds(50))
    life.timePassed(now: now + .seconds(1), &recorder)
    recorder.expect("restart")
    // Engines that were about to register have their time again.
    #expect(life.deadline == now + .seconds(61))
    life.enginesRegistered(2, now: now + .seconds(30), &recorder)
    #expect(life.phase == .serving)
  }

  @Test mutating func aControllerThatDiesBeforeItIsReadyIsNotStartedAgain() {
    var life = plan { $0.restartsController = true }
    life.controllerEnded(.signaled(9), now: now, &recorder)
    #expect(life.exitCode == .failure)
  }

  @Test mutating func anEndWhileTheControllerIsDueStartsNoOther() {
    var life = plan { $0.restartsController = true }
    life.connectionInfoArrived(now: now, &recorder)
    life.controllerEnded(.signaled(9), now: now, &recorder)
    life.signaled(SIGINT, now: now, &recorder)
    recorder.done = []
    life.timePassed(now: now + .seconds(1), &recorder)
    recorder.expect()
  }

  // MARK: engines of an earlier launcher

  @Test mutating func enginesThatAreThereAreNotStartedAgain() {
    var life = ClusterLifecycle(ClusterLifecycle.Plan(engines: 8), adopting: [1, 2, 5], now: now)
    life.connectionInfoArrived(now: now, &recorder)
    recorder.expect("watch", "adopt", "file", "progress(registered: 0, of: 3)")
    life.enginesRegistered(3, now: now, &recorder)
    #expect(life.phase == .serving)
    recorder.done = []
    life.signaled(SIGTERM, now: now, &recorder)
    recorder.expect("stopping", "unwatch", "signal 15 controller [1, 2, 5]")
  }

  @Test mutating func enginesAreNotEndedByAControllerThatCannotBegin() {
    var life = ClusterLifecycle(ClusterLifecycle.Plan(engines: 3), adopting: [0, 1, 2], now: now)
    life.controllerEnded(.exited(13), now: now, &recorder)
    recorder.expect(
      "controllerEnded(\(ExitStatus.exited(13)), early: true)", "file", "unwatch", "signal 15 []", "unwatch", "remove")
  }

  // MARK: engines that come back

  @Test mutating func anEngineThatDiedIsStartedAgain() {
    var life = plan(2) { $0.restart = .onFailure }
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(2, now: now, &recorder)
    recorder.done = []
    life.engineEnded(1, .signaled(9), now: now, &recorder)
    recorder.expect(
      "engineEnded(1, \(EngineEnd.signaled(9)))", "file", "engineRestarts(1, after: \(Duration.milliseconds(100)))", "file")
    #expect(life.deadline == now + .milliseconds(100))
    life.timePassed(now: now + .milliseconds(100), &recorder)
    recorder.expect("start 1", "file")
    #expect(life.liveEngines == [0, 1] && life.deadline == nil)
  }

  @Test mutating func ranksAreStartedAgainTogether() {
    var life = plan(3) {
      $0.restart = .onFailure
      $0.restartsTogether = true
    }
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(3, now: now, &recorder)
    life.engineEnded(1, .signaled(9), now: now, &recorder)
    #expect(life.deadline == nil)
    life.engineEnded(0, .cancelled(by: "mpiexec, because rank 1 ended"), now: now, &recorder)
    life.engineEnded(2, .cancelled(by: "mpiexec, because rank 1 ended"), now: now, &recorder)
    recorder.done = []
    life.timePassed(now: now + .seconds(1), &recorder)
    recorder.expect("start 0", "start 1", "start 2", "file")
  }

  @Test mutating func aStopStartsNoEngineAgain() {
    var life = plan(1) { $0.restart = .always }
    life.connectionInfoArrived(now: now, &recorder)
    life.engineEnded(0, .signaled(9), now: now, &recorder)
    life.signaled(SIGTERM, now: now, &recorder)
    recorder.done = []
    life.timePassed(now: now + .seconds(1), &recorder)
    recorder.expect()
    life.controllerEnded(.exited(0), now: now, &recorder)
    #expect(life.exitCode == .success)
  }

  @Test mutating func anEngineThatIsGivenUpIsAFailedOne() {
    var life = plan(1) {
      $0.restart = .onFailure
      $0.engineRestartLimit = 0
    }
    life.connectionInfoArrived(now: now, &recorder)
    life.engineEnded(0, .exited(3), now: now, &recorder)
    life.controllerEnded(.exited(0), now: now, &recorder)
    #expect(life.exitCode == .failure)
  }
}
