import ApusProcess
import ApusMessaging
import Glibc

/// Starts a controller and engines on this machine and watches over them: one thread, one `poll`, decisions by `ClusterLifecycle`.
public final class ClusterLauncher {
  private let configuration: LaunchConfiguration
  private let announcer: any ClusterAnnouncer
  private var lifecycle: ClusterLifecycle
  private var processes: LaunchedProcesses
  private let signals: Int32
  private var arrival: FileArrival?
  private var isServing = false
  /// What clients can know of: the latest decision, and what came of their wishes.
  private var told: Told?
  private struct Told: Equatable {
    var step: Duration?
    var wish: WishProgress?
    var renewal: WishProgress?
  }

  /// - Throws: with `.alreadyRunning`, `.noController`, `.cannotWrite` or `.missingProgram`.
  public init(_ configuration: LaunchConfiguration, announcer: any ClusterAnnouncer) throws(ClusterError) {
    self.configuration = configuration
    self.announcer = announcer
    processes = try LaunchedProcesses(configuration, announcer: announcer)
    lifecycle = ClusterLifecycle(configuration.plan, adopting: processes.adopted?.engines ?? [], now: MonotonicClock.now)
    signal(SIGPIPE, SIG_IGN)
    // Its log may not grow any more (`ulimit -f`): the cluster goes on.
    signal(SIGXFSZ, SIG_IGN)
    do throws(ProcessError) {
      signals = try SignalPipe.open(for: [SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2])
    } catch { throw ClusterError(error) }
  }

  private var connectionFiles: (client: String, engine: String) {
    let profile = configuration.profile
    return (
      profile.connectionFile("client", clusterID: configuration.clusterID),
      profile.connectionFile("engine", clusterID: configuration.clusterID)
    )
  }

  /// Runs until the cluster has ended, or is left running in the background.
  public func run() throws(ClusterError) -> ExitCode {
    let files = connectionFiles
    let ownsController = configuration.plan.ownsController
    // First: logs of another start that has the place are not ours.
    if ownsController { try processes.claimClusterFile() }
    if ownsController, configuration.cleansLogs { cleanLogs() }
    arrival = FileArrival(
      of: [files.client, files.engine], in: configuration.profile.security,
      acceptsOld: !ownsController || configuration.acceptsOldConnectionFiles)
    if ownsController {
      try processes.startController()
      checkFailure()
    } else if arrival?.isComplete() != true {
      announcer.say(.info, "waiting for a controller in \(configuration.profile.location)")
    }
    checkArrival()
    while lifecycle.exitCode == nil {
      if processes.hasEvents || !processes.controllerEvents.isEmpty { reap() } else { waitForEvents() }
      lifecycle.timePassed(now: MonotonicClock.now, &processes)
      checkFailure()
      if case .serving = lifecycle.phase { processes.hasServed = true }
      watchDemand()
      if configuration.isSupervisor, !isServing, let code = lifecycle.startCode {
        isServing = true
        announcer.serving(code)
      }
    }
    arrival?.close()
    processes.link?.stop()
    // Of a start that failed, whoever waits for it reads it.
    if isServing { FileSystem.remove(configuration.supervisorLog) }
    return lifecycle.exitCode ?? .failure
  }

  private func waitForEvents() {
    var descriptors = [pollfd(fd: signals, events: Int16(POLLIN), revents: 0)]
    let arrivalDescriptor = arrival?.descriptor ?? -1
    descriptors.append(pollfd(fd: arrivalDescriptor, events: Int16(POLLIN), revents: 0))
    descriptors.append(pollfd(fd: processes.watch?.descriptor ?? -1, events: Int16(POLLIN), revents: 0))
    descriptors.append(pollfd(fd: processes.engineDescriptor, events: Int16(POLLIN), revents: 0))
    descriptors.append(pollfd(fd: processes.link?.descriptor ?? -1, events: Int16(POLLIN), revents: 0))
    descriptors.append(pollfd(fd: processes.controllerDescriptor, events: Int16(POLLIN), revents: 0))
    var milliseconds: Int32 = -1
    if let deadline = lifecycle.deadline {
      milliseconds = Int32(clamping: max(0, (deadline - MonotonicClock.now).milliseconds + 1))
    }
    // Without inotify, and on file systems where it tells nothing, a look every half second must do.
    if arrival != nil { milliseconds = milliseconds < 0 ? 500 : min(milliseconds, 500) }
    _ = poll(&descriptors, nfds_t(descriptors.count), milliseconds)
    if arrival != nil { checkArrival() }
    if descriptors[2].revents != 0, let count = processes.watch?.read() {
      lifecycle.enginesRegistered(count, now: MonotonicClock.now, &processes)
      checkFailure()
    }
    if descriptors[3].revents != 0 || descriptors[5].revents != 0 {
      reap()
      if arrival != nil { checkArrival() }
    }
    if descriptors[4].revents != 0, let demand = processes.link?.read() {
      lifecycle.demandArrived(demand, mark: processes.mark, now: MonotonicClock.now, &processes)
      checkFailure()
    }
    guard descriptors[0].revents != 0 else { return }
    for signal in SignalPipe.read(signals) where signal != SIGCHLD {
      lifecycle.signaled(signal, now: MonotonicClock.now, &processes)
    }
    // Many deaths may be one SIGCHLD.
    reap()
  }

  /// A launcher that stays, in whatever place, hears what there is to do and tells what it does.
  private func watchDemand() {
    guard configuration.plan.asksForDemand, case .serving = lifecycle.phase else { return }
    processes.openLink()
    // Whoever has made a wish looks for what comes of it.
    let report = ScalingReport(lifecycle, launcher: configuration.launcherName)
    let latest = Told(step: lifecycle.steps.last?.at, wish: report.wish, renewal: report.renewal)
    processes.link?.say(report.json, atOnce: latest != told, isAwaited: report.isAwaited)
    told = latest
  }

  private func checkArrival() {
    // Until it is known to have started elsewhere, files that come are those of another one.
    guard processes.controllerHasStarted, let waiting = arrival, waiting.isComplete() else { return }
    do throws(ClusterError) {
      try processes.readConnectionFiles(client: connectionFiles.client, engine: connectionFiles.engine)
    } catch {
      // A controller that writes in two steps will be at it again; what stays damaged meets the time limit.
      if configuration.plan.ownsController { return }
      announcer.say(.error, error.description)
      arrival = nil
      waiting.close()
      return lifecycle.failed(error.exitCode, now: MonotonicClock.now, &processes)
    }
    arrival = nil
    waiting.close()
    lifecycle.connectionInfoArrived(now: MonotonicClock.now, &processes)
    checkFailure()
  }

  private func reap() {
    for event in processes.takeEvents() { tell(event) }
    checkRefusal()
    if let status = processes.endedController() {
      lifecycle.controllerEnded(EngineEnd(status), now: MonotonicClock.now, &processes)
    }
    let events = processes.takeControllerEvents()
    // One that was refused has never been: first the reason, and then its end.
    checkRefusal()
    for event in events { tellOfController(event) }
  }

  private func tellOfController(_ event: LauncherSteps.Event) {
    let now = MonotonicClock.now
    switch event {
    case .waiting(_, let reason): lifecycle.controllerWaits(reason: reason, &processes)
    case .running: lifecycle.controllerRuns(now: now)
    case .ended(let controller): lifecycle.controllerEnded(controller.end, now: now, &processes)
    case .unreachable: lifecycle.controllerUnreachable(&processes)
    case .returned, .planned, .started, .refused, .trouble, .done: break
    }
  }

  private func tell(_ event: LauncherSteps.Event) {
    let now = MonotonicClock.now
    switch event {
    case .waiting(let index, let reason): lifecycle.engineWaits(index, reason: reason, now: now, &processes)
    case .running(let index, _): lifecycle.engineRuns(index, now: now, &processes)
    case .ended(let engine):
      // What was never started ends with the refusal of all, which is told of instead.
      if case .refused = engine.end, processes.failure != nil { checkRefusal() }
      lifecycle.engineEnded(engine.index, engine.end, now: now, &processes)
    case .returned(let index): lifecycle.engineReturned(index, now: now, &processes)
    case .unreachable(let engines): lifecycle.enginesUnreachable(engines, &processes)
    case .planned, .started, .refused, .trouble, .done: break
    }
  }

  /// A process that could not be started ends the rest.
  private func checkFailure() {
    guard processes.failure != nil else { return }
    checkRefusal()
    reap()
  }

  private func checkRefusal() {
    guard let failure = processes.failure else { return }
    processes.failure = nil
    announcer.say(.error, failure.description)
    lifecycle.failed(failure.exitCode, now: MonotonicClock.now, &processes)
  }

  /// Logs of clusters that still run stay.
  private func cleanLogs() {
    let profile = configuration.profile
    let clusters = profile.clusterFiles().compactMap { try? ClusterStatus(reading: $0) }
    let inUse = Set(clusters.flatMap(\.processes).map(\.outputFile))
    let stems = clusters.flatMap(\.logStems)
    for name in FileSystem.entries(of: profile.log) where ProfileDirectory.isLauncherLog(name) {
      let path = Path.join(profile.log, name)
      if !inUse.contains(path), !stems.contains(where: { name.hasPrefix($0) }) { FileSystem.remove(path) }
    }
  }
}

/// Time since some moment of the past, which nobody sets back.
enum MonotonicClock {
  static var now: Duration {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}

extension Duration {
  var milliseconds: Int64 { components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000 }
  /// For people.
  public var secondsText: String {
    let tenths = (milliseconds + 50) / 100
    return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
  }
}
