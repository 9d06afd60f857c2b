import CZeroMQ
import Glibc

/// Memory that was freed and that the allocator keeps for what comes next.
///
/// With glibc a large block goes back to the system at once, and the next large message costs a page fault for each 4 KiB of it: more than
/// its copies. Where the program runs with jemalloc (`CAllocator`) freed blocks stay, and event loops give them back when time has passed.
public enum FreedMemory {
  /// Between two looks of the process, whichever of its loops takes them.
  static let period = Duration.seconds(10)
  /// What jemalloc calls all of its arenas together.
  private static let everyArena = 4096
  private static let pageSize = sysconf(Int32(_SC_PAGESIZE))

  private typealias Control =
    @convention(c) (
      UnsafePointer<CChar>, UnsafeMutableRawPointer?, UnsafeMutablePointer<Int>?, UnsafeMutableRawPointer?, Int
    ) -> Int32

  /// jemalloc's one function for its state, if the program runs with jemalloc.
  private static let control: Control? = dlsym(nil, "mallctl").map { unsafeBitCast($0, to: Control.self) }

  private static let resting = Mutex(RestingMemory())

  /// Gives it back to the system, at the end of a burst. jemalloc does so by itself when blocks have rested for a while (`watch`).
  public static func release() {
    if control == nil { apus_trim_memory() }
  }

  /// Looks every ten seconds, and gives back what has rested since the last look.
  static func watch(on loop: EventLoop) {
    guard let control else { return }
    loop.schedule(after: period) { [unowned loop] in
      giveBack(control)
      watch(on: loop)
    }
  }

  private static func giveBack(_ control: Control) {
    resting.withLock { resting in
      guard resting.isDue(.now), resting.look(at: kept(control), .now) else { return }
      _ = control("arena.\(everyArena).purge", nil, nil, nil, 0)
    }
  }

  /// Bytes that the system still counts as this process's although nobody uses them.
  private static func kept(_ control: Control) -> Int {
    // Statistics are of the last epoch that was begun.
    var epoch: UInt64 = 1
    _ = control("epoch", nil, nil, &epoch, MemoryLayout.size(ofValue: epoch))
    var pages = 0
    var size = MemoryLayout.size(ofValue: pages)
    guard control("stats.arenas.\(everyArena).pdirty", &pages, &size, nil, 0) == 0 else { return 0 }
    return pages * pageSize
  }
}

/// What a process keeps of freed memory, from one look to the next. Its loops look one after another; one look in each period counts.
struct RestingMemory {
  /// Less than this is not worth a system call, in bytes.
  static let worthwhile = 32 << 20

  /// At the last look, in bytes.
  private var kept = 0
  private var looked: ContinuousClock.Instant?

  func isDue(_ now: ContinuousClock.Instant) -> Bool { looked.map { now - $0 >= FreedMemory.period } ?? true }

  /// - Parameter bytes: kept at this moment.
  /// - Returns: whether enough of it has rested since the last look. It is to be given back then.
  mutating func look(at bytes: Int, _ now: ContinuousClock.Instant) -> Bool {
    looked = now
    let hasRested = min(kept, bytes) > Self.worthwhile
    kept = hasRested ? 0 : bytes
    return hasRested
  }
}
