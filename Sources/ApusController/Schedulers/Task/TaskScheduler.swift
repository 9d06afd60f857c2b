import ApusMessaging
import Logging
import Transport

/// The task scheduler: load-balanced requests from clients, placed on engines by `TaskSchedulerState`.
actor TaskScheduler: DeliversLater {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  // Isolation is what keeps accesses apart here; checking each of them again at run time took a few percent of all work.
  @exclusivity(unchecked) var state: TaskSchedulerState
  @exclusivity(unchecked) var wire: TaskSchedulerSockets
  @exclusivity(unchecked) private var requests = TaskRequestReader()
  /// The most that the queue has held since memory was given back.
  private var mostHeld = 0
  /// Bytes of queued messages above which clients' messages stay in their sockets.
  private let byteLimit: Int
  /// Watches the clients' socket; none before the start and while the queue is full.
  private var reader: EventLoop.ReaderID?
  private(set) var isPaused = false
  /// It was said that the queue is full.
  private var wasFull = false
  /// Engines need not keep these replies any longer.
  private(set) var tellEngine: (@Sendable (EngineUUID, [MessageID]) -> Void)?
  private var deadline: (instant: ContinuousClock.Instant, timer: EventLoop.TimerID)?
  var deliveryTimer: EventLoop.TimerID?
  /// Clients that have come back, and are not answered yet; and for how many turns.
  var resumptions: [Envelope] = []
  var turnsBeforeResuming = 0
  /// The clients' socket is read again for them, whatever the loop knows of it.
  private var readsForResumptions = false
  /// Engines of which the hub is to hear that they have been drained.
  private var draining: [EngineUUID: @Sendable () -> Void] = [:]
  let logger: Logger

  /// Messages taken from a socket before others get their turn.
  static let batch = 256
  private static let largeQueue = 64 << 20
  /// Between two looks for replies that have left.
  private static let departureInterval = Duration.milliseconds(5)

  init(loop: EventLoop, state: TaskSchedulerState, wire: consuming TaskSchedulerSockets, byteLimit: Int, logger: Logger) {
    self.loop = loop
    self.state = state
    self.wire = wire
    self.byteLimit = byteLimit
    self.logger = logger
  }

  /// - Parameter tellEngine: that these replies are written; on the loop.
  func onWritten(_ tellEngine: @escaping @Sendable (EngineUUID, [MessageID]) -> Void) { self.tellEngine = tellEngine }

  /// On the loop.
  func start() {
    watchFront()
    if wire.notesDepartures {
      wire.departed.onFirst { [weak self, loop] in
        loop.execute { [weak self] in self?.assumeIsolated { $0.noteDepartedLater() } }
      }
    }
    loop.whenReadable(wire.back.socket) { [unowned self] in self.assumeIsolated { $0.backIsReadable() } }
    wire.lines?.serve(
      LocalSocket.Lane.task, hops: [TaskSchedulerSockets.hop],
      LocalLines.Party(
        lane: .tasks,
        fromClient: { [unowned self] frames in self.assumeIsolated { $0.readRequests(frames, now: .now, byLine: true) } },
        fromEngine: { [unowned self] frames in self.assumeIsolated { $0.readReplies(frames, now: .now) } },
        turnEnds: { [unowned self] in self.assumeIsolated { $0.afterEvents() } }))
  }

  /// Not for each alone.
  private func noteDepartedLater() {
    loop.schedule(after: Self.departureInterval) { [unowned self] in self.assumeIsolated { $0.noteDeparted() } }
  }

  private func noteDeparted() {
    let (ids, isToBeContinued) = wire.noteDeparted()
    if isToBeContinued { noteDepartedLater() }
    guard !ids.isEmpty else { return }
    state.delivered(ids)
    afterEvents()
  }

  private func watchFront() {
    reader = loop.whenReadable(wire.front.socket) { [unowned self] in self.assumeIsolated { $0.frontIsReadable() } }
  }

  // MARK: the hub's calls

  /// - Parameters:
  ///   - takesBatches: it is one of Apus's own.
  ///   - running: tasks that an engine runs that comes back, and how many times each had come back before.
  ///   - wasCutOff: its connections broke before that.
  ///   - isOfBefore: it was another controller's.
  func engineRegistered(
    _ uuid: EngineUUID, takesBatches: Bool, running: [MessageID: Int] = [:], resources: [String: Double] = [:],
    wasCutOff: Bool = false, isOfBefore: Bool = false
  ) {
    wire.engineRegistered(uuid, takesBatches: takesBatches)
    state.engineRegistered(
      uuid, running: running, accounts: takesBatches, resources: resources, wasCutOff: wasCutOff, isOfBefore: isOfBefore,
      now: .now, effects: &wire)
    afterEvents()
  }

  func engineLost(_ uuid: EngineUUID, cause: EngineLoss, grace: Duration) {
    wire.engineLost(uuid)
    draining[uuid] = nil
    state.engineLost(uuid, cause: cause, grace: grace, now: .now, effects: &wire)
    afterEvents()
  }

  /// - Parameter done: called when it gets nothing more, and what it has is known: one that has nothing to do may be told to end.
  func drain(_ uuid: EngineUUID, done: @escaping @Sendable () -> Void) {
    state.drain(uuid, now: .now, effects: &wire)
    draining[uuid] = done
    afterEvents()
  }

  private func tellDrained() {
    for (uuid, done) in draining where !state.awaitsAccount(of: uuid) {
      draining[uuid] = nil
      done()
    }
  }

  /// A task that the hub submits in the name of the client that first did.
  func resubmit(_ message: Envelope) {
    submit(message.routed(to: [ReturningClients.nobody]), now: .now)
    afterEvents()
  }

  func abort(_ ids: [MessageID]) {
    state.abort(ids, now: .now, effects: &wire)
    afterEvents()
  }

  // MARK: sockets

  private func frontIsReadable() {
    let now = ContinuousClock.now
    var isDrained = false
    for _ in 0..<Self.batch {
      do {
        guard let frames = try wire.front.socket.receive() else {
          isDrained = true
          break
        }
        readRequests(consume frames, now: now)
      } catch {
        wire.rejections.note("\(error)")
        break
      }
    }
    answerResumptions(isDrained: isDrained)
    afterEvents()
    readOnForResumptions()
  }

  /// A socket that was emptied by the last message of a turn has nothing to tell, and nobody would look at it again.
  private func readOnForResumptions() {
    guard !resumptions.isEmpty, !readsForResumptions, reader != nil else { return }
    readsForResumptions = true
    loop.execute { [weak self] in
      self?.assumeIsolated {
        $0.readsForResumptions = false
        if $0.reader != nil, !$0.resumptions.isEmpty { $0.frontIsReadable() }
      }
    }
  }

  /// - Parameter frames: one message, or a batch.
  private func readRequests(_ frames: consuming [Frame], now: ContinuousClock.Instant, byLine: Bool = false) {
    if MessageBatch.isBatch(frames, identities: 1) {
      let client = frames[0]
      var batch = openBatch(consume frames, .clientToScheduler)
      // Only now: somebody without the key says nothing of a client.
      if batch != nil {
        wire.clientTakesBatches(client)
        if !wire.returning.isEmpty { hear(nil, under: client) }
      }
      while let message = next(of: &batch) { submit(consume message, now: now) }
    } else if let message = open(consume frames, identities: 1, .request(.task)) {
      if !wire.returning.isEmpty { hear(message) }
      submit(consume message, now: now, byLine: byLine)
    }
  }

  /// - Parameter message: the only reference to it, so that it can let go of frames that others have too.
  private func submit(_ message: consuming Envelope, now: ContinuousClock.Instant, byLine: Bool = false) {
    guard let id = message.messageID else { return wire.rejections.note("a header without msg_id") }
    do throws(RemoteError) {
      // Anything else would take an engine's place until it answers, and it may never do.
      guard let type = message.messageType, type == .applyRequest || type == .executeRequest else {
        if message.messageType == .resumeRequest { return byLine ? resume(message) : resumptions.append(message) }
        throw RemoteError(
          name: "NotImplementedError",
          value:
            "the task queue takes apply_request and execute_request, not \(message.messageType?.text ?? "a message without a type")"
        )
      }
      state.submit(try requests.read(&message, id: id), now: now, effects: &wire)
    } catch {
      // Metadata that asks for nonsense: the client learns what is wrong with it.
      state.refuse(message, id: id, error, effects: &wire)
      // Others may have waited for what becomes of it.
      state.submitDeferred(now: now, effects: &wire)
    }
  }

  private func backIsReadable() {
    let now = ContinuousClock.now
    for _ in 0..<Self.batch {
      do {
        guard let frames = try wire.back.socket.receive() else { break }
        readReplies(consume frames, now: now)
      } catch {
        wire.rejections.note("\(error)")
        break
      }
    }
    afterEvents()
  }

  /// - Parameter frames: one message, or a batch.
  private func readReplies(_ frames: consuming [Frame], now: ContinuousClock.Instant) {
    if MessageBatch.isBatch(frames, identities: 1) {
      var batch = openBatch(consume frames, .engineToScheduler)
      while let message = next(of: &batch) { complete(message, now: now) }
    } else if let message = open(consume frames, identities: 2, .reply(.task)) {
      complete(message, now: now)
    }
  }

  private func complete(_ message: Envelope, now: ContinuousClock.Instant) {
    guard message.identities.count >= 2, let result = TaskReply(message) else {
      if message.messageType == .tasksHeld { return account(message, now: now) }
      return wire.rejections.note("a reply that names no request")
    }
    state.completed(result, by: wire.back.uuid(of: message.frames[0]), now: now, effects: &wire)
  }

  private func openBatch(_ frames: consuming [Frame], _ scope: MessageScope) -> MessageBatchReader? {
    do throws(Session.Rejection) { return try wire.session.openBatch(frames, scope) } catch {
      wire.rejections.note(error.rawValue)
      return nil
    }
  }

  private func next(of batch: inout MessageBatchReader?) -> Envelope? {
    do throws(MessageError) { return try batch?.next() } catch {
      wire.rejections.note(error.reason)
      return nil
    }
  }

  /// - Returns: `nil` for what is no message, or not one of this cluster's.
  private func open(_ frames: consuming [Frame], identities: Int, _ scope: MessageScope) -> Envelope? {
    do throws(Session.Rejection) {
      let envelope = try wire.session.open(frames, sealedFor: scope)
      if envelope.identities.count >= identities { return envelope }
      wire.rejections.note("an identity is missing")
    } catch { wire.rejections.note(error.rawValue) }
    return nil
  }

  // MARK: after each turn

  func afterEvents() {
    wire.deliver()
    if !draining.isEmpty { tellDrained() }
    armDeadline()
    deliverLater()
    let held = state.heldBytes
    if held > mostHeld { mostHeld = held }
    if held == 0, mostHeld > Self.largeQueue {
      // What a long queue took is given back to the system, which the allocator would not do by itself.
      mostHeld = 0
      FreedMemory.release()
    }
    let isJournalBehind = wire.isJournalBehind
    if let paused = reader, held > byteLimit || isJournalBehind {
      loop.forget(paused)
      reader = nil
      isPaused = true
      wire.lines?.pauseTasks(true)
      if held > byteLimit {
        wasFull = true
        logger.warning("the queue is full: clients wait", metadata: ["bytes": "\(held)", "limit": "\(byteLimit)"])
      } else {
        logger.info("the journal's disk is slower than the tasks: clients wait")
      }
    } else if isPaused, !isJournalBehind, held < byteLimit - byteLimit / 10 {
      isPaused = false
      watchFront()
      readOnForResumptions()
      wire.lines?.pauseTasks(false)
      if wasFull { logger.warning("the queue has room again", metadata: ["bytes": "\(held)"]) }
      wasFull = false
    }
    state.noteClients(wait: isPaused, byteLimit: byteLimit)
  }

  var hasWaiting: Bool { wire.back.hasWaiting || wire.front.hasWaiting }

  func deliverWaiting() {
    wire.back.deliverWaiting()
    wire.front.deliverWaiting()
    afterEvents()
  }

  private func armDeadline() {
    guard let next = state.nextDeadline else { return }
    if let deadline {
      if deadline.instant <= next { return }
      loop.cancel(deadline.timer)
    }
    let timer = loop.schedule(at: next) { [unowned self] in
      self.assumeIsolated {
        $0.deadline = nil
        $0.state.expire(now: .now, effects: &$0.wire)
        $0.afterEvents()
      }
    }
    deadline = (next, timer)
  }
}
