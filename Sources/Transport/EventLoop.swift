import CZeroMQ
import Glibc
import HeapModule
import Synchronization

/// A thread with three inputs: readable sockets, jobs and timers. Actors live on it (`unownedExecutor`), sockets live in the actors.
///
/// One turn of the loop: wait for a socket, a wake-up or the next timer; call the handler of each readable socket; run the timers that are
/// due; run the jobs that had arrived. Handlers are synchronous, so nothing comes between reading a message and performing its effects.
///
/// `zmq_poll` asks every socket before it waits and again afterwards, two system calls each. Here one `epoll` waits for the
/// sockets' descriptors, and only sockets that have news, or that were used since they were last found empty (`ConsumedEdge`),
/// are asked.
///
/// `@unchecked Sendable`: what is `@exclusivity(unchecked)` is touched on the loop's thread only, or before it starts; the mailbox is a
/// `Mutex`; the rest is `let` or atomic.
public final class EventLoop: SerialExecutor, @unchecked Sendable {
  private enum Work {
    case job(UnownedJob)
    case closure(@Sendable () -> Void)
  }

  private struct Mailbox {
    var work: [Work] = []
    /// Set under the lock before the loop polls: only then does a sender write the event descriptor.
    var asleep = false
    var stopping = false
    /// Those who want the loop to stand still.
    var holds: [Hold] = []
    /// Nobody takes what comes now.
    var hasEnded = false

    mutating func takeHolds() -> [Hold] {
      guard !holds.isEmpty else { return [] }
      defer { holds = [] }
      return holds
    }
  }

  /// Somebody who wants to know when there is input.
  private final class Reader {
    let id: Int
    /// `nil` for a plain descriptor.
    let socket: UnsafeMutableRawPointer?
    let consumedEdge: ConsumedEdge?
    let descriptor: Int32
    let handler: @Sendable () -> Void
    var isForgotten = false

    init(
      _ id: Int, socket: UnsafeMutableRawPointer?, consumedEdge: ConsumedEdge?, descriptor: Int32,
      handler: @escaping @Sendable () -> Void
    ) {
      self.id = id
      self.socket = socket
      self.consumedEdge = consumedEdge
      self.descriptor = descriptor
      self.handler = handler
    }

    /// Takes the news in, if there are any.
    var isReadable: Bool {
      guard let socket else { return true }
      var events: Int32 = 0
      var size = MemoryLayout<Int32>.size
      return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && events & Int32(ZMQ_POLLIN) != 0
    }
  }

  private struct Timer: Comparable {
    let deadline: ContinuousClock.Instant
    let id: Int
    static func < (a: Timer, b: Timer) -> Bool { (a.deadline, a.id) < (b.deadline, b.id) }
  }

  public struct TimerID: Hashable, Sendable { let raw: Int }
  public struct ReaderID: Hashable, Sendable { let raw: Int }

  private let mailbox = Mutex(Mailbox())
  private let wakeup: Int32
  private let poll: Int32
  // The loop's thread alone uses what follows; checking each access again at run time took a few percent of all work.
  /// Sockets, in the order in which they came: only these may keep silent about something.
  @exclusivity(unchecked) private var attentive: [Reader] = []
  @exclusivity(unchecked) private var readers: [Int: Reader] = [:]
  @exclusivity(unchecked) private var timers = Heap<Timer>()
  @exclusivity(unchecked) private var timerActions: [Int: @Sendable () -> Void] = [:]
  @exclusivity(unchecked) private var lastID = 0
  private let threadID = Atomic<UInt>(0)
  private let joinable = Mutex<pthread_t?>(nil)
  private let name: String
  private let looksBeforeSleeping: Bool
  private let pause: ForkPause

  /// - Parameters:
  ///   - name: of the thread, at most 15 bytes; what `top -H` shows.
  ///   - looksBeforeSleeping: for the loops that tasks go through: after its work the thread looks for more for a moment (`BriefWatch`).
  ///     Others would take processors from them.
  ///   - pause: what makes it stand still.
  public init(name: String, looksBeforeSleeping: Bool = false, pause: ForkPause = .process) {
    self.name = name
    self.looksBeforeSleeping = looksBeforeSleeping
    self.pause = pause
    wakeup = apus_eventfd()
    poll = apus_epoll()
    // Each write is one report: nobody has to read it. No reader has the number 0.
    precondition(
      apus_epoll_add(poll, wakeup, 0, 1) == 0, "the system refused a loop's descriptors: \(String(cString: strerror(errno)))")
  }

  deinit {
    // Nobody joined it: without this the system keeps the stack of each thread that has ended.
    joinable.withLock { if let thread = $0 { pthread_detach(thread) } }
    close(wakeup)
    close(poll)
  }

  // MARK: life

  /// Starts the thread. Signals are left to the threads that were there before it.
  public func start() {
    var everySignal = sigset_t()
    var previous = sigset_t()
    sigfillset(&everySignal)
    pthread_sigmask(SIG_SETMASK, &everySignal, &previous)
    defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
    let myself = Unmanaged.passRetained(self)
    pause.began(self) {
      var thread = pthread_t()
      let failure = pthread_create(
        &thread, nil,
        { raw in
          guard let raw else { return nil }
          let loop = Unmanaged<EventLoop>.fromOpaque(raw).takeRetainedValue()
          apus_name_thread(loop.name)
          loop.threadID.store(UInt(pthread_self()), ordering: .releasing)
          loop.run()
          loop.pause.ended(loop)
          return nil
        }, myself.toOpaque())
      precondition(failure == 0, "the system refused a thread: \(String(cString: strerror(failure)))")
      joinable.withLock { $0 = thread }
    }
  }

  /// Asks the loop to end after the work that it already has. Callable from anywhere; does not wait.
  public func stop() {
    mailbox.withLock { $0.stopping = true }
    wake()
  }

  /// Waits for the end of the thread. Not from the loop itself.
  public func join() {
    precondition(!isOnLoop, "a loop cannot wait for itself")
    let thread = joinable.withLock { joinable in
      defer { joinable = nil }
      return joinable
    }
    if let thread { pthread_join(thread, nil) }
  }

  // MARK: executor

  public func enqueue(_ job: consuming ExecutorJob) { put(.job(UnownedJob(job))) }
  /// Runs the closure on the loop, after the work that is already there.
  public func execute(_ work: @escaping @Sendable () -> Void) { put(.closure(work)) }
  public func isIsolatingCurrentContext() -> Bool? { isOnLoop }
  public func checkIsolated() { precondition(isOnLoop, "not on the event loop \(name)") }
  public var isOnLoop: Bool { threadID.load(ordering: .relaxed) == UInt(pthread_self()) }
  private var mayTouchSockets: Bool { isOnLoop || threadID.load(ordering: .relaxed) == 0 }

  private func put(_ work: Work) {
    let mustWake = mailbox.withLock { mailbox in
      mailbox.work.append(work)
      defer { mailbox.asleep = false }
      return mailbox.asleep
    }
    if mustWake { wake() }
  }

  private func wake() { _ = eventfd_write(wakeup, 1) }

  /// Asks the loop to stand still after this turn. From anywhere.
  /// - Returns: `nil` when it has ended.
  func requestHold() -> Hold? {
    let hold = Hold()
    let (isTaken, mustWake) = mailbox.withLock { mailbox in
      guard !mailbox.hasEnded else { return (false, false) }
      mailbox.holds.append(hold)
      defer { mailbox.asleep = false }
      return (true, mailbox.asleep)
    }
    if mustWake { wake() }
    return isTaken ? hold : nil
  }

  // MARK: sockets and timers (on the loop only)

  /// Calls the handler whenever the socket is readable, until `forget`. The handler drains a bounded batch: the loop calls again.
  @discardableResult
  public func whenReadable(_ socket: borrowing Socket, _ handler: @escaping @Sendable () -> Void) -> ReaderID {
    // Whatever happened to the socket so far, it is asked once.
    socket.consumedEdge.raise()
    return add(socket.handle, socket.consumedEdge, socket.pollDescriptor, handler)
  }

  /// As above for a plain file descriptor, which is watched once at a time.
  @discardableResult
  public func whenReadable(descriptor: Int32, _ handler: @escaping @Sendable () -> Void) -> ReaderID {
    add(nil, nil, descriptor, handler)
  }

  private func add(
    _ socket: UnsafeMutableRawPointer?, _ consumedEdge: ConsumedEdge?, _ descriptor: Int32,
    _ handler: @escaping @Sendable () -> Void
  ) -> ReaderID {
    precondition(mayTouchSockets, "sockets are watched from the loop's own thread")
    lastID += 1
    let reader = Reader(lastID, socket: socket, consumedEdge: consumedEdge, descriptor: descriptor, handler: handler)
    readers[lastID] = reader
    if socket != nil { attentive.append(reader) }
    let isWatched = apus_epoll_add(poll, descriptor, UInt64(lastID), 0) == 0
    assert(isWatched, "descriptor \(descriptor) cannot be watched, or is watched already: \(String(cString: strerror(errno)))")
    return ReaderID(raw: lastID)
  }

  /// Before a watched socket is closed.
  public func forget(_ reader: ReaderID) {
    precondition(mayTouchSockets, "sockets are watched from the loop's own thread")
    guard let forgotten = readers.removeValue(forKey: reader.raw) else { return }
    attentive.removeAll { $0 === forgotten }
    forgotten.isForgotten = true
    _ = apus_epoll_remove(poll, forgotten.descriptor)
  }

  @discardableResult
  public func schedule(after delay: Duration, _ action: @escaping @Sendable () -> Void) -> TimerID {
    schedule(at: .now + delay, action)
  }

  @discardableResult
  public func schedule(at deadline: ContinuousClock.Instant, _ action: @escaping @Sendable () -> Void) -> TimerID {
    precondition(mayTouchSockets, "timers are set from the loop's own thread")
    lastID += 1
    timers.insert(Timer(deadline: deadline, id: lastID))
    timerActions[lastID] = action
    return TimerID(raw: lastID)
  }

  public func cancel(_ timer: TimerID) {
    precondition(mayTouchSockets, "timers are set from the loop's own thread")
    timerActions[timer.raw] = nil
  }

  // MARK: the turn

  private func run() {
    var batch: [Work] = []
    var tokens = [UInt64](repeating: 0, count: 16)
    let executor = asUnownedSerialExecutor()
    FreedMemory.watch(on: self)
    while true {
      callAttentiveReaders()
      // A batch that was not drained, or a socket that was used after its turn.
      let hasMore = attentive.contains { $0.consumedEdge?.isRaised ?? false }
      let now = timers.isEmpty || hasMore ? nil : ContinuousClock.now
      let untilTimer = now.flatMap { pollTimeout(at: $0) } ?? -1
      let (timeout, stop) = mailbox.withLock { mailbox in
        let isIdle = mailbox.work.isEmpty && mailbox.holds.isEmpty && !hasMore
        mailbox.asleep = isIdle
        return (isIdle ? untilTimer : 0, mailbox.stopping && mailbox.work.isEmpty)
      }
      if stop { break }
      let count = wait(&tokens, timeout: Int32(clamping: timeout))
      if count > 0 { callReaders(tokens[..<Int(count)]) }
      if !timers.isEmpty { callTimers() }
      let holds = mailbox.withLock { mailbox in
        mailbox.asleep = false
        swap(&mailbox.work, &batch)
        return mailbox.takeHolds()
      }
      for work in batch {
        switch work {
        case .job(let job): job.runSynchronously(on: executor)
        case .closure(let closure): closure()
        }
      }
      batch.removeAll(keepingCapacity: true)
      for hold in holds { hold.stand() }
    }
    // Closures held here hold the actors, which hold the loop: break the circle.
    for reader in readers.values { _ = apus_epoll_remove(poll, reader.descriptor) }
    readers = [:]
    attentive = []
    timers = Heap()
    timerActions = [:]
    let holds = mailbox.withLock { mailbox in
      mailbox.hasEnded = true
      return mailbox.takeHolds()
    }
    for hold in holds { hold.stand() }
  }

  private func wait(_ tokens: inout [UInt64], timeout: Int32) -> Int32 {
    guard timeout != 0, looksBeforeSleeping else { return apus_epoll_wait(poll, &tokens, timeout) }
    var watch = BriefWatch()
    repeat {
      let count = apus_epoll_wait(poll, &tokens, 0)
      if count != 0 { return count }
    } while watch.goesOn()
    return apus_epoll_wait(poll, &tokens, timeout)
  }

  /// Those whose descriptors have something to tell.
  private func callReaders(_ tokens: ArraySlice<UInt64>) {
    for token in tokens where token != 0 {
      // Not there: a handler before it has forgotten it.
      guard let reader = readers[Int(token)] else { continue }
      call(reader)
    }
  }

  /// Those whose descriptors may keep silent about something.
  private func callAttentiveReaders() {
    // Handlers may add and forget readers: this goes over those that are there now.
    for reader in attentive where !reader.isForgotten && reader.consumedEdge?.isRaised ?? false { call(reader) }
  }

  private func call(_ reader: Reader) {
    reader.consumedEdge?.lower()
    guard reader.isReadable else { return }
    // Until the handler finds nothing more.
    reader.consumedEdge?.raise()
    reader.handler()
  }

  private func callTimers() {
    let now = ContinuousClock.now
    while let next = timers.min, next.deadline <= now {
      timers.removeMin()
      timerActions.removeValue(forKey: next.id)?()
    }
  }

  /// Milliseconds until the next timer, rounded up: waking early would spin.
  private func pollTimeout(at now: ContinuousClock.Instant) -> Int? {
    while let next = timers.min, timerActions[next.id] == nil { timers.removeMin() }
    guard let next = timers.min else { return nil }
    let left = now.duration(to: next.deadline).components
    guard left.seconds >= 0, left.attoseconds >= 0 else { return 0 }
    let milliseconds = left.seconds.multipliedReportingOverflow(by: 1000)
    guard !milliseconds.overflow else { return Int(Int32.max) }
    return Int(min(milliseconds.partialValue + (left.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000, Int64(Int32.max)))
  }
}
