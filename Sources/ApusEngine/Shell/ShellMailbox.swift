import ApusMessaging
import CZeroMQ
import Glibc
import Synchronization
import Transport

/// What the loop thread has for the main thread. A descriptor becomes readable when something was put in.
final class ShellMailbox: Sendable {
  struct Contents: Sendable {
    /// A shell socket that replaces the one in use.
    var socket: HandedSocket?
    /// Comes with it, if the controller is on this host.
    var local: LocalSocket?
    /// The line is new, or gone, and the socket the same.
    var renewsLine = false
    /// That controller is to be told what this engine has, as soon as there is a way to it.
    var owesAccount = false
    /// Whether messages can go by all of the socket's connections, where those have changed.
    var isConnected: Bool?
    /// The key of a restarted controller; comes with its socket.
    var key: String?
    /// Requests of the control socket that need the interpreter; served before anything that waits on the shell socket.
    var requests: [ShellRequest] = []
    var aborts = AbortState()
    /// The task that the kernel runs now. Changed under the same lock that aborts are read under, so that a task is either taken
    /// back or interrupted, and never missed between the two.
    var running: MessageID?
    /// The last balanced one that has begun.
    var lastBalanced: MessageID?
    /// Of the request that runs, or ran last.
    var runningMetadata = Frame.emptyObject
    /// The same, for whoever has to answer it in the shell's place.
    var request: ShellRequest?
    /// Counts what has run: the same task may come a second time.
    var run = 0
    /// When the time of the present run is over; `nil` where it has no limit.
    var limit: (due: ContinuousClock.Instant, limits: TaskLimits)?
    /// The run whose time is over.
    var overdueRun: Int?
    /// The run under which the process ends: its answer is given, and the shell says nothing more.
    var endedRun: Int?
    /// The task that the last cancellation signal was meant for.
    var interrupted: MessageID?
    /// Takes the place of the signal; the kernel's own way to end a task.
    var onCancellation: (@Sendable (MessageID) -> Void)?
    /// Set once, after the first registration or its failure.
    var outcome: Result<EngineID, EngineError>?
    /// The kernel's thread shall come back from waiting once.
    var isNudged = false
    /// The process shall end with this code.
    var exitCode: Int32?
  }

  private let contents = Mutex(Contents())
  private let news = Atomic<Bool>(false)
  let descriptor: Int32

  init() { descriptor = apus_eventfd() }
  deinit { close(descriptor) }

  /// From any thread.
  func put(_ change: (inout Contents) -> Void) {
    contents.withLock { contents in change(&contents) }
    if !news.exchange(true, ordering: .acquiringAndReleasing) { _ = eventfd_write(descriptor, 1) }
  }

  var hasNews: Bool { news.load(ordering: .acquiring) }

  /// Before reading the contents: what is put from now on counts as news again.
  func acknowledge() {
    var count: eventfd_t = 0
    eventfd_read(descriptor, &count)
    news.store(false, ordering: .releasing)
  }

  func read<R: Sendable>(_ body: (inout Contents) -> R) -> R { contents.withLock { contents in body(&contents) } }
}
