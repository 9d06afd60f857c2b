import ApusProcess
import Glibc
import Synchronization

/// The end of a set of engines, or of a controller, that another system runs: on a thread of its own, for systems and hosts keep us waiting.
final class SetEnding: Sendable {
  private let outcome = Mutex<Result<Bool, ClusterError>?>(nil)
  /// Closed at the end.
  private let descriptor: Int32
  private let writeEnd: Int32

  init(_ set: LauncherSteps, killAfter: Duration) {
    (descriptor, writeEnd) = (try? Pipe.open()) ?? (-1, -1)
    let work = { @Sendable [self] in
      var set = set
      let result = Self.end(&set, killAfter: killAfter)
      // What is kept open for another command that does not come.
      if case .failure = result { set.leave() }
      outcome.withLock { $0 = result }
      var byte: UInt8 = 1
      _ = write(writeEnd, &byte, 1)
    }
    // Without threads it takes as long as it takes.
    if descriptor < 0 || DetachedThread.start(work) != nil { work() }
  }

  deinit { for end in [descriptor, writeEnd] where end >= 0 { close(end) } }

  /// Waits for it.
  /// - Returns: whether it had to be killed; `nil` where it has not come to its end in that time.
  func result(within limit: Duration) -> Result<Bool, ClusterError>? {
    let deadline = MonotonicClock.now + limit
    while true {
      if let result = outcome.withLock({ $0 }) { return result }
      let left = (deadline - MonotonicClock.now).milliseconds
      if left <= 0 { return nil }
      var descriptors = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
      _ = poll(&descriptors, 1, Int32(clamping: left + 1))
    }
  }

  private static func end(_ set: inout LauncherSteps, killAfter: Duration) -> Result<Bool, ClusterError> {
    var isForced = false
    var deadline = MonotonicClock.now + max(killAfter, .seconds(10))
    var trouble: ClusterError?
    func note(_ events: [LauncherSteps.Event]) {
      for event in events { if case .trouble(let error) = event { trouble = error } }
    }
    note(set.perform(.stop(isForced: false)))
    while !set.live.isEmpty {
      // Whoever tries it again finds what is left by the cluster's file.
      if set.isHopeless { return .failure(left(by: set, trouble)) }
      _ = poll(nil, 0, Int32(clamping: set.schedule.pause.milliseconds))
      note(set.perform(.look))
      guard MonotonicClock.now >= deadline, !set.live.isEmpty else { continue }
      if isForced { return .failure(trouble ?? left(by: set, nil)) }
      isForced = true
      deadline = MonotonicClock.now + .seconds(60)
      note(set.perform(.stop(isForced: true)))
    }
    _ = set.perform(.removeFiles)
    return .success(isForced)
  }

  private static func left(by set: LauncherSteps, _ trouble: ClusterError?) -> ClusterError {
    let places = set.live.sorted().prefix(5).map { set.launcher.place(of: $0) }.joined(separator: ", ")
    let count = set.live.count
    let what = count == 1 ? "1 process does not end" : "\(count) processes do not end"
    let reason = trouble.map { ", or it cannot be seen whether they do: \($0.reason)" } ?? ""
    return ClusterError(
      .refused, "\(what) (\(places)\(count > 5 ? ", …" : ""))\(reason)",
      advice: trouble?.advice ?? "'apus stop' tries it again.")
  }
}
