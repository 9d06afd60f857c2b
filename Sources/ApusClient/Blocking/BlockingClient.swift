import CZeroMQ
import Glibc
public import ApusMessaging
public import Logging
import Synchronization
public import Transport

/// A client for callers who hold a thread each, as Python's do: it submits without suspending, and tells all that happens by one
/// `CompletionQueue`.
public final class BlockingClient: Sendable {
  /// Where a request goes.
  public enum Route: Sendable {
    /// A query of the hub.
    case hub
    /// The control channels of engines, which answer while a task runs.
    case control([EngineID])
    /// The shells of engines, one message each.
    case direct([EngineID])
    /// An engine that the task scheduler chooses.
    case balanced
    /// One message for many engines; each answers.
    case broadcast([EngineID])
    /// One message for many engines, whose replies come as one.
    case coalescing([EngineID])
  }

  public let completions: CompletionQueue
  let client: Client

  private init(_ client: Client, _ completions: CompletionQueue) {
    self.client = client
    self.completions = completions
  }

  /// Connects, and waits until the hub has told its engines.
  /// - Parameter onSignal: called after a signal; what it throws ends the waiting.
  /// - Throws: `ClientError` as `Client.connect` does.
  public static func connect(
    _ file: ConnectionFile, configuration: ClientConfiguration = ClientConfiguration(),
    logger: Logger = Logger(label: "apus.client"), onSignal: () throws -> Void
  ) throws -> BlockingClient {
    var configuration = configuration
    let completions = CompletionQueue()
    configuration.listener = completions
    let client = try Client(ConnectionSource.connection(file).connectionFile(), configuration: configuration, logger: logger)
    completions.onTurnEnd { [queue = client.queue] in queue.atEndOfTurn($0) }
    client.loop.start()
    client.loop.execute { [connection = client.connection] in connection.assumeIsolated { $0.start() } }
    let blocking = BlockingClient(client, completions)
    let end = ContinuousClock.now + configuration.connectTimeout
    do {
      while !completions.areEnginesKnown {
        switch completions.waitForEngines(until: end) {
        case .timedOut: throw blocking.silence()
        case .interrupted: try onSignal()
        case .events, .over: continue
        }
      }
    } catch {
      blocking.close()
      throw error
    }
    return blocking
  }

  /// Why no answer came.
  private func silence() -> ClientError {
    let answer = Mutex<Bool?>(nil)
    let done = BlockingSignal()
    client.loop.execute { [connection = client.connection] in
      let isReachable = connection.assumeIsolated { $0.isHubReachable }
      answer.withLock { $0 = isReachable }
      done.signal()
    }
    while case .interrupted = done.wait() {}
    return client.silence(isHubReachable: answer.withLock { $0 } ?? false)
  }

  /// Lets go of the controller: what is under way ends with `ClientError.Code.closed`. Does not wait.
  public func close() { client.closeNow() }

  public var sessionID: SessionID { client.queue.ids.session }
  /// The id on the wire of request number `n` is this and `n`.
  public var idPrefix: String { client.queue.ids.prefix }
  public var engines: [RegisteredEngine] { client.engines }
  public var inFlight: (tasks: Int, bytes: Int) { client.inFlight }

  // MARK: requests

  /// - Parameters:
  ///   - isTracked: an event says when the memory of the buffers has been read.
  ///   - timeout: for the answer; `nil` is for ever.
  ///   - unlocked: runs what may wait: a caller may have locks that others need meanwhile.
  ///   - onSignal: called within that after a signal that came while this waited for room.
  /// - Returns: the numbers of the tasks or queries, in the order of the engines; one where there is one answer.
  /// - Throws: `ClientError`: `unknownEngine`, `closed` and what closed it; what `onSignal` throws.
  public func submit(
    _ submission: TaskSubmission, _ route: Route, isTracked: Bool = false, timeout: Duration? = nil,
    unlocked: @escaping Unlocked = { try $0() },
    onSignal: @escaping () throws -> Void
  ) throws -> [Int] {
    let room = Room(unlocked: unlocked, onSignal: onSignal)
    var submission = submission
    let deadline = timeout.map { ContinuousClock.now + $0 }
    var requests: [Request]
    switch route {
    case .hub: requests = [request(submission, client.queue.ids.next(), .hub, cost: 0, deadline)]
    case .control(let ids):
      requests = try self.requests(submission, engines(ids, mayWait: false), cost: 0, deadline) { .control($0) }
    case .balanced: requests = [request(submission, client.queue.ids.next(), .balanced, cost: held(by: submission), deadline)]
    case .direct(let ids):
      requests = try self.requests(submission, engines(ids), cost: held(by: submission), deadline) { .direct($0) }
    case .coalescing(let ids): requests = [broadcast(submission, try engines(ids), isCoalescing: true)]
    case .broadcast(let ids): requests = [broadcast(submission, try engines(ids), isCoalescing: false)]
    }
    let numbers = requests.flatMap { $0.handles.map(\.number) }
    if isTracked, let first = numbers.first {
      track(&submission.buffers, first)
      for index in requests.indices {
        requests[index].buffers = submission.buffers
        requests[index].maySendAgain = false
      }
    }
    switch route {
    case .hub, .control: try client.queue.postNow(requests)
    case .balanced, .direct, .broadcast, .coalescing: try admit(requests, room)
    }
    return numbers.map(\.raw)
  }

  /// A balanced task, as `submit` sends it.
  /// - Returns: its number.
  public func submit(
    _ submission: TaskSubmission, unlocked: @escaping Unlocked = { try $0() }, onSignal: @escaping () throws -> Void
  ) throws -> Int {
    let request = request(submission, client.queue.ids.next(), .balanced, cost: held(by: submission), nil)
    if !(try client.queue.submitNow(request)) { try admit([request], Room(unlocked: unlocked, onSignal: onSignal)) }
    return request.number.raw
  }

  /// Many balanced tasks that differ in their buffers.
  /// - Returns: the number of the first; the others follow it.
  public func submit(
    _ submission: TaskSubmission, buffers: [[Frame]], unlocked: @escaping Unlocked = { try $0() },
    onSignal: @escaping () throws -> Void
  ) throws -> Int {
    let room = Room(unlocked: unlocked, onSignal: onSignal)
    let first = client.queue.ids.next(buffers.count)
    // In parts: a reader of results has something to do while the rest is posted, and a large map fits below the limit.
    var start = 0
    while start < buffers.count {
      let end = min(start + 256, buffers.count)
      try admit(
        (start..<end).map { index in
          var one = submission
          one.buffers = buffers[index]
          return request(one, TaskNumber(raw: first.raw + index), .balanced, cost: held(by: one), nil)
        }, room)
      start = end
    }
    return first.raw
  }

  /// Takes tasks back that have not begun.
  public func abort(_ numbers: [Int], _ cancellation: Cancellation) {
    for number in numbers { client.queue.post(.abort(TaskNumber(raw: number), cancellation)) }
  }

  /// - Parameter mayWait: until they are back.
  private func engines(_ ids: [EngineID], mayWait: Bool = true) throws(ClientError) -> [RegisteredEngine] {
    let all = client.roster.all
    let known = Dictionary((all.present + (mayWait ? all.awaited : [])).map { ($0.id, $0) }) { first, _ in first }
    var engines: [RegisteredEngine] = []
    for id in ids {
      guard let engine = known[id] else { throw ClientError(.unknownEngine, "there is no engine \(id)") }
      engines.append(engine)
    }
    guard !engines.isEmpty else { throw ClientError(.noEngines, "no engine was named") }
    return engines
  }

  private func held(by submission: TaskSubmission) -> Int { submission.cost(isShared: client.queue.sharesMemory) }

  private func request(
    _ submission: TaskSubmission, _ number: TaskNumber, _ route: Request.Route, cost: Int, _ deadline: ContinuousClock.Instant?
  ) -> Request {
    var engine: RegisteredEngine?
    switch route {
    case .control(let target), .direct(let target): engine = target
    case .hub, .balanced, .broadcast, .coalescing: break
    }
    let handle = TaskHandle(
      number, cost: cost, engine: engine, label: nil, queue: client.queue, listener: completions,
      awaitsOutput: submission.awaitsOutput)
    return Request(
      number: number, route: route, type: submission.type, content: submission.content, metadata: submission.metadata,
      buffers: submission.buffers, handles: [handle], awaitsOutput: submission.awaitsOutput, deadline: deadline, cost: cost)
  }

  private func requests(
    _ submission: TaskSubmission, _ engines: [RegisteredEngine], cost: Int, _ deadline: ContinuousClock.Instant?,
    _ route: (RegisteredEngine) -> Request.Route
  ) -> [Request] {
    engines.map { request(submission, client.queue.ids.next(), route($0), cost: cost, deadline) }
  }

  /// The shares' numbers follow that of the whole, which is in the ids of all of them.
  private func broadcast(_ submission: TaskSubmission, _ engines: [RegisteredEngine], isCoalescing: Bool) -> Request {
    let number = client.queue.ids.next(isCoalescing ? 1 : 1 + engines.count)
    let metadata = submission.metadata.joined(with: Client.broadcastMetadata(engines, isCoalescing: isCoalescing))
    let cost = held(by: submission) + metadata.count
    func handle(_ number: TaskNumber, shareOf original: TaskNumber?, _ engine: RegisteredEngine?, _ cost: Int) -> TaskHandle {
      TaskHandle(
        number, shareOf: original, cost: cost, engine: engine, label: nil, queue: client.queue, listener: completions,
        awaitsOutput: submission.awaitsOutput)
    }
    let share = max(1, cost / engines.count)
    let handles =
      isCoalescing
      ? [handle(number, shareOf: nil, nil, cost)]
      : engines.enumerated().map { handle(TaskNumber(raw: number.raw + 1 + $0), shareOf: number, $1, share) }
    return Request(
      number: number, route: isCoalescing ? .coalescing(engines) : .broadcast(engines), type: submission.type,
      content: submission.content, metadata: metadata, buffers: submission.buffers, handles: handles,
      awaitsOutput: submission.awaitsOutput && !isCoalescing, cost: handles.reduce(0) { $0 + $1.cost })
  }

  /// An event for the first number when none of the frames is needed any more.
  private func track(_ frames: inout [Frame], _ number: TaskNumber) {
    if frames.isEmpty { return completions.sent(number) }
    let left = CountDown(frames.count) { [weak completions] in completions?.sent(number) }
    frames = frames.map { $0.watched { left.one() } }
  }

  private final class CountDown: Sendable {
    private let left: Atomic<Int>
    private let action: @Sendable () -> Void
    init(_ count: Int, _ action: @escaping @Sendable () -> Void) {
      left = Atomic(count)
      self.action = action
    }
    func one() { if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { action() } }
  }

  // MARK: room

  /// Runs its argument while the caller's locks are open.
  public typealias Unlocked = (() throws -> Void) throws -> Void

  private struct Room {
    let unlocked: Unlocked
    let onSignal: () throws -> Void
  }

  /// Hands requests over; waits where there is no room for them.
  private func admit(_ requests: [Request], _ room: Room) throws {
    if try client.queue.submitNow(requests) { return }
    try room.unlocked {
      let signal = BlockingSignal()
      while !(try client.queue.submitNow(requests, onRoom: { signal.signal() })) {
        while case .interrupted = signal.wait() { try room.onSignal() }
      }
    }
  }
}

/// Wakes one thread that waits for one thing.
final class BlockingSignal: Sendable {
  private let descriptor = apus_eventfd()
  deinit { Glibc.close(descriptor) }

  func signal() {
    var one: UInt64 = 1
    _ = Glibc.write(descriptor, &one, 8)
  }

  /// - Returns: `.events`, or `.interrupted` after a signal of the system's.
  func wait() -> CompletionQueue.Wait {
    let found = CompletionQueue.poll(descriptor, until: nil)
    if case .events = found {
      var count: UInt64 = 0
      _ = Glibc.read(descriptor, &count, 8)
    }
    return found
  }
}
