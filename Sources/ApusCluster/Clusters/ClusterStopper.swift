import Glibc

/// Ends the processes of a cluster that somebody else started.
public enum ClusterStopper {
  /// SIGTERM, patience, SIGKILL; then the cluster's file and the logs go.
  /// - Returns: whether anything had to be killed.
  @discardableResult
  public static func stop(_ status: ClusterStatus, killAfter: Duration = .seconds(5)) throws(ClusterError) -> Bool {
    if !status.file.isLocal {
      let launcher = LauncherName(status.file.engineLauncher).isLocal ? status.file.controllerLauncher : status.file.engineLauncher
      throw ClusterError(
        .unsupported, "the cluster \(status.path) was started by the launcher '\(launcher)', which Apus cannot stop",
        advice: "Stop it with the ipyparallel that started it.")
    }
    let processes = status.processes
    for process in processes { kill(process.pid, SIGTERM) }
    var left = wait(for: processes, atMost: killAfter)
    let hadToKill = !left.isEmpty
    for process in left { kill(process.pid, SIGKILL) }
    left = wait(for: left, atMost: .seconds(5))
    if let stubborn = left.first {
      throw ClusterError(.failure, "process \(stubborn.pid) of the cluster \(status.path) does not end, not even by SIGKILL")
    }
    FileSystem.remove(status.path)
    removeConnectionFiles(of: status)
    for process in processes where !process.outputFile.isEmpty { FileSystem.remove(process.outputFile) }
    return hadToKill
  }

  /// Of a controller that could not do so itself: with them, clients would look for it in vain. Those that are meant to be used again stay.
  private static func removeConnectionFiles(of status: ClusterStatus) {
    guard status.deadController != nil else { return }
    let profile = ProfileDirectory(status.file.profile)
    let id = status.file.clusterID
    let keeps = status.file.controllerArguments.contains { $0.contains("reuse") || $0.contains("restore") }
    if keeps || FileSystem.exists(profile.connectionFile("curve", clusterID: id)) { return }
    for kind in ["client", "engine"] { FileSystem.remove(profile.connectionFile(kind, clusterID: id)) }
  }

  /// - Returns: those that still run when the time is over.
  private static func wait(for processes: [ClusterFile.Process], atMost limit: Duration) -> [ClusterFile.Process] {
    let deadline = MonotonicClock.now + limit
    var left = processes
    var watches = Dictionary(processes.compactMap { process in ProcessTable.watch(process.pid).map { (process.pid, $0) } }) { $1 }
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
