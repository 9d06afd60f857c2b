import ApusProcess
import ApusCluster
import ApusEngine
import Glibc
import Synchronization

/// Ctrl-C, SIGTERM and SIGHUP in a program that is a client: its work is cancelled, which aborts its tasks and takes its own cluster down. A
/// second signal, or work that does not heed its cancellation, ends it at once.
enum ProgramSignals {
  private static let received = Atomic<Int32>(0)
  /// How long cancelled work may take to end, in milliseconds.
  private static let grace: Int32 = 3000

  /// Whether one has come.
  static var isInterrupted: Bool { received.load(ordering: .relaxed) != 0 }

  /// Once in a process.
  static func watch(_ onSignal: @escaping @Sendable () -> Void) {
    // What the starter had ignored, as a shell does for what it puts into the background, stays so.
    let signals = [SIGINT, SIGTERM, SIGHUP].filter { !SignalPipe.isIgnored($0) }
    guard !signals.isEmpty, let descriptor = try? SignalPipe.open(for: signals) else { return }
    // Without a thread to read them, signals would do nothing at all.
    if DetachedThread.start({ watch(descriptor, onSignal) }) != nil { for number in signals { signal(number, SIG_DFL) } }
  }

  private static func watch(_ descriptor: Int32, _ onSignal: @Sendable () -> Void) {
    guard let first = next(descriptor, within: -1) else { return }
    received.store(first, ordering: .relaxed)
    onSignal()
    _ = next(descriptor, within: grace)
    TemporaryProfile.removeAll()
    _exit(ExitCode.interrupted.rawValue)
  }

  /// - Parameter milliseconds: -1 is for ever.
  private static func next(_ descriptor: Int32, within milliseconds: Int32) -> Int32? {
    var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while true {
      let count = poll(&item, 1, milliseconds)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return nil }
      if let signal = SignalPipe.read(descriptor).first { return signal }
    }
  }
}
