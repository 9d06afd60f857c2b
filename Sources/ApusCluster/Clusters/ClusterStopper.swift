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
  /// - Parameter connectTimeout: how long a host may take to answer; `nil` is as the cluster was started.
  /// - Throws: where something does not end, or a system does not answer: the file then stays, for another try.
  @discardableResult
  public static func stop(
    _ status: ClusterStatus, killAfter: Duration = .seconds(5), connectTimeout: Duration? = nil, _ environment: Environment
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
    var status = status
    var ended = 0
    var hadToKill = false
    if let supervisor = status.file.supervisor {
      // It knows what it is about to submit, and ends all of it: only then others look for what is left.
      ended = status.processes.count
      kill(supervisor.pid, SIGTERM)
      let patience = status.isHere ? killAfter + .seconds(5) : patienceWithSystems
      for process in wait(for: [supervisor], atMost: patience) {
        kill(process.pid, SIGKILL)
        _ = wait(for: [process], atMost: .seconds(5))
        hadToKill = true
      }
      let engines = status.engineCount - status.localEngineCount
      guard FileSystem.exists(status.path) else { return Result(processes: ended, engines: engines, hadToKill: hadToKill) }
      status = try ClusterStatus(reading: status.path)
      ended = max(0, ended - status.processes.count)
    }
    let context = LauncherContext(
      environment: environment, profile: ProfileDirectory(status.file.profile), isEnding: true, connectTimeout)
    var sets = try foreignSets(of: status, context)
    let engines = sets.reduce(0) { $0 + $1.live.count }
    if let state = status.file.controllerElsewhere {
      sets.append(try reconnect(state, LauncherName(status.file.controllerLauncher), context))
    }
    let processes = status.processes
    for process in processes { kill(process.pid, SIGTERM) }
    // Each waits for its own system, or its own hosts.
    let endings = sets.map { SetEnding($0, killAfter: killAfter) }
    var left = wait(for: processes, atMost: killAfter)
    hadToKill = hadToKill || !left.isEmpty
    let hadToKillController = left.contains { $0.pid == status.file.controller?.pid }
    for process in left { kill(process.pid, SIGKILL) }
    left = wait(for: left, atMost: .seconds(5))
    var failure: ClusterError?
    for ending in endings {
      switch ending.result() {
      case .success(let wasForced): hadToKill = hadToKill || wasForced
      case .failure(let error): failure = failure ?? error
      }
    }
    if let failure { throw failure }
    if let stubborn = left.first {
      throw ClusterError(.failure, "process \(stubborn.pid) of the cluster \(status.path) does not end, not even by SIGKILL")
    }
    FileSystem.remove(status.path)
    if status.file.controllerElsewhere != nil {
      ControllerLeftovers.removeFiles(of: status.file)
    } else if status.deadController != nil || hadToKillController {
      ControllerLeftovers.remove(
        ProfileDirectory(status.file.profile), clusterID: status.file.clusterID,
        controllerArguments: status.file.controllerArguments)
    }
    for process in processes where !process.outputFile.isEmpty { FileSystem.remove(process.outputFile) }
    return Result(processes: ended + processes.count, engines: engines, hadToKill: hadToKill)
  }

  /// How long a launcher may take to end what batch systems and other hosts run for it: a command of theirs may take a minute.
  private static let patienceWithSystems = Duration.seconds(90)

  private static func foreignSets(of status: ClusterStatus, _ context: LauncherContext) throws(ClusterError) -> [LauncherSteps] {
    var sets: [LauncherSteps] = []
    for set in status.file.engineSets.values {
      guard let state = set.state else { continue }
      sets.append(try reconnect(state, status.file.launcher(of: set), context))
    }
    return sets
  }

  private static func reconnect(_ state: JSONObject, _ name: LauncherName, _ context: LauncherContext) throws(ClusterError)
    -> LauncherSteps
  {
    var steps = LauncherSteps(try LauncherRegistry.reconnect(state, launcher: name, context), outputLimit: 0)
    // Engines of a set that ended before the others are none of those that it counts.
    // Nor those that their system refused.
    steps.assumeRunning(steps.launcher.known)
    return steps
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
