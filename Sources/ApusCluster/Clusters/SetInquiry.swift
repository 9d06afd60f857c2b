import ApusMessaging
import ApusProcess
import Glibc
import Synchronization

/// How the engines of a set are that another system runs, or a controller: asked on a thread of its own, for systems and hosts keep us waiting.
final class SetInquiry: Sendable {
  struct Answer: Sendable {
    /// Engines that have not ended, or may be about to begin.
    let live: Set<Int>
    let ended: [EndedEngine]
  }

  private let outcome = Mutex<Result<Answer, ClusterError>?>(nil)
  private let title: String
  /// Readable at the end.
  private let descriptor: Int32
  private let writeEnd: Int32

  /// - Parameter context: its deadline is that of the system's commands.
  init(_ state: JSONObject, _ name: LauncherName, _ context: LauncherContext) {
    title = name.title
    (descriptor, writeEnd) = (try? Pipe.open()) ?? (-1, -1)
    let work = { @Sendable [self] in
      let result = Self.ask(state, name, context)
      outcome.withLock { $0 = result }
      var byte: UInt8 = 1
      _ = write(writeEnd, &byte, 1)
    }
    // Without threads one after the other.
    if descriptor < 0 || DetachedThread.start(work) != nil { work() }
  }

  deinit { for end in [descriptor, writeEnd] where end >= 0 { close(end) } }

  private static func ask(_ state: JSONObject, _ name: LauncherName, _ context: LauncherContext) -> Result<Answer, ClusterError> {
    do throws(ClusterError) {
      var steps = LauncherSteps(try LauncherRegistry.reconnect(state, launcher: name, context), outputLimit: 20)
      defer { steps.leave() }
      let ended = try steps.takeOver().sorted { $0.index < $1.index }
      return .success(Answer(live: steps.live.union(steps.launcher.unanswered), ended: ended))
    } catch { return .failure(error) }
  }

  /// Waits for it.
  func result(until deadline: Duration) -> Result<Answer, ClusterError> {
    while true {
      if let result = outcome.withLock({ $0 }) { return result }
      let left = (deadline - MonotonicClock.now).milliseconds
      if left <= 0 { return .failure(ClusterError(.timedOut, "\(title) did not say in time how its engines are")) }
      var descriptors = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
      _ = poll(&descriptors, 1, Int32(clamping: left + 1))
    }
  }
}
