import CZeroMQ
import Glibc
import ApusMessaging
import Synchronization
import Transport

/// What a client's loop has to tell callers who hold a thread each: replies, output, engines that come and go. One wake-up serves as many
/// events as come in one turn of the loop.
///
/// Two kinds of threads wait. One *leads*: it wants a certain result, and takes everything that comes meanwhile, for all. The other waits in
/// the background, and is woken only while nobody leads: so a result wakes the thread that needs it, and no other before.
public final class CompletionQueue: Sendable {
  public enum Event: Sendable {
    /// A task's end, by a message.
    case replied(number: Int, TaskReply)
    /// A task's end, on this side: `RemoteError` for a lost engine, `ClientError` for the rest.
    case failed(number: Int, any Error)
    /// A message that an engine published about a task.
    case output(number: Int, TaskReply)
    /// No more output will come.
    case outputEnded(number: Int)
    /// The memory that a request lent has been read.
    case sent(number: Int)
    /// Also said of an engine that is there, when more is known of it.
    case arrived(RegisteredEngine)
    case departed(RegisteredEngine)
    /// What is submitted to these engines, which are not there, waits for them, until they arrive or are given up.
    case awaited([RegisteredEngine])
    case givenUp([RegisteredEngine])
    /// The client is over; the last event.
    case closed(ClientError)
  }

  public enum Wait: Sendable {
    case events
    case timedOut
    /// A signal came: its handler may want to run.
    case interrupted
    /// The client is over, and all events were taken.
    case over
  }

  private struct Contents {
    var events: [Event] = []
    var isLed = false
    /// Whether the one who waits sleeps, and must be woken.
    var leaderSleeps = false
    var areEnginesKnown = false
    var isOver = false
    /// Somebody wants the background thread to come round, whatever there is.
    var isNudged = false
    /// An action at the end of this turn of the loop is set already.
    var isWakeSet = false
  }

  private let contents = Mutex(Contents())
  private let hasEvents = Atomic(false)
  private let leader = Descriptor()
  private let background = Descriptor()
  /// Runs its argument at the end of the loop's turn.
  private struct TurnEnd: Sendable { var call: (@Sendable (@escaping @Sendable () -> Void) -> Void)? }
  private let turnEnd = Mutex(TurnEnd())

  /// An event descriptor of the system.
  private struct Descriptor: ~Copyable {
    let raw = apus_eventfd()

    func signal() {
      var one: UInt64 = 1
      _ = Glibc.write(raw, &one, 8)
    }

    func clear() {
      var count: UInt64 = 0
      _ = Glibc.read(raw, &count, 8)
    }

    deinit { Glibc.close(raw) }
  }

  init() {}

  func onTurnEnd(_ schedule: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void) {
    turnEnd.withLock { $0.call = schedule }
  }

  // MARK: the loop

  /// - Parameter isOnLoop: then others of the same turn may follow, and nobody is woken before its end.
  private func append(_ event: Event, isOnLoop: Bool = true) {
    let setsWake = contents.withLock { contents in
      contents.events.append(event)
      defer { contents.isWakeSet = contents.isWakeSet || isOnLoop }
      return !contents.isWakeSet || !isOnLoop
    }
    hasEvents.store(true, ordering: .releasing)
    guard setsWake else { return }
    guard isOnLoop, let schedule = turnEnd.withLock({ $0.call }) else { return wake() }
    schedule { [weak self] in self?.wake() }
  }

  private func wake() {
    let (wakesLeader, wakesBackground) = contents.withLock { contents in
      contents.isWakeSet = false
      if contents.isLed { return (contents.leaderSleeps, false) }
      return (false, !contents.events.isEmpty || contents.isOver)
    }
    if wakesLeader { leader.signal() }
    if wakesBackground { background.signal() }
  }

  func apply(_ event: EngineEvent) {
    switch event {
    case .arrived(let engine): append(.arrived(engine))
    case .departed(let engine): append(.departed(engine))
    }
  }

  func await(_ engines: [RegisteredEngine]) { append(.awaited(engines)) }
  func giveUp(_ engines: [RegisteredEngine]) { append(.givenUp(engines)) }

  func enginesAreKnown() {
    contents.withLock { $0.areEnginesKnown = true }
    hasEvents.store(true, ordering: .releasing)
    wake()
    leader.signal()
  }

  func close(_ error: ClientError) {
    contents.withLock { contents in
      guard !contents.isOver else { return }
      contents.isOver = true
      contents.events.append(.closed(error))
    }
    hasEvents.store(true, ordering: .releasing)
    leader.signal()
    background.signal()
  }

  // MARK: other threads

  func sent(_ task: TaskNumber) { append(.sent(number: task.raw), isOnLoop: false) }

  /// Makes the background thread come round though there is nothing to take: something else is to be done.
  public func nudge() {
    contents.withLock { $0.isNudged = true }
    background.signal()
  }

  /// Makes the wait of who leads, or the next one, end though there may be no events: it is to look again at what it waits for.
  public func wakeLeader() {
    hasEvents.store(true, ordering: .releasing)
    leader.signal()
  }

  // MARK: callers

  /// Waits for the hub's first answer; nobody else waits then.
  func waitForEngines(until end: ContinuousClock.Instant) -> Wait {
    let found = Self.poll(leader.raw, until: end)
    if case .events = found { leader.clear() }
    return found
  }

  /// Whether the hub has told its engines.
  var areEnginesKnown: Bool { contents.withLock { $0.areEnginesKnown } }

  /// All events that have come, in their order.
  public func take() -> [Event] {
    contents.withLock { contents in
      hasEvents.store(false, ordering: .relaxed)
      var taken: [Event] = []
      swap(&taken, &contents.events)
      return taken
    }
  }

  /// Becomes the one who leads.
  /// - Returns: false if another thread leads.
  public func lead() -> Bool {
    contents.withLock { contents in
      if contents.isLed { return false }
      contents.isLed = true
      return true
    }
  }

  /// For who leads: waits until there are events.
  /// - Parameter milliseconds: at most; -1 is for ever.
  public func waitLeading(milliseconds: Int) -> Wait {
    let end = milliseconds < 0 ? nil : ContinuousClock.now + .milliseconds(milliseconds)
    var watch = BriefWatch()
    repeat {
      if hasEvents.load(ordering: .acquiring) { return state }
    } while watch.goesOn()
    while true {
      leader.clear()
      let isThere = contents.withLock { contents in
        contents.leaderSleeps = contents.events.isEmpty && !contents.isOver && !hasEvents.load(ordering: .acquiring)
        return !contents.leaderSleeps
      }
      if isThere { return state }
      let found = Self.poll(leader.raw, until: end)
      contents.withLock { $0.leaderSleeps = false }
      switch found {
      case .events: if hasEvents.load(ordering: .acquiring) { return state }
      case let other: return other
      }
    }
  }

  private var state: Wait { contents.withLock { $0.events.isEmpty && $0.isOver ? .over : .events } }

  /// No longer leads; the background thread is woken if something is left.
  public func stopLeading() {
    let isLeft = contents.withLock { contents in
      contents.isLed = false
      contents.leaderSleeps = false
      return !contents.events.isEmpty || contents.isOver
    }
    if isLeft { background.signal() }
  }

  /// For the one background thread: waits until there are events and nobody leads.
  public func waitInBackground() -> Wait {
    while true {
      background.clear()
      let (isThere, isOver) = contents.withLock { contents in
        defer { contents.isNudged = false }
        if contents.isNudged { return (true, false) }
        if contents.isLed { return (false, false) }
        return (!contents.events.isEmpty, contents.events.isEmpty && contents.isOver)
      }
      if isThere { return .events }
      if isOver { return .over }
      if case .interrupted = Self.poll(background.raw, until: nil) { return .interrupted }
    }
  }

  static func poll(_ descriptor: Int32, until end: ContinuousClock.Instant?) -> Wait {
    var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    var timeout: Int32 = -1
    if let end {
      let left = (end - .now).components
      // Rounded up: a wait of nothing is a busy one.
      let milliseconds = left.seconds * 1000 + (left.attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
      timeout = Int32(clamping: max(0, milliseconds))
    }
    let found = Glibc.poll(&item, 1, timeout)
    if found < 0 { return .interrupted }
    return found == 0 ? .timedOut : .events
  }
}

extension CompletionQueue: TaskListener {
  func ended(_ task: TaskNumber, _ ending: TaskEnding) {
    switch ending {
    case .reply(let reply): append(.replied(number: task.raw, reply))
    case .failure(let error): append(.failed(number: task.raw, error))
    }
  }

  func printed(_ task: TaskNumber, _ message: Envelope) { append(.output(number: task.raw, TaskReply(message))) }
  func outputEnded(_ task: TaskNumber) { append(.outputEnded(number: task.raw)) }
}
