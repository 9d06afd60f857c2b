public import ApusMessaging
public import ApusProcess
import Glibc
import Synchronization

/// Engines of a program's own cluster, as many as it has work for: what `EmbeddedCluster` has where it is told a range. One thread, one `poll`,
/// decisions by `ClusterLifecycle`.
///
/// To the cluster's clients it is a launcher that watches over it: they can wish for another number, and for engines to be started again.
public final class FollowingEngines: Sendable {
  private struct State {
    /// Why the first engines cannot all come, once that is known.
    var failure: ClusterError?
    var isStopping = false
    var isDone = false
  }
  private let state = Mutex(State())
  private let thread: LauncherThread
  private let link: ClusterLink
  private let orderDescriptor: Int32
  private let orderEnd: Int32
  private let doneDescriptor: Int32
  private let doneEnd: Int32

  private static let lastWords = 5

  /// - Parameters:
  ///   - connection: of a client of the cluster.
  ///   - file: names what other systems run for it; processes of this host end with this one.
  init(
    _ launcher: any Launcher, _ job: EngineJob, _ plan: ClusterLifecycle.Plan, name: String, _ connection: ConnectionFile,
    _ file: ProgramClusterFile? = nil
  ) throws(ClusterError) {
    do throws(ProcessError) {
      (orderDescriptor, orderEnd) = try Pipe.open()
      (doneDescriptor, doneEnd) = try Pipe.open()
    } catch { throw ClusterError(error) }
    try file?.write()
    do throws(ClusterError) {
      link = try ClusterLink(connection)
      thread = try LauncherThread(LauncherSteps(launcher, outputLimit: Self.lastWords))
    } catch {
      file?.remove()
      throw error
    }
    if let refusal = DetachedThread.start({ [self] in run(plan, job, name, file) }) {
      file?.remove()
      throw ClusterError(.failure, "no thread could be started: \(refusal)")
    }
  }

  deinit { for end in [orderDescriptor, orderEnd, doneDescriptor, doneEnd] { close(end) } }

  /// Engines that are this program once more, processes of this host. They end with it, whatever ends it.
  /// - Parameters:
  ///   - command: of an engine, before `--file=…`.
  ///   - profile: has the engines' connection file, and gets their logs.
  ///   - connection: of a client of the cluster.
  public static func processes(
    _ range: ClosedRange<Int>, command: [String], engineFile: String, profile: ProfileDirectory, connection: ConnectionFile,
    _ environment: Environment
  ) throws(ClusterError) -> FollowingEngines {
    let launcher = try LocalLauncher(followedBy: ())
    var job = EngineJob(
      profile: profile, clusterID: "",
      command: .init(
        program: command.first ?? "", arguments: command + ["--file", engineFile, "--follow-parent"], environment: environment))
    job.setID = "\(getpid())"
    return try FollowingEngines(launcher, job, plan(range), name: LocalLauncher.name, connection)
  }

  static func plan(_ range: ClosedRange<Int>) -> ClusterLifecycle.Plan {
    var plan = ClusterLifecycle.Plan(engines: range.lowerBound)
    plan.policy = AdaptivePolicy(minimum: range.lowerBound, maximum: range.upperBound)
    plan.asksForDemand = true
    plan.killAfter = .seconds(3)
    return plan
  }

  /// Why the first engines cannot all come; `nil` while nothing is known against it.
  public var failure: ClusterError? { state.withLock { $0.failure } }

  /// Ends them all, and removes what was made for them.
  public func stop() {
    state.withLock { $0.isStopping = true }
    var byte: UInt8 = 1
    _ = write(orderEnd, &byte, 1)
    while !state.withLock({ $0.isDone }) {
      var descriptors = [pollfd(fd: doneDescriptor, events: Int16(POLLIN), revents: 0)]
      _ = poll(&descriptors, 1, -1)
    }
  }

  // MARK: the thread

  private func run(_ plan: ClusterLifecycle.Plan, _ job: EngineJob, _ name: String, _ file: ProgramClusterFile?) {
    var effects = Effects(thread: thread, link: link, job: job, file: file)
    var life = ClusterLifecycle(plan, now: MonotonicClock.now)
    var told: ScalingReport?
    life.connectionInfoArrived(now: MonotonicClock.now, &effects)
    while life.exitCode == nil {
      waitForEvents(until: life.deadline)
      let now = MonotonicClock.now
      let events = thread.read()
      let isRefused = events.contains { if case .refused = $0 { true } else { false } }
      for event in events { tell(event, &life, &effects, now, isRefused: isRefused) }
      for (index, end) in effects.takeForgotten() { life.engineEnded(index, end, now: now, &effects) }
      if let demand = link.read() {
        if life.startCode == nil { life.enginesRegistered(demand.engines.count, now: now, &effects) }
        life.demandArrived(demand, mark: job.markValue, now: now, &effects)
      }
      // The end of the cluster is that of its controller, which is in this process.
      if state.withLock({ $0.isStopping }), !life.isStopping { life.controllerEnded(.exited(0), now: now, &effects) }
      life.timePassed(now: now, &effects)
      let report = ScalingReport(life, launcher: name)
      if life.startCode != nil { link.say(report.json, atOnce: report != told, isAwaited: report.isAwaited) }
      told = report
    }
    link.stop()
    // What may run still is found by the file.
    let isLeft = life.exitCode == .refused
    finish(isLeft ? .leave : .removeFiles)
    if !isLeft { file?.remove() }
    state.withLock { $0.isDone = true }
    var byte: UInt8 = 1
    _ = write(doneEnd, &byte, 1)
  }

  private func waitForEvents(until deadline: Duration?) {
    var descriptors = [thread.descriptor, link.descriptor, orderDescriptor].map {
      pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
    }
    let left = deadline.map { Int32(clamping: max(0, ($0 - MonotonicClock.now).milliseconds + 1)) }
    _ = poll(&descriptors, nfds_t(descriptors.count), left ?? -1)
    var bytes = [UInt8](repeating: 0, count: 16)
    while read(orderDescriptor, &bytes, bytes.count) > 0 {}
  }

  private func tell(
    _ event: LauncherSteps.Event, _ life: inout ClusterLifecycle, _ effects: inout Effects, _ now: Duration, isRefused: Bool
  ) {
    switch event {
    case .planned(let engines, let parts, let state):
      do throws(ClusterError) { try effects.planned(engines, parts, state) } catch { fail(error, life) }
    case .started(let state):
      do throws(ClusterError) { try effects.started(state, isRefused: isRefused) } catch { fail(error, life) }
    case .refused(let error):
      effects.refused(error)
      fail(error, life)
    case .waiting(let index, let reason): life.engineWaits(index, reason: reason, now: now, &effects)
    case .running(let index, _): life.engineRuns(index, now: now, &effects)
    case .ended(let engine):
      let words = engine.lines.isEmpty ? "" : ". It said:\n" + engine.lines.joined(separator: "\n")
      fail(ClusterError(.failure, engine.sentence + words), life)
      life.engineEnded(engine.index, engine.end, now: now, &effects)
    case .returned(let index): life.engineReturned(index, now: now, &effects)
    case .unreachable(let engines): life.enginesUnreachable(engines, &effects)
    case .trouble, .done: break
    }
  }

  /// While the first engines start, the end of one is the end of all; others are started in the place of those that end later.
  private func fail(_ error: ClusterError, _ life: ClusterLifecycle) {
    if life.startCode == nil { state.withLock { $0.failure = $0.failure ?? error } }
  }

  private func finish(_ request: LauncherSteps.Request) {
    thread.send(request)
    let deadline = MonotonicClock.now + .seconds(15)
    var isRemoved = false
    while !isRemoved, MonotonicClock.now < deadline {
      var descriptors = [pollfd(fd: thread.descriptor, events: Int16(POLLIN), revents: 0)]
      _ = poll(&descriptors, 1, Int32(clamping: (deadline - MonotonicClock.now).milliseconds))
      isRemoved = thread.read().contains { if case .done = $0 { true } else { false } }
    }
    thread.finish()
  }
}

/// What the lifecycle decides, done by the launcher's thread and the controller.
private struct Effects: ClusterLifecycleEffects {
  let thread: LauncherThread
  let link: ClusterLink
  let job: EngineJob
  let file: ProgramClusterFile?
  var startRefusal: String?
  private var queue = SubmissionQueue()
  /// What was never handed over, with why; the lifecycle hears of it when it has decided.
  private var forgotten: [(Int, EngineEnd)] = []

  init(thread: LauncherThread, link: ClusterLink, job: EngineJob, file: ProgramClusterFile?) {
    (self.thread, self.link, self.job, self.file) = (thread, link, job, file)
  }

  mutating func startEngines(_ engines: Range<Int>) -> Int {
    startRefusal = nil
    queue.plan(engines)
    thread.send(.plan(engines, job))
    return engines.count
  }

  /// What cannot be noted is not started: nobody would find it.
  mutating func planned(_ engines: Range<Int>, _ parts: [Range<Int>], _ state: JSONObject) throws(ClusterError) {
    do throws(ClusterError) { try file?.write(state, of: job.setID) } catch {
      forgotten += queue.refused().map { ($0, .refused(error.reason)) }
      throw error
    }
    if let part = queue.planned(engines, parts) { thread.send(.start(part, job)) }
  }

  mutating func started(_ state: JSONObject, isRefused: Bool) throws(ClusterError) {
    if !isRefused, let part = queue.submitted() { thread.send(.start(part, job)) }
    try file?.write(state, of: job.setID)
  }

  mutating func refused(_ error: ClusterError) {
    startRefusal = error.reason
    forgotten += queue.refused().map { ($0, .refused(error.reason)) }
  }

  mutating func takeForgotten() -> [(Int, EngineEnd)] {
    defer { forgotten = [] }
    return forgotten
  }

  mutating func drain(_ ids: [Int]) { link.drain(ids) }
  mutating func retire(_ ids: [Int]) { link.drain(ids, atOnce: true) }

  mutating func signal(_ signal: Int32, controller: Bool, engines: Set<Int>) {
    switch signal {
    case SIGTERM:
      forgotten += queue.cancel().map { ($0, .cancelled(by: "")) }
      thread.send(.stop(isForced: false))
    case SIGKILL: thread.send(.stop(isForced: true))
    default: thread.send(.signal(signal, engines))
    }
  }

  // The controller is this program's own, and so the file says nothing but its engines' places.
  mutating func adoptEngines() {}
  mutating func restartController() -> Bool { false }
  mutating func watchRegistrations() {}
  mutating func stopWatchingRegistrations() {}
  mutating func forgetEnd(of engine: Int) {}
  mutating func updateClusterFile() {}
  mutating func removeFiles() {}
  mutating func leaveRunning() -> Bool { false }
  mutating func report(_ report: ClusterReport) {}
}
