import Glibc
import Synchronization

/// A child whose end a thread waits for: there is no descriptor for it that every kernel has.
public final class WatchedProcess: Sendable {
  public let pid: Int32
  /// Its end, once it has come: its number may be somebody else's then.
  private let end = Mutex<ExitStatus?>(nil)

  /// - Parameter onEnd: called once, on that thread. Without a thread, which the system may refuse, it is never called.
  public init(pid: Int32, onEnd: @escaping @Sendable (ExitStatus) -> Void) {
    self.pid = pid
    _ = DetachedThread.start { [self] in
      let status = wait()
      onEnd(status)
    }
  }

  public func send(_ signal: Int32) { end.withLock { if $0 == nil { kill(pid, signal) } } }

  private func wait() -> ExitStatus {
    var information = siginfo_t()
    // Not taken from the system's table before nobody sends it a signal any more.
    while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
    return end.withLock { end in
      var status: Int32 = 0
      while waitpid(pid, &status, WNOHANG) < 0, errno == EINTR {}
      let ended = ExitStatus(waitStatus: status)
      end = ended
      return ended
    }
  }
}
