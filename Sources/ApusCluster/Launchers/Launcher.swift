public import ApusMessaging
public import ApusProcess

/// How an engine is, according to the system that runs it.
public enum EngineState: Sendable, Hashable {
  /// In a queue; with the system's word for why, which may be empty. Next: any.
  case waiting(String)
  /// With the name of its host, which may be empty. Next: `ended`, or `waiting` where the system starts it anew.
  case running(String)
  case ended(EngineEnd)

  public var isEnded: Bool { if case .ended = self { true } else { false } }
}

/// A way to start engines and to know what becomes of them: processes of this host, `ssh`, `mpiexec`, a batch system.
///
/// A value of its kind stands for one set of engines, which are named by their index in it. Calls may take as long as the commands of the
/// system do, and are made one after the other; `LauncherThread` makes them where nobody waits.
public protocol Launcher: Sendable {
  /// How options and the cluster's file name it: `slurm`.
  static var name: String { get }

  /// Whether calls return at once and SIGCHLD tells of every end: nothing has to be asked by the clock.
  var isImmediate: Bool { get }

  /// Children of this process whose end is news, where calls return at once: whoever does not hear SIGCHLD watches them.
  var children: Set<Int32> { get }

  /// Engines of the set, ended ones too.
  var size: Int { get }

  /// The engines that it knows of: below `size` there may be some that were never started.
  var known: Set<Int> { get }

  /// Engines that a host or system that does not answer may still run, of those that are to end, with why: nobody waits for them.
  var unreachable: (engines: Set<Int>, reason: ClusterError)? { get }

  /// Engines whose start nobody has heard the answer of: they may run, or may be about to.
  var unanswered: Set<Int> { get }

  /// Takes what cuts its questions short: whoever wants engines to end does not wait for what it asked before.
  mutating func heed(_ interruption: Interruption)

  /// Whether files are awaited that a controller makes elsewhere: it is asked more often than one that serves.
  var awaitsFiles: Bool { get }

  /// Prepares a start: from here on `state` says how what is started is found again, also by those who find nothing but the cluster's file
  /// because whoever started it was killed meanwhile.
  /// - Returns: what of a range is handed to the system in one step, in order: whoever starts engines notes each part before the next.
  mutating func plan(_ engines: Range<Int>, _ job: EngineJob) -> [Range<Int>]

  /// Starts engines, or hands them to the system that will.
  /// - Throws: with the system's own words. Whatever was started by then is known to `stop`.
  mutating func start(_ engines: Range<Int>, _ job: EngineJob) throws(ClusterError)

  /// How all engines of the set are, in as few commands as the system allows.
  /// - Throws: where the system does not answer: the engines are then as they were.
  mutating func states() throws(ClusterError) -> [Int: EngineState]

  /// Sends a signal to the processes of engines.
  mutating func signal(_ signal: Int32, _ engines: Set<Int>) throws(ClusterError)

  /// Ends engines: SIGTERM or the system's equal. `states` tells when they have ended. Those that are gone already are no error.
  /// - Parameter isForced: SIGKILL or its equal.
  mutating func stop(_ engines: Set<Int>, isForced: Bool) throws(ClusterError)

  /// The last lines that an engine wrote.
  /// - Parameter limit: 0 is all.
  func output(of engine: Int, limit: Int) -> [String]

  /// `process 4711`, `job 12, node n1`.
  func place(of engine: Int) -> String

  /// Removes what was made for engines: scripts, connections, files on other hosts; and the logs of those named.
  mutating func removeFiles(logsOf engines: Set<Int>)

  /// Closes what is kept open, and leaves the engines as they are.
  mutating func leave()

  /// What the cluster's file says of the set, in ipyparallel's schema as far as that goes; enough for `init(reconnecting:)`.
  func state(_ job: EngineJob) -> JSONObject

  /// Takes over a set that another process started, from its state in the cluster's file.
  /// - Throws: with `.damagedFile`.
  init(reconnecting state: JSONObject, _ context: LauncherContext) throws(ClusterError)

  /// What `start` would submit or run, for people.
  func preview(_ count: Int, _ job: EngineJob) throws(ClusterError) -> String
}

extension Launcher {
  public var known: Set<Int> { Set(0..<size) }

  public var children: Set<Int32> { [] }

  public var unreachable: (engines: Set<Int>, reason: ClusterError)? { nil }

  public var unanswered: Set<Int> { [] }

  public mutating func heed(_ interruption: Interruption) {}

  public var awaitsFiles: Bool { false }

  public mutating func plan(_ engines: Range<Int>, _ job: EngineJob) -> [Range<Int>] { engines.isEmpty ? [] : [engines] }

  public mutating func leave() {}
}
