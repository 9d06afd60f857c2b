public import ApusMessaging
public import ApusProcess
import Glibc
import Synchronization

/// Engines of a program that is their command itself, started by one of the launchers: what `MyProgram --engines=slurm -n 16` does.
public struct ProgramEngines: Sendable {
  /// How many there are to be.
  public let count: Int
  /// The address at which engines of other hosts find a controller in this process; `nil` where all are here.
  public let address: String?
  /// A profile whose files the engines' hosts see: where batch systems keep scripts and logs, and engines find their connection file.
  public let profile: ProfileDirectory
  /// Tells the program's cluster from others of the profile.
  public let clusterID: String
  private let configuration: LaunchConfiguration

  /// Whether a word of `--engines` names a launcher, and no number.
  public static func isLauncher(_ name: String) -> Bool { LauncherName(name).entry != nil }

  /// - Parameters:
  ///   - arguments: options of `apus engines`: `--engines=slurm`, `-n 16`, `--time=1h` …
  ///   - command: of an engine, before `--file=…`.
  /// - Throws: on options that make no sense, and launchers that Apus does not have.
  public init(_ arguments: [String], command: [String], _ environment: Environment) throws(ClusterError) {
    let parsed = try CommandLineParser.parse(arguments, for: .engines)
    var early = ConfigurationLoader.environmentConfiguration(environment)
    early.merge(parsed.configuration)
    let selection = try ProfileSelection.select(early, command: .engines, environment)
    _ = try selection.profile.create()
    var configuration = try ConfigurationLoader(environment).load("ipcluster", profile: selection.profile).configuration
    configuration.merge(early)
    configuration.adoptFormerNames()
    profile = selection.profile
    clusterID = Self.clusterID(process: getpid(), host: ControllerAddress.hostName)
    var own = try LaunchConfiguration(
      configuration, command: .engines, selection: selection, arguments: [], executable: command.first ?? "", environment,
      engineCommand: command)
    own.clusterID = clusterID
    own.engines.clusterID = clusterID
    count = own.plan.engines
    address = own.startsElsewhere ? ReachableAddress.of(own.target, environment) : nil
    self.configuration = own
  }

  /// Hosts that share a profile number their processes each for itself.
  static func clusterID(process: Int32, host: String) -> String {
    let name = host.prefix { $0 != "." }.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
    return "program-\(process)" + (name.isEmpty ? "" : "-\(name)")
  }

  /// Starts them.
  /// - Parameter connectionInfo: the engines' connection file as text.
  public func start(connectionInfo: String) throws(ClusterError) -> RunningEngines {
    try RunningEngines(configuration.launcher, count, job(connectionInfo), file(count))
  }

  private func file(_ engines: Int) -> ProgramClusterFile {
    ProgramClusterFile(
      profile, clusterID: clusterID, launcher: configuration.launcherName, engines: engines,
      program: configuration.engines.command.program)
  }

  /// Starts the least of a range, and others as there is work for them.
  /// - Parameters:
  ///   - connectionInfo: the engines' connection file as text.
  ///   - connection: of a client.
  public func follow(_ range: ClosedRange<Int>, connectionInfo: String, connection: ConnectionFile) throws(ClusterError)
    -> FollowingEngines
  {
    guard !configuration.plan.restartsTogether else {
      throw ClusterError(
        .usage, "a cluster of MPI ranks cannot grow or shrink: they are one program", advice: "With other --engines.")
    }
    var plan = FollowingEngines.plan(range)
    plan.queues = configuration.plan.queues
    plan.killAfter = configuration.plan.killAfter
    plan.giveUpAfter = configuration.plan.giveUpAfter
    return try FollowingEngines(
      configuration.launcher, job(connectionInfo), plan, name: configuration.launcherName, connection, file(range.lowerBound))
  }

  private func job(_ connectionInfo: String) -> EngineJob {
    var job = configuration.engines
    job.setID = "\(time(nil))"
    job.connectionInfo = connectionInfo
    job.variables["IPP_CLUSTER_ID"] = clusterID
    job.variables["IPP_PROFILE_DIR"] = profile.location
    return job
  }
}

/// Engines that a launcher has started for a program, until it stops them.
public final class RunningEngines: Sendable {
  private let thread: LauncherThread
  private let job: EngineJob
  private let file: ProgramClusterFile
  private struct State {
    /// Why they cannot all come, once that is known.
    var failure: ClusterError?
    var queue = SubmissionQueue()
    /// Those that have not ended.
    var live: Int
    /// Of some nobody can say whether they have ended.
    var isLeft = false
    var isDone = false
  }
  private let state: Mutex<State>

  private static let lastWords = 5

  fileprivate init(_ launcher: any Launcher, _ count: Int, _ job: EngineJob, _ file: ProgramClusterFile) throws(ClusterError) {
    (self.job, self.file) = (job, file)
    try file.write()
    do throws(ClusterError) { thread = try LauncherThread(LauncherSteps(launcher, outputLimit: Self.lastWords)) } catch {
      file.remove()
      throw error
    }
    var first = State(live: count)
    first.queue.plan(0..<count)
    state = Mutex(first)
    thread.send(.plan(0..<count, job))
    if let refusal = DetachedThread.start({ [self] in watch() }) {
      file.remove()
      thread.finish()
      throw ClusterError(.failure, "no thread could be started: \(refusal)")
    }
  }

  /// Why they cannot all come; `nil` while nothing is known against it.
  public var failure: ClusterError? { state.withLock { $0.failure } }

  private func watch() {
    while !state.withLock({ $0.isDone }) {
      var descriptors = [pollfd(fd: thread.descriptor, events: Int16(POLLIN), revents: 0)]
      guard poll(&descriptors, 1, -1) > 0 || errno == EINTR else { return }
      let events = thread.read()
      let isRefused = events.contains { if case .refused = $0 { true } else { false } }
      for event in events { note(event, isRefused: isRefused) }
    }
  }

  private func note(_ event: LauncherSteps.Event, isRefused: Bool) {
    let words: (EndedEngine) -> String = { $0.lines.isEmpty ? "" : ". It said:\n" + $0.lines.joined(separator: "\n") }
    state.withLock { state in
      switch event {
      case .planned(let engines, let parts, let told):
        // What cannot be noted is not started: nobody would find it.
        do throws(ClusterError) { try file.write(told, of: job.setID) } catch {
          state.failure = state.failure ?? error
          state.live -= state.queue.refused().count
          return
        }
        if let part = state.queue.planned(engines, parts) { thread.send(.start(part, job)) }
      case .started(let told):
        do throws(ClusterError) { try file.write(told, of: job.setID) } catch { state.failure = state.failure ?? error }
        if !isRefused, let part = state.queue.submitted() { thread.send(.start(part, job)) }
      case .refused(let error):
        state.failure = state.failure ?? error
        state.live -= state.queue.refused().count
      case .ended(let engine):
        state.live -= 1
        state.failure = state.failure ?? ClusterError(.failure, engine.sentence + words(engine))
      case .done: state.isDone = true
      case .returned: state.live += 1
      case .unreachable(let engines):
        state.live -= engines.count
        state.isLeft = true
      case .waiting, .running, .trouble: break
      }
    }
  }

  /// Ends them all, and removes what was made for them. Of what does not end the cluster's file stays: `apus stop` finds it by that.
  public func stop(within patience: Duration = .seconds(20)) {
    // What was never handed over need not end.
    state.withLock { state in state.live -= state.queue.cancel().count }
    thread.send(.stop(isForced: false))
    let deadline = MonotonicClock.now + patience
    var isForced = false
    while state.withLock({ $0.live > 0 }) {
      let now = MonotonicClock.now
      if now >= deadline, !isForced {
        isForced = true
        thread.send(.stop(isForced: true))
      }
      if now >= deadline + patience { break }
      // The launcher looks by itself; its thread tells `watch`.
      _ = poll(nil, 0, 20)
    }
    let isLeft = state.withLock { $0.live > 0 || $0.isLeft }
    thread.send(isLeft ? .leave : .removeFiles)
    let end = MonotonicClock.now + .seconds(15)
    while !state.withLock({ $0.isDone }), MonotonicClock.now < end { _ = poll(nil, 0, 5) }
    thread.finish()
    if !isLeft { file.remove() }
  }
}
