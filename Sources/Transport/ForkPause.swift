import CZeroMQ
import Glibc

/// All event loops of this process stand still while it forks.
///
/// A child gets a copy of the memory and one thread: the one that forked. What another thread held in that moment (a lock of ours, or one
/// of the Swift runtime, which it takes when a type is met for the first time) stays taken in the child for ever, and whoever needs it
/// there hangs. So each loop comes to rest between two turns, where it holds nothing, and goes on when the fork is over.
///
/// Signals wait too, on the thread that forks and in the child: one that came before the child has handlers of its own would run those of
/// the parent, and these tell the parent of it.
///
/// A fork that only makes room for another program (`posix_spawn`, Python's `subprocess`) needs none of this.
///
/// `@unchecked Sendable`: all that changes belongs to the thread that has the lock.
public final class ForkPause: @unchecked Sendable {
  /// Of all loops that were not made for another one.
  public static let process = ForkPause()

  /// A loop that is this long about one turn is stuck, or waits for the thread that wants to fork.
  private static let patience = Duration.milliseconds(500)

  /// All loops that begin or end, and all forks but one, wait for it, so that what follows is whole in the child. Recursive: pauses may
  /// be nested.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  /// The loops whose threads run; each is kept by its thread.
  private var loops: [Unmanaged<EventLoop>] = []
  private var holds: [EventLoop.Hold] = []
  private var depth = 0
  /// The signals that the thread let through before the pause.
  private var mask = sigset_t()

  init() { makeLock() }

  deinit {
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  private func makeLock() {
    var attributes = pthread_mutexattr_t()
    pthread_mutexattr_init(&attributes)
    pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_RECURSIVE))
    pthread_mutex_init(lock, &attributes)
    pthread_mutexattr_destroy(&attributes)
  }

  /// Before the process forks: waits until the loops stand still, and until no other thread forks. Each call is followed by one of `end`
  /// on the same thread, in the parent, whether the fork succeeded or not, and by `abandon` in the child. May be nested.
  ///
  /// A loop that does not come to rest within half a second is not waited for, and a pause that nobody ends is over by itself after ten
  /// seconds. On a loop's own thread the other loops stand still.
  public func begin() {
    pthread_mutex_lock(lock)
    depth += 1
    guard depth == 1 else { return }
    var everySignal = sigset_t()
    sigfillset(&everySignal)
    pthread_sigmask(SIG_SETMASK, &everySignal, &mask)
    let deadline = ContinuousClock.now + Self.patience
    // All are asked before one is waited for.
    let asked = loops.map { $0.takeUnretainedValue() }.filter { !$0.isOnLoop }.compactMap { $0.requestHold() }
    holds = asked.filter { $0.isStanding(by: deadline) }
  }

  /// In the parent, after the fork: the loops go on.
  public func end() {
    var previous: sigset_t?
    if depth == 1 {
      for hold in holds { hold.release() }
      holds = []
      previous = mask
    }
    depth -= 1
    pthread_mutex_unlock(lock)
    if var previous { pthread_sigmask(SIG_SETMASK, &previous, nil) }
  }

  /// In the child, once the parent's handlers of signals are gone there: it has no loops, and nothing of the parent's is touched.
  public func abandon() {
    loops = []
    // The descriptors are copies; those who stand still wait for the parent's word.
    holds = []
    makeLock()
    guard depth > 0 else { return }
    depth = 0
    pthread_sigmask(SIG_SETMASK, &mask, nil)
  }

  /// - Parameter start: starts the loop's thread. No fork comes between.
  func began(_ loop: EventLoop, _ start: () -> Void) {
    pthread_mutex_lock(lock)
    loops.append(.passUnretained(loop))
    start()
    pthread_mutex_unlock(lock)
  }

  /// The loop's thread does nothing any more.
  func ended(_ loop: EventLoop) {
    pthread_mutex_lock(lock)
    loops.removeAll { $0.toOpaque() == Unmanaged.passUnretained(loop).toOpaque() }
    pthread_mutex_unlock(lock)
  }
}
