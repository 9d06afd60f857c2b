import Glibc

/// The life of a cluster that a launcher watches over, as a pure value: events in, effects out; time is an argument.
public struct ClusterLifecycle: Sendable {
  /// What the lifecycle must be told once.
  public struct Plan: Sendable, Hashable {
    /// Engines to start.
    public var engines: Int
    /// Whether the controller is our child (`start`) or was there before (`engines`).
    public var ownsController = true
    /// Leave everything running once it is ready.
    public var daemonizes = false
    /// How long the controller may take to write its connection files, and to answer.
    public var controllerTimeout: Duration = .seconds(60)
    /// Between the controller's readiness and the first engine.
    public var delay: Duration = .zero
    /// Between one engine and the next.
    public var engineDelay: Duration = .zero
    /// How long the engines may take to register.
    public var engineTimeout: Duration = .seconds(60)
    /// The death of all engines within this time is a failed start.
    public var earlyShutdown: Duration = .seconds(30)
    /// Whether a controller that dies is started again: it has a journal.
    public var restartsController = false
    /// Whether the launcher stays with a cluster in the background: it has something to do there.
    public var stays: Bool { ownsController && (restartsController || restart != .never || policy != nil || supervises) }
    /// Whether it stays in any case: it notices what ends, and carries out what clients wish.
    public var supervises = false
    /// How many engines there are to be, where that depends on what there is to do.
    public var policy: AdaptivePolicy?
    /// Which engines that end are started again.
    public var restart: RestartPolicy.Mode = .never
    /// Restarts of an engine in a row.
    public var engineRestartLimit = 5
    /// Whether the controller is ours, and tells how much there is to do.
    public var asksForDemand = false
    /// Whether engines can only be started all together: ranks of one program.
    public var restartsTogether = false
    /// So many times within a minute at most.
    public var restartLimit = 5
    /// Between SIGTERM and SIGKILL.
    public var killAfter: Duration = .seconds(5)
    /// Whether engines may wait in a queue before they run, as long as it takes: `engineTimeout` begins when they do.
    public var queues = false
    /// Whether the controller, too, may wait in a queue: `controllerTimeout` begins when it runs.
    public var controllerQueues = false
    /// How long what was killed may take to end before the launcher gives up and says so; nil is for ever.
    public var giveUpAfter: Duration?

    public init(engines: Int) { self.engines = engines }
  }

  public enum Phase: Sendable, Hashable {
    /// Next: `startingEngines`, or `stopping` when the controller ends or time runs out.
    case awaitingController(until: Duration)
    /// Next: `registering`, or `stopping`.
    case startingEngines(next: Int, at: Duration)
    /// Next: `serving`, or `stopping`.
    case registering(until: Duration)
    /// Next: `stopping`, or `ended` where the cluster is left running.
    case serving
    /// SIGTERM is out, then SIGKILL. Next: `ended`.
    case stopping(killAt: Duration, ExitCode)
    case ended(ExitCode)
  }

  public let plan: Plan
  public private(set) var phase: Phase
  public private(set) var isControllerAlive: Bool
  /// A queue has it.
  private(set) var isControllerWaiting: Bool
  public internal(set) var liveEngines: Set<Int> = []
  /// Engines registered with the controller, ours and others.
  public private(set) var registered = 0
  /// How many of those were there before ours; `nil` until the controller has answered.
  private var before: Int?
  private var failedEngines: Set<Int> = []
  /// Engines that a queue has.
  var waitingEngines: Set<Int> = []
  var restartPolicy: RestartPolicy
  /// Engines that are started again at those times.
  var due: [Int: Duration] = [:]
  /// Engines that were asked to end: they do not come back.
  var unwanted: Set<Int> = []
  /// Engines that were asked to end for others to come in their place.
  var renewed: Set<Int> = []
  /// Engines that have been seen at the controller: what ends without that was a start that failed.
  var arrived: Set<Int> = []
  /// Those that have been seen at the controller since.
  var seen: Set<Int> = []
  /// Those of which the controller knew first that they have ended: their system does not tell of each, or does so later.
  var missed: Set<Int> = []
  /// `nil` for as long as nobody wants another number of engines than there are.
  public internal(set) var policy: AdaptivePolicy?
  /// What was decided about the number of engines, and why; the latest.
  public internal(set) var steps: [GrowthStep] = []
  /// The controller that the latest demand came from, and its latest wishes.
  var lastController = 0
  var lastWish = 0
  var lastRestart = 0
  /// What has come of the latest wish for a number of engines.
  var wish: WishProgress?
  /// The latest wish for engines to be started anew.
  var renewal: Renewal?
  /// Why engines that are wanted do not start; `nil` where nothing speaks against it.
  var startRefusal: String?
  /// The queue's word for why engines wait in it.
  var queueReason = ""
  /// The number of the next engine that is added.
  var nextIndex: Int
  /// Engines that should end, on hosts that do not answer: nobody waits for them. And whether the controller is such a one.
  private var unreachable: Set<Int> = []
  private var isControllerUnreachable = false
  private var hasKilled = false
  /// The controller has died, and is started again at that time.
  public private(set) var controllerDue: Duration?
  /// When the controller was started again within the last minute.
  private var restarts: [Duration] = []
  /// How the start ended, once it has.
  public private(set) var startCode: ExitCode?
  private var wasAskedTwice = false
  /// `nil` while all are in a queue.
  private var enginesStarted: Duration?
  private let began: Duration

  /// Engines that run already, of an earlier launcher's: none is started.
  private let adopted: Set<Int>

  public init(_ plan: Plan, adopting adopted: Set<Int> = [], now: Duration) {
    var plan = plan
    if !adopted.isEmpty { plan.engines = adopted.count }
    self.adopted = adopted
    self.plan = plan
    restartPolicy = RestartPolicy(plan.restart, limit: plan.engineRestartLimit)
    policy = plan.policy
    nextIndex = max(plan.engines, (adopted.max() ?? -1) + 1)
    began = now
    isControllerAlive = plan.ownsController
    isControllerWaiting = plan.controllerQueues
    before = plan.ownsController ? 0 : nil
    phase = .awaitingController(until: now + plan.controllerTimeout)
  }

  /// When `timePassed` is due next.
  public var deadline: Duration? { [phaseDeadline, controllerDue, restartDeadline].compactMap { $0 }.min() }

  private var phaseDeadline: Duration? {
    switch phase {
    case .awaitingController(let until), .registering(let until): until
    case .startingEngines(_, let at): at
    case .stopping(let killAt, _): killAt
    case .serving, .ended: nil
    }
  }

  public var exitCode: ExitCode? { if case .ended(let code) = phase { code } else { nil } }
  public var isStopping: Bool { if case .stopping = phase { true } else { false } }

  // MARK: events

  /// Both connection files are there.
  public mutating func connectionInfoArrived(now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard case .awaitingController = phase else { return }
    effects.watchRegistrations()
    // With somebody else's controller, the engines that it has already must be known before ours come.
    if before != nil { beginEngines(now: now, &effects) }
  }

  /// The controller says how many engines it has.
  public mutating func enginesRegistered(_ count: Int, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    registered = count
    if before == nil {
      before = count
      if case .awaitingController = phase { return beginEngines(now: now, &effects) }
    }
    checkReadiness(now: now, &effects)
  }

  public mutating func timePassed(now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    if let due = controllerDue, now >= due { restartController(now: now, &effects) }
    startAgain(now: now, &effects)
    guard let deadline = phaseDeadline, now >= deadline else { return }
    switch phase {
    case .awaitingController where isControllerWaiting:
      phase = .awaitingController(until: now + plan.controllerTimeout)
    case .awaitingController:
      effects.report(.controllerTimedOut(after: plan.controllerTimeout))
      stop(plan.ownsController ? .failure : .noController, now: now, &effects)
    case .startingEngines: startEngines(now: now, &effects)
    case .registering where !waitingEngines.isEmpty:
      phase = .registering(until: now + plan.engineTimeout)
    case .registering:
      effects.report(.enginesTimedOut(registered: ours, of: plan.engines, after: plan.engineTimeout))
      serve(.failure, now: now, &effects)
    case .stopping(_, let code):
      if hasKilled, !wasAskedTwice, plan.giveUpAfter != nil {
        effects.report(.gaveUp(engines: liveEngines, controller: isControllerAlive))
        phase = .ended(.refused)
        return
      }
      effects.report(.killing(becauseAsked: wasAskedTwice))
      effects.signal(SIGKILL, controller: isControllerAlive, engines: liveEngines)
      hasKilled = true
      wasAskedTwice = false
      phase = .stopping(killAt: now + (plan.giveUpAfter ?? .seconds(60)), code)
    case .serving, .ended: break
    }
  }

  /// An engine that was in a queue runs.
  public mutating func engineRuns(_ index: Int, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard waitingEngines.remove(index) != nil else { return }
    renewal?.since[index] = now
    if enginesStarted == nil { enginesStarted = now }
    if waitingEngines.isEmpty, case .registering = phase { phase = .registering(until: now + plan.engineTimeout) }
  }

  /// An engine is in a queue, for the first time or again.
  public mutating func engineWaits(_ index: Int, reason: String, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard liveEngines.contains(index) else { return }
    waitingEngines.insert(index)
    queueReason = reason
    if case .registering = phase { effects.report(.waiting(engines: waitingEngines.count, reason: reason)) }
  }

  public mutating func engineEnded(_ index: Int, _ end: EngineEnd, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    liveEngines.remove(index)
    waitingEngines.remove(index)
    if isStopping { return finishIfNothingLeft(&effects) }
    if missed.remove(index) != nil { return effects.forgetEnd(of: index) }
    if unwanted.contains(index) || renewed.contains(index) {
      effects.forgetEnd(of: index)
      effects.report(.engineLeft(index))
      if !comesBack(index, end, now: now, &effects) { noteLostRenewal(of: index, end) }
      effects.updateClusterFile()
      return checkReadiness(now: now, &effects)
    }
    effects.report(.engineEnded(index, end))
    effects.updateClusterFile()
    if comesBack(index, end, now: now, &effects) { return effects.updateClusterFile() }
    // Whoever wanted it to be started again is told; that is no failed start of the cluster.
    if noteLostRenewal(of: index, end) { return checkReadiness(now: now, &effects) }
    if !end.isSuccess { failedEngines.insert(index) }
    if !end.isSuccess, !arrived.contains(index) {
      policy?.engineFailed(now: now)
      noteFailedStart(of: index, end)
    }
    guard due.isEmpty, liveEngines.isEmpty, !isStartingEngines else { return checkReadiness(now: now, &effects) }
    // One that grows by itself has engines again when there is something to do.
    if policy != nil, case .serving = phase { return }
    // Engines that ended well without ever registering were none.
    let neverWorked = if case .registering = phase { true } else { false }
    let code: ExitCode = failedEngines.isEmpty && !neverWorked ? .success : .failure
    if !plan.ownsController {
      effects.report(.allEnginesEnded(early: neverWorked))
      return finish(code, &effects)
    }
    let isEarly = enginesStarted.map { now - $0 < plan.earlyShutdown } ?? (plan.earlyShutdown > .zero)
    effects.report(.allEnginesEnded(early: isEarly && code != .success))
    // A controller without engines serves on, unless this looks like a start that went wrong.
    if isEarly { stop(code, now: now, &effects) }
  }

  /// An engine that had ended is there again: its system has started its job anew. It counts as one that was started again.
  public mutating func engineReturned(_ index: Int, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard exitCode == nil, liveEngines.insert(index).inserted else { return }
    due[index] = nil
    failedEngines.remove(index)
    arrived.remove(index)
    restartPolicy.started(index, now: now)
    effects.report(.engineReturned(index))
    effects.updateClusterFile()
  }

  /// The controller is in a queue.
  public mutating func controllerWaits(reason: String, _ effects: inout some ClusterLifecycleEffects) {
    guard case .awaitingController = phase else { return }
    isControllerWaiting = true
    effects.report(.controllerWaits(reason: reason))
  }

  public mutating func controllerRuns(now: Duration) {
    guard isControllerWaiting else { return }
    isControllerWaiting = false
    if case .awaitingController = phase { phase = .awaitingController(until: now + plan.controllerTimeout) }
  }

  public mutating func controllerEnded(_ status: EngineEnd, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    isControllerAlive = false
    if isStopping { return finishIfNothingLeft(&effects) }
    let isStart = if case .awaitingController = phase { true } else { false }
    if !status.isSuccess, !isStart, let delay = restartDelay(now: now) {
      effects.report(.controllerRestarts(status, after: delay))
      controllerDue = now + delay
      return effects.updateClusterFile()
    }
    effects.report(.controllerEnded(status, early: isStart))
    effects.updateClusterFile()
    var code = ExitCode.success
    if !status.isSuccess || isStart { code = .failure }
    // What the controller knows better: a port in use, a directory that cannot be written.
    if isStart, case .exited(let number) = status, number > 0 { code = ExitCode(rawValue: number) }
    if case .refused = status { code = .refused }
    stop(code, now: now, &effects)
  }

  public mutating func signaled(_ signal: Int32, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    switch signal {
    case SIGUSR1, SIGUSR2: effects.signal(signal, controller: false, engines: liveEngines)
    case SIGINT where !plan.ownsController && !isStopping && !liveEngines.isEmpty:
      effects.report(.interrupting)
      effects.signal(signal, controller: false, engines: liveEngines)
    default:
      if case .stopping(_, let code) = phase {
        // No more patience.
        wasAskedTwice = true
        phase = .stopping(killAt: now, code)
        return timePassed(now: now, &effects)
      }
      effects.report(.stopping)
      // Whoever wanted a cluster in the background has none.
      stop(plan.daemonizes ? .ended(bySignal: signal) : .success, now: now, &effects)
    }
  }

  /// Something could not be started: the error is reported already.
  public mutating func failed(_ code: ExitCode, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    if !isStopping { stop(code, now: now, &effects) }
  }

  // MARK: restarts

  private static let restartMemory = Duration.seconds(60)

  /// - Returns: `nil` where the controller is not to be started again.
  private mutating func restartDelay(now: Duration) -> Duration? {
    guard plan.restartsController else { return nil }
    restarts.removeAll { now - $0 > Self.restartMemory }
    guard restarts.count < plan.restartLimit else { return nil }
    // At once at first: whoever kills it once does not mean it. What dies again and again gets time.
    return .milliseconds(50) * (1 << (2 * min(restarts.count, 4)))
  }

  private mutating func restartController(now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    restarts.append(now)
    controllerDue = nil
    // One that could not be started ends the cluster: the launcher says why.
    guard effects.restartController() else { return }
    isControllerAlive = true
    // Engines that were about to register must find it first.
    if case .registering = phase { phase = .registering(until: now + plan.engineTimeout) }
  }

  // MARK: steps

  private var isStartingEngines: Bool { if case .startingEngines = phase { true } else { false } }
  /// Ours among the registered.
  private var ours: Int { max(0, registered - (before ?? 0)) }

  private mutating func beginEngines(now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard adopted.isEmpty else {
      liveEngines = adopted
      enginesStarted = now
      effects.adoptEngines()
      phase = .registering(until: now + plan.engineTimeout)
      effects.updateClusterFile()
      return checkReadiness(now: now, &effects)
    }
    phase = .startingEngines(next: 0, at: now + plan.delay)
    if plan.delay == .zero { startEngines(now: now, &effects) }
  }

  private mutating func startEngines(now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard case .startingEngines(var next, _) = phase else { return }
    if next == 0, !plan.queues { enginesStarted = now }
    while next < plan.engines {
      let engines = next..<(plan.engineDelay > .zero ? next + 1 : plan.engines)
      let count = start(engines, now: now, &effects)
      next += count
      // One that could not be started is the last that is tried: the launcher says why, and ends the rest.
      guard count == engines.count else { return phase = .startingEngines(next: next, at: now) }
      if next < plan.engines {
        phase = .startingEngines(next: next, at: now + plan.engineDelay)
        return
      }
    }
    phase = .registering(until: now + plan.engineTimeout)
    effects.updateClusterFile()
    checkReadiness(now: now, &effects)
  }

  private mutating func checkReadiness(now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    guard case .registering = phase else { return }
    let expected = plan.engines - failedEngines.count
    if ours >= expected {
      effects.report(.ready(engines: ours, of: plan.engines, after: now - began))
      serve(.success, now: now, &effects)
    } else {
      effects.report(.progress(registered: ours, of: plan.engines))
    }
  }

  private mutating func serve(_ code: ExitCode, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    phase = .serving
    startCode = code
    effects.stopWatchingRegistrations()
    guard plan.daemonizes else { return }
    // What nobody would find again is not left behind.
    guard effects.leaveRunning() else { return stop(.cannotWrite, now: now, &effects) }
    phase = .ended(code)
  }

  private mutating func stop(_ code: ExitCode, now: Duration, _ effects: inout some ClusterLifecycleEffects) {
    phase = .stopping(killAt: now + plan.killAfter, code)
    controllerDue = nil
    due = [:]
    // What the controller knew to have ended may be a job that goes on: its system is asked all the same.
    liveEngines.formUnion(missed)
    missed = []
    effects.stopWatchingRegistrations()
    effects.signal(SIGTERM, controller: isControllerAlive, engines: liveEngines)
    finishIfNothingLeft(&effects)
  }

  private mutating func finishIfNothingLeft(_ effects: inout some ClusterLifecycleEffects) {
    guard case .stopping(_, let code) = phase, !isControllerAlive || isControllerUnreachable,
      liveEngines.isSubset(of: unreachable)
    else { return }
    if liveEngines.isEmpty, !isControllerAlive { return finish(code, &effects) }
    effects.report(.gaveUp(engines: liveEngines, controller: isControllerAlive))
    phase = .ended(.refused)
  }

  /// The end of these cannot be seen to: their hosts do not answer.
  public mutating func enginesUnreachable(_ engines: Set<Int>, _ effects: inout some ClusterLifecycleEffects) {
    unreachable.formUnion(engines)
    finishIfNothingLeft(&effects)
  }

  public mutating func controllerUnreachable(_ effects: inout some ClusterLifecycleEffects) {
    isControllerUnreachable = true
    finishIfNothingLeft(&effects)
  }

  private mutating func finish(_ code: ExitCode, _ effects: inout some ClusterLifecycleEffects) {
    phase = .ended(code)
    effects.stopWatchingRegistrations()
    effects.removeFiles()
  }
}
