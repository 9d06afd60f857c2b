public import ApusMessaging
import Synchronization
import Transport

/// A task that was submitted: a promise of its reply, and the way to its output.
///
/// `try await handle.reply` gives the reply, or throws what kept it from coming: a `RemoteError` of the engine, the scheduler or for the
/// loss of the engine, a `ClientError`, or `CancellationError`. Dropping the handle leaves the task running.
public final class TaskHandle: Sendable {
  public enum Status: Sendable, Hashable {
    /// Sent and not answered. Becomes one of the others.
    case outstanding
    case succeeded
    case failed
  }

  let number: TaskNumber
  /// The broadcast that this is one engine's share of.
  private let original: TaskNumber?
  /// In which the account of what is under way counts this task; 0 for queries, which do not count.
  let cost: Int
  /// The engine it was sent to; `nil` where a scheduler chooses, or several got it.
  public let engine: RegisteredEngine?
  public let label: String?
  private let queue: SubmissionQueue
  /// Is told everything in place of those who wait for the handle: there are none then.
  let listener: (any TaskListener)?
  /// Whether the listener is told of the end of output where there was none.
  private let awaitsOutput: Bool
  private let state: Mutex<State>
  /// For a listener: the reply said that there is output.
  private let hasOutput = Atomic(false)
  /// Whoever waits for it has been told its end, or is being told.
  private let isFinished = Atomic(false)

  private struct Waiter {
    let id: Int
    let continuation: CheckedContinuation<TaskReply, any Error>
  }

  private struct State {
    var outcome: TaskOutcome?
    var waiters: [Waiter] = []
    var lastWaiter = 0
    var observer: (@Sendable (TaskOutcome) -> Void)?
    var output: OutputState?
    var isOutputComplete = false
  }

  /// Apart, because most tasks have none.
  private final class OutputState {
    var collected = TaskOutput()
    var streams: [AsyncStream<TaskOutput.Event>.Continuation] = []
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
  }

  init(
    _ number: TaskNumber, shareOf original: TaskNumber? = nil, cost: Int, engine: RegisteredEngine?, label: String?,
    queue: SubmissionQueue,
    listener: (any TaskListener)? = nil, awaitsOutput: Bool = false, observer: (@Sendable (TaskOutcome) -> Void)? = nil
  ) {
    self.number = number
    self.original = original
    self.cost = cost
    self.engine = engine
    self.label = label
    self.queue = queue
    self.listener = listener
    self.awaitsOutput = awaitsOutput
    state = Mutex(State(observer: observer))
  }

  /// The id of the request on the wire: what dependencies, the task database and other clients know it by.
  public var id: MessageID {
    guard let original else { return queue.ids.id(of: number) }
    return MessageID("\(queue.ids.id(of: original))_\(engine?.uuid.text ?? "")")
  }

  public var status: Status {
    switch state.withLock({ $0.outcome }) {
    case nil: .outstanding
    case .success?: .succeeded
    case .failure?: .failed
    }
  }

  /// How it ended, without waiting; `nil` while it is outstanding.
  public var result: Result<TaskReply, any Error>? { state.withLock { $0.outcome } }

  // MARK: the reply

  /// The reply, as soon as it is there. If the Swift task that waits is cancelled, and nobody else waits, the remote task is aborted.
  public var reply: TaskReply {
    get async throws { try await wait(nil) }
  }

  /// As `reply`, for at most so long.
  /// - Throws: `ClientError.Code.timeout`; the task goes on, and can be waited for again.
  public func reply(within timeout: Duration) async throws -> TaskReply { try await wait(timeout) }

  private func wait(_ timeout: Duration?) async throws -> TaskReply {
    let (outcome, id) = state.withLock { state in
      state.lastWaiter += 1
      return (state.outcome, state.lastWaiter)
    }
    if let outcome { return try outcome.get() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let outcome = state.withLock { state in
          if state.outcome == nil { state.waiters.append(Waiter(id: id, continuation: continuation)) }
          return state.outcome
        }
        if let outcome { return continuation.resume(with: outcome) }
        // Cancelled before the waiter was there: the handler found nobody.
        if Task.isCancelled { abandon(id, aborts: true, CancellationError()) } else if let timeout { setTimer(id, timeout) }
      }
    } onCancel: {
      abandon(id, aborts: true, CancellationError())
    }
  }

  private func setTimer(_ id: Int, _ timeout: Duration) {
    let task = self.id
    queue.schedule(after: timeout) { [weak self] in
      self?.abandon(
        id, aborts: false,
        ClientError(.timeout, "task \(task) was not done after \(timeout)", advice: "It goes on: wait again, or cancel it."))
    }
  }

  private func abandon(_ id: Int, aborts: Bool, _ error: any Error) {
    let (waiter, isLast) = state.withLock { state -> (Waiter?, Bool) in
      guard let index = state.waiters.firstIndex(where: { $0.id == id }) else { return (nil, false) }
      return (state.waiters.remove(at: index), state.waiters.isEmpty)
    }
    guard let waiter else { return }
    waiter.continuation.resume(throwing: error)
    if aborts, isLast { cancel() }
  }

  /// Asks for the task to be ended, without waiting. One that has not begun ends with a `RemoteError` that `isAborted`; one that runs is
  /// interrupted, in Python by a `KeyboardInterrupt`, and ends as it does then. (Engines of ipyparallel let it run.)
  /// - Parameter killAfter: what still runs so long after that ends with its engine's process, which starts anew.
  public func cancel(killAfter: Duration? = nil) {
    guard status == .outstanding else { return }
    queue.post(.abort(number, Cancellation(killAfter: killAfter)))
  }

  /// Whether it has ended, also where a listener is told.
  var hasEnded: Bool { isFinished.load(ordering: .relaxed) }

  /// Called once, on the client's loop.
  func finish(_ ending: TaskEnding) {
    isFinished.store(true, ordering: .relaxed)
    if let listener {
      if case .reply(let reply) = ending, reply.outputCount > 0 { hasOutput.store(true, ordering: .relaxed) }
      return listener.ended(number, ending)
    }
    let outcome = ending.outcome
    let (waiters, observer) = state.withLock { state in
      guard state.outcome == nil else { return ([Waiter](), nil as (@Sendable (TaskOutcome) -> Void)?) }
      state.outcome = outcome
      defer {
        state.waiters = []
        state.observer = nil
      }
      return (state.waiters, state.observer)
    }
    for waiter in waiters { waiter.continuation.resume(with: outcome) }
    observer?(outcome)
  }

  // MARK: output

  /// What has come so far; all of it after `completeOutput()`.
  public var output: TaskOutput { state.withLock { $0.output?.collected ?? TaskOutput() } }

  /// All output: waits until the task is done and nothing more can come.
  public func completeOutput() async -> TaskOutput {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isDone = state.withLock { state in
          if !state.isOutputComplete { Self.outputState(&state).waiters[id] = continuation }
          return state.isOutputComplete
        }
        if isDone { continuation.resume() } else if Task.isCancelled { abandonOutput(id) }
      }
    } onCancel: {
      abandonOutput(id)
    }
    return output
  }

  private func abandonOutput(_ id: Int) { state.withLock { $0.output?.waiters.removeValue(forKey: id) }?.resume() }

  /// Output as it comes, from the beginning; ends when it is complete.
  public var outputEvents: AsyncStream<TaskOutput.Event> {
    AsyncStream { continuation in
      state.withLock { state in
        let output = Self.outputState(&state)
        for event in output.collected.events { continuation.yield(event) }
        if state.isOutputComplete { continuation.finish() } else { output.streams.append(continuation) }
      }
    }
  }

  private static func outputState(_ state: inout State) -> OutputState {
    if let output = state.output { return output }
    let output = OutputState()
    state.output = output
    return output
  }

  func deliver(_ event: TaskOutput.Event, limit: Int) {
    state.withLock { state in
      let output = Self.outputState(&state)
      if output.collected.append(event, limit: limit) { for stream in output.streams { stream.yield(event) } }
    }
  }

  func finishOutput() {
    if let listener {
      if awaitsOutput || hasOutput.load(ordering: .relaxed) { listener.outputEnded(number) }
      return
    }
    state.withLock { state in
      state.isOutputComplete = true
      guard let output = state.output else { return }
      for stream in output.streams { stream.finish() }
      for waiter in output.waiters.values { waiter.resume() }
      output.streams = []
      output.waiters = [:]
    }
  }
}
