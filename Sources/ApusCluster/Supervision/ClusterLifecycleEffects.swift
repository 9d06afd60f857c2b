/// What a cluster's lifecycle has done: the launcher performs it, tests record it.
public protocol ClusterLifecycleEffects {
  /// - Returns: how many of them were started, or are being started: fewer than all if the system refused one, and
  ///   `ClusterLifecycle.failed` follows.
  mutating func startEngines(_ engines: Range<Int>) -> Int
  /// Why the last start was cut short, where the system has said it.
  var startRefusal: String? { get }
  /// Engines of an earlier launcher are ours from now on.
  mutating func adoptEngines()
  /// - Returns: false if the system did not start it; `ClusterLifecycle.failed` follows.
  mutating func restartController() -> Bool
  /// Ask the controller how many engines it has, now and whenever that changes.
  mutating func watchRegistrations()
  mutating func stopWatchingRegistrations()
  /// That it has ended is no news: it was asked to.
  mutating func forgetEnd(of engine: Int)
  /// Let these engines, which the controller knows by these ids, take no more tasks, and end when they have none.
  mutating func drain(_ ids: [Int])
  /// Let them end at once.
  mutating func retire(_ ids: [Int])
  mutating func signal(_ signal: Int32, controller: Bool, engines: Set<Int>)
  /// The processes are others than before.
  mutating func updateClusterFile()
  /// Everything has ended.
  mutating func removeFiles()
  /// The launcher goes, the cluster stays.
  /// - Returns: false if nobody could find it again, which was said.
  mutating func leaveRunning() -> Bool
  mutating func report(_ report: ClusterReport)
}

/// What people hear of a cluster's life.
public enum ClusterReport: Sendable, Hashable {
  case progress(registered: Int, of: Int)
  case ready(engines: Int, of: Int, after: Duration)
  /// Engines are in a queue, with its system's word for why.
  case waiting(engines: Int, reason: String)
  case engineEnded(Int, EngineEnd)
  /// It has ended, as it was asked to.
  case engineLeft(Int)
  /// It has ended, and is started again after that time.
  case engineRestarts(Int, after: Duration)
  /// It has ended, and was started again so often before that it is not any more.
  case engineGivenUp(Int, after: Int)
  /// It had ended, and is there again: its system has started its job anew.
  case engineReturned(Int)
  /// - Parameter early: so soon, and with such exit codes, that the start must have failed.
  case allEnginesEnded(early: Bool)
  /// - Parameter early: before it was ready.
  case controllerEnded(EngineEnd, early: Bool)
  /// It died, and is started again after that time.
  case controllerRestarts(EngineEnd, after: Duration)
  /// It is in a queue, with its system's word for why.
  case controllerWaits(reason: String)
  /// The number of engines changes, or cannot: why.
  case scaling(String)
  case controllerTimedOut(after: Duration)
  case enginesTimedOut(registered: Int, of: Int, after: Duration)
  case interrupting
  case stopping
  /// - Parameter becauseAsked: a second signal asked for it, before the time was over.
  case killing(becauseAsked: Bool)
  /// Engines, or the controller, do not end, and their system does not say why.
  case gaveUp(engines: Set<Int>, controller: Bool)
}
