import ApusMessaging
public import ApusProcess
import Glibc

/// Ends the processes of a cluster that somebody else started.
public enum ClusterStopper {
  /// What was stopped.
  public struct Result: Sendable, Hashable {
    /// Processes of this host.
    public var processes: Int
    /// Engines that other systems ran.
    public var engines: Int
    /// Whether anything had to be killed.
    public var hadToKill: Bool
  }

  /// SIGTERM or its equal, patience, SIGKILL; then the cluster's file and the logs go.
  /// - Parameters:
  ///   - connectTimeout: how long a host may take to answer; `nil` is as the cluster was started.
  ///   - say: gets what is waited for, where that takes long.
  /// - Throws: where something does not end, or a system does not answer: the file then stays, for another try.
  @discardableResult
  public static func stop(
    _ status: ClusterStatus, killAfter: Duration = .seconds(5), connectTimeout: Duration? = nil, _ environment: Environment,
    say: (String) -> Void = { _ in }
  ) throws(ClusterError) -> Result {
    guard
      LauncherName(status.file.controllerLauncher).isLocal || status.file.originalController == nil
        || status.file.controllerElsewhere != nil
    else {
      throw ClusterError(
        .unsupported,
        "the controller of \(status.path) was started by the launcher '\(status.file.controllerLauncher)', which Apus cannot stop",
        advice: "Stop it with the ipyparallel that started it.")
    }
    if let host = status.otherHost ?? status.hostOfController {
      throw ClusterError(
        .unsupported, "the cluster \(status.path) is that of \(status.owner) on \(host), and only there it can be ended",
        advice: "'apus stop \(status.file.clusterID)' on \(host); 'apus clean --force' removes files of what is gone with its host."
      )
    }
    let first = status
    var status = status
    var ended = 0
    var hadToKill = false
    var wasAsked = false
    // A journal that its launcher has left, because the controller was dead or had not begun to serve, goes with the cluster.
    let ownsJournal = status.file.supervisor != nil && status.keepsJournal
    if let supervisor = status.file.supervisor {
      // It knows what it is about to submit, and ends all of it: only then others look for what is left.
      ended = status.processes.count
      kill(supervisor.pid, SIGTERM)
      var patience = status.isHere ? killAfter + .seconds(5) : patienceWithSystems
      var left = wait(for: [supervisor], atMost: shortPatience)
      if !left.isEmpty, !status.isHere {
        let places = status.file.engineSets.values.compactMap(\.state).flatMap(hosts)
        say(
          "waiting for the launcher (process \(supervisor.pid)) to end what runs \(places.isEmpty ? "elsewhere" : "on \(listed(places))")"
        )
      }
      patience -= shortPatience
      left = wait(for: left, atMost: patience)
      wasAsked = left.isEmpty
      for process in left {
        kill(process.pid, SIGKILL)
        _ = wait(for: [process], atMost: .seconds(5))
        hadToKill = true
      }
      let engines = status.engineCount - status.localEngineCount
      // Who starts it again and again has its place as soon as the file is gone.
      guard let rest = try reread(status) else {
        if ownsJournal { try whileOurs(first) { () throws(ClusterError) in removeLeftovers(of: first) } }
        return Result(processes: ended, engines: engines, hadToKill: hadToKill)
      }
      status = rest
      ended = max(0, ended - status.processes.count)
    }
    let context = LauncherContext(
      environment: environment, profile: ProfileDirectory(status.file.profile), settles: true, connectTimeout)
    // Its launcher has given up hosts that did not answer: they have one more chance, and a shorter one.
    var again = context
    again.connectTimeout = max(.seconds(2), (connectTimeout ?? .seconds(8)) / 4)
    // What cannot be understood of one keeps no other from its end.
    var failure: ClusterError?
    var sets = foreignSets(of: status, context, ofLauncher: wasAsked ? again : context, &failure)
    let engines = sets.reduce(0) { $0 + $1.steps.live.count }
    if let state = status.file.controllerElsewhere {
      do throws(ClusterError) {
        sets.append(try reconnect(state, LauncherName(status.file.controllerLauncher), wasAsked ? again : context))
      } catch { failure = failure ?? error }
    }
    let processes = status.processes
    for process in processes { kill(process.pid, SIGTERM) }
    // Each waits for its own system, or its own hosts.
    let endings = sets.map { (place: $0.place, ending: SetEnding($0.steps, killAfter: killAfter)) }
    var left = wait(for: processes, atMost: killAfter)
    hadToKill = hadToKill || !left.isEmpty
    let hadToKillController = left.contains { $0.pid == status.file.controller?.pid }
    for process in left { kill(process.pid, SIGKILL) }
    left = wait(for: left, atMost: .seconds(5))
    for (place, ending) in endings {
      var result = ending.result(within: shortPatience)
      while result == nil {
        say("waiting for \(place)")
        result = ending.result(within: .seconds(5))
      }
      switch result {
      case nil: break
      case .success(let wasForced): hadToKill = hadToKill || wasForced
      case .failure(let error): failure = failure ?? error
      }
    }
    if let failure { throw failure }
    if let stubborn = left.first {
      throw ClusterError(.failure, "process \(stubborn.pid) of the cluster \(status.path) does not end, not even by SIGKILL")
    }
    let needsCleaning = ownsJournal || status.deadController != nil || hadToKillController
    try whileOurs(status) { () throws(ClusterError) in
      FileSystem.remove(status.path)
      // Its launcher may have been killed while it wrote it.
      AtomicFile.removeUnfinished(status.path)
      if status.file.controllerElsewhere != nil {
        ControllerLeftovers.removeFiles(of: status.file)
      } else if needsCleaning {
        removeLeftovers(of: first)
      }
      if status.file.program != nil {
        // No other controller of that name comes after this one.
        let noted = ProfileDirectory(status.file.profile).engineStateFile(clusterID: status.file.clusterID)
        FileSystem.remove(noted)
        AtomicFile.removeUnfinished(noted)
      }
    }
    for process in processes where !process.outputFile.isEmpty { FileSystem.remove(process.outputFile) }
    return Result(processes: ended + processes.count, engines: engines, hadToKill: hadToKill)
  }

  private static func removeLeftovers(of status: ClusterStatus) {
    ControllerLeftovers.remove(
      ProfileDirectory(status.file.profile), clusterID: status.file.clusterID, controllerArguments: status.file.controllerArguments,
      journal: status.keepsJournal)
  }

  /// What the cluster's file says now; `nil` where there is none, or where it is that of a cluster that has come after this one.
  static func reread(_ status: ClusterStatus) throws(ClusterError) -> ClusterStatus? {
    let now: ClusterStatus
    do throws(ClusterError) { now = try ClusterStatus(reading: status.path) } catch {
      if error.exitCode == .missingFile, !FileSystem.exists(status.path) { return nil }
      throw error
    }
    return status.isOfSameStart(as: now) ? now : nil
  }

  /// Does something with what the cluster has left, while nobody takes its place; nothing where somebody has.
  static func whileOurs(_ status: ClusterStatus, _ body: () throws(ClusterError) -> Void) throws(ClusterError) {
    try ClusterFile.whileLocked(status.path) { () throws(ClusterError) in
      guard try reread(status) != nil || !FileSystem.exists(status.path) else { return }
      try body()
    }
  }

  /// Nobody is told of what takes no longer.
  private static let shortPatience = Duration.seconds(2)
  /// How long a launcher may take to end what batch systems and other hosts run for it: a command of theirs may take a minute.
  private static let patienceWithSystems = Duration.seconds(90)

  /// What another system runs, and where that is, for people.
  private typealias Foreign = (steps: LauncherSteps, place: String)

  /// - Parameter own: for what the cluster's launcher had started; names of the sets of others have their process in them.
  private static func foreignSets(
    of status: ClusterStatus, _ context: LauncherContext, ofLauncher own: LauncherContext, _ failure: inout ClusterError?
  ) -> [Foreign] {
    var sets: [Foreign] = []
    for (id, set) in status.file.engineSets {
      guard let state = set.state else { continue }
      do throws(ClusterError) {
        sets.append(try reconnect(state, status.file.launcher(of: set), id.contains("-") ? context : own))
      } catch { failure = failure ?? error }
    }
    return sets
  }

  private static func hosts(_ state: JSONObject) -> [String] {
    (state["apus"]?["hosts"]?.arrayValue ?? []).compactMap { $0["destination"]?.stringValue }
  }

  private static func listed(_ names: [String]) -> String {
    names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) others" : "")
  }

  private static func reconnect(_ state: JSONObject, _ name: LauncherName, _ context: LauncherContext) throws(ClusterError)
    -> Foreign
  {
    var steps = LauncherSteps(try LauncherRegistry.reconnect(state, launcher: name, context), outputLimit: 0)
    // Engines of a set that ended before the others are none of those that it counts.
    // Nor those that their system refused.
    steps.assumeRunning(steps.launcher.known)
    let hosts = hosts(state)
    return (steps, hosts.isEmpty ? name.title : listed(hosts))
  }

  /// - Returns: those that still run when the time is over.
  public static func waitForEnd(of processes: [ClusterFile.Process], atMost limit: Duration) -> [ClusterFile.Process] {
    wait(for: processes, atMost: limit)
  }

  /// - Returns: those that still run when the time is over.
  private static func wait(for processes: [ClusterFile.Process], atMost limit: Duration) -> [ClusterFile.Process] {
    let deadline = MonotonicClock.now + limit
    var left = processes
    var watches = Dictionary(processes.compactMap { process in ProcessDescriptor.open(process.pid).map { (process.pid, $0) } }) {
      $1
    }
    defer { for descriptor in watches.values { close(descriptor) } }
    while true {
      left.removeAll { process in
        if ProcessTable.isRunning(process.pid) { return false }
        if let descriptor = watches.removeValue(forKey: process.pid) { close(descriptor) }
        return true
      }
      let remaining = (deadline - MonotonicClock.now).milliseconds
      if left.isEmpty || remaining <= 0 { return left }
      var descriptors = watches.values.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      // Where the system cannot tell of a stranger's end, looking every 20 ms must do.
      let pause = watches.count == left.count ? remaining : min(remaining, 20)
      _ = poll(&descriptors, nfds_t(descriptors.count), Int32(clamping: pause))
    }
  }
}
