public import ApusMessaging
import Glibc
import Transport

/// The engine's shell: the requests that run one after another on the kernel's own thread.
///
/// Not an actor: it belongs to the thread that runs the user's code (Python's main thread, where signals arrive), which waits here without the
/// interpreter's lock. Not thread safe; only `Engine` talks to it from elsewhere, through the mailbox.
public final class Shell {
  public enum Event {
    case request(ShellRequest)
    /// A signal arrived, or `Engine.nudgeKernel` was called: the interpreter may have something to do.
    case interrupted
    case timedOut
    /// The engine ends with this code.
    case stopped(Int32)
  }

  private struct Running {
    let request: ShellRequest
    let started: Timestamp
    let limits: TaskLimits?
  }

  let engine: Engine
  private let mailbox: ShellMailbox
  private let publisher: OutputPublisher
  private let engineSession: EngineSession
  private let replies: HeldReplies
  // One thread uses all of this; checking each access again at run time took a few percent of all work.
  @exclusivity(unchecked) private var socket: HandedSocket?
  /// To the controller, if that is on this host: messages of all schedulers come this way, with the name of theirs in front.
  @exclusivity(unchecked) private var local: LocalSocket?
  @exclusivity(unchecked) private var isLocalNext = false
  /// The controller has taken the line: before its first message by it, what is sent there may go to nobody, and nothing is.
  @exclusivity(unchecked) private var hasHeardLine = false
  /// Messages can go by all connections of the socket.
  @exclusivity(unchecked) private var isConnected = false
  /// The controller is another one, and has not been told what this engine has.
  @exclusivity(unchecked) private var owesAccount = false
  @exclusivity(unchecked) private var owedSince: ContinuousClock.Instant?
  /// The debt at the end of whose patience the owner of the descriptors is woken.
  @exclusivity(unchecked) private var wokenFor: ContinuousClock.Instant?
  /// By which way it was told. Whoever is at the end of that way next may be another one, or has not got what was on its way: he is told as well.
  /// Twice the same does no harm.
  @exclusivity(unchecked) private var accountedBy: Way?
  private enum Way { case socket, line }
  /// Verifies what comes in; replies are signed by `engineSession`.
  @exclusivity(unchecked) private var session: Session
  @exclusivity(unchecked) private var rejections = RejectionLog()
  /// Read from the socket while looking for what to abort, not yet run.
  @exclusivity(unchecked) private var waiting: [ShellRequest] = []
  @exclusivity(unchecked) private var firstWaiting = 0
  @exclusivity(unchecked) private var running: Running?
  @exclusivity(unchecked) private var endings = ReplyMetadataWriter()
  @exclusivity(unchecked) private var lastLimits: (metadata: Frame, limits: TaskLimits?) = (.emptyObject, nil)
  @exclusivity(unchecked) private var exitCode: Int32?
  @exclusivity(unchecked) private var isNudged = false

  public init(engine: Engine) {
    self.engine = engine
    mailbox = engine.mailbox
    publisher = engine.publisher
    engineSession = engine.engineSession
    replies = engine.replies
    session = Session(id: SessionID(engine.configuration.uuid.text), key: engine.configuration.key)
  }

  // MARK: waiting

  /// Waits for the answer to the first registration.
  /// - Returns: `nil` after a signal, so that its handler may run; call again.
  public func waitForRegistration() throws(EngineError) -> EngineID? {
    while true {
      if mailbox.hasNews {
        mailbox.acknowledge()
        if let outcome = mailbox.read({ $0.outcome }) {
          switch outcome {
          case .success(let id):
            // The socket came with the answer.
            readMailbox()
            return id
          case .failure(let error): throw error
          }
        }
        if let code = mailbox.read({ $0.exitCode }) {
          throw EngineError(.registrationRefused, "The engine was stopped (\(code)) before it was registered")
        }
        let isNudged = mailbox.read { contents in
          defer { contents.isNudged = false }
          return contents.isNudged
        }
        if isNudged { return nil }
      }
      var item = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
      if poll(&item, 1, -1) < 0, errno == EINTR { return nil }
    }
  }

  /// The next request for the kernel. What it does not need to see (aborted and damaged requests) is dealt with here.
  /// - Parameter milliseconds: to wait at most; -1 is for ever, 0 only looks.
  public func next(milliseconds: Int) -> Event {
    if running != nil { abandon() }
    while true {
      if mailbox.hasNews { readMailbox() }
      if owesAccount {
        // Its welcome may be behind requests that wait.
        if !hasHeardLine { readAll() }
        account()
      }
      let left = patienceForAccount
      if let exitCode, left == nil { return .stopped(exitCode) }
      if isNudged {
        isNudged = false
        return .interrupted
      }
      do {
        if let left {
          let isWithin = milliseconds < 0 || left <= milliseconds
          if try wait(isWithin ? left : milliseconds) { continue }
          if !isWithin {
            wakeLater(left)
            return .timedOut
          }
          if exitCode != nil { continue }
        }
        if let request = takeControlRequest() ?? takeWaiting() {
          if begin(request) { return .request(request) }
          continue
        }
        if let (frames, isLocal) = try receive() {
          open(frames, isLocal: isLocal)
          continue
        }
        guard try wait(milliseconds) else { return .timedOut }
      } catch {
        if error.isInterrupted { return .interrupted }
        EngineLog.log(.error, "The shell socket failed: \(error)")
        return .stopped(1)
      }
    }
  }

  private func receive() throws(ZeroMQError) -> (frames: [Frame], isLocal: Bool)? {
    replies.flush()
    // They take turns: neither keeps the other waiting.
    isLocalNext.toggle()
    if isLocalNext, let frames = receiveLocal() { return (frames, true) }
    if let frames = try socket?.socket.receive() { return (frames, false) }
    return isLocalNext ? nil : receiveLocal().map { ($0, true) }
  }

  private func receiveLocal() -> [Frame]? {
    guard let local else { return nil }
    switch local.receive() {
    case .message(let frames):
      if !hasHeardLine {
        hasHeardLine = true
        replies.use(socket, local)
      }
      return frames
    case .closed:
      // Before the first message it was not wanted, and nothing is lost.
      if hasHeardLine { engine.lineEnded(local) }
      self.local = nil
      hasHeardLine = false
      replies.use(socket, nil)
      return nil
    case .nothing: return nil
    }
  }

  private func wait(_ milliseconds: Int) throws(ZeroMQError) -> Bool {
    if let ready = try socket?.socket.waitReadable(or: mailbox.descriptor, local?.descriptor ?? -1, milliseconds: milliseconds) {
      return ready
    }
    var item = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
    let ready = poll(&item, 1, Int32(clamping: milliseconds))
    if ready < 0 { throw ZeroMQError(code: errno, action: "poll") }
    return ready > 0
  }

  /// For other event loops: readable when `next(milliseconds: 0)` may have something. Drain it each time.
  public var pollDescriptors: [Int32] {
    [socket?.socket.pollDescriptor ?? -1, mailbox.descriptor, local?.descriptor ?? -1].filter { $0 >= 0 }
  }

  /// Milliseconds for which a request that is here lets the account go first, or the end does: the line is welcomed within some of them, and connections
  /// find their way within a quarter of a second. This request's reply, and all that the controller before has not taken, would wait for the next one as
  /// long as that takes; and after the end nobody would give them.
  private var patienceForAccount: Int? {
    guard owesAccount, let owedSince, exitCode == nil ? firstWaiting < waiting.count : replies.hasUnconfirmed else { return nil }
    let left = Self.longestPatience - (ContinuousClock.now - owedSince)
    guard left > .zero else { return nil }
    return Int(left / .milliseconds(1)) + 1
  }

  /// Whoever does not wait here looks at the descriptors, and what is here already makes none of them readable.
  private func wakeLater(_ milliseconds: Int) {
    guard wokenFor != owedSince else { return }
    wokenFor = owedSince
    engine.wakeShell(after: .milliseconds(milliseconds))
  }

  private static let longestPatience = Duration.milliseconds(300)

  private func readMailbox() {
    mailbox.acknowledge()
    let isNewDebt = mailbox.read { contents in
      defer { contents.owesAccount = false }
      return contents.owesAccount
    }
    if isNewDebt { (owesAccount, owedSince, accountedBy) = (true, .now, nil) }
    if let (fresh, freshLocal) = takeSockets() {
      replies.use(fresh, nil, ofAnother: isNewDebt)
      (socket, local) = (fresh, freshLocal)
      lineHasChanged()
    } else if let renewed = mailbox.read({ contents -> LocalSocket?? in
      defer { contents.renewsLine = false }
      return contents.renewsLine ? .some(contents.local.take()) : nil
    }) {
      // Reading sends what waits, and libzmq may have connected the socket to the other controller by now.
      if isNewDebt { replies.forgetWaiting() }
      // What the line before has brought is done, whoever asked for it.
      readAll()
      replies.use(socket, nil, ofAnother: isNewDebt)
      local = renewed
      lineHasChanged()
    }
    if let isConnected = mailbox.read({ $0.isConnected.take() }) {
      self.isConnected = isConnected
      if isConnected, accountedBy == .socket { owesAccount = true }
    }
    if let key = mailbox.read({ $0.key.take() }) { session = Session(id: SessionID(engineSession.uuid.text), key: key) }
    exitCode = mailbox.read { $0.exitCode }
    isNudged = mailbox.read { contents in
      defer { contents.isNudged = false }
      return contents.isNudged
    }
    if let moment = mailbox.read({ $0.aborts.takeEverything() }) { abortQueued { ($0.date ?? moment) <= moment } }
  }

  private func lineHasChanged() {
    hasHeardLine = false
    if accountedBy == .line { (owesAccount, owedSince) = (true, .now) }
  }

  /// By the line when the controller has taken it, and by the socket when its connections have found their way, however long the controller takes to
  /// come. While nothing runs: that would be neither answered nor waiting.
  private func account() {
    guard hasHeardLine || isConnected else { return }
    owesAccount = false
    readAll()
    accountedBy = hasHeardLine ? .line : .socket
    replies.account(waiting: waiting[firstWaiting...].filter(\.isBalanced).map { ($0.id, $0.envelope.metadataFrame) })
  }

  private func takeSockets() -> (HandedSocket, LocalSocket?)? {
    mailbox.read { contents in
      guard let fresh = contents.socket.take() else { return nil }
      // The line that is there is the latest.
      contents.renewsLine = false
      return (fresh, contents.local.take())
    }
  }

  private func takeControlRequest() -> ShellRequest? { mailbox.read { $0.requests.isEmpty ? nil : $0.requests.removeFirst() } }

  private func takeWaiting() -> ShellRequest? {
    guard firstWaiting < waiting.count else { return nil }
    defer {
      firstWaiting += 1
      if firstWaiting == waiting.count {
        waiting.removeAll()
        firstWaiting = 0
      }
    }
    return waiting[firstWaiting]
  }

  /// What is in it waits its turn.
  /// - Parameter isLocal: nobody but the controller can have put buffers into its line: they need not be looked at.
  private func open(_ frames: [Frame], isLocal: Bool) {
    if isLocal, isWelcome(frames) { return }
    do {
      if MessageBatch.isBatch(frames, identities: 1) {
        var batch = try session.openBatch(frames, .schedulerToEngine)
        while let envelope = try batch.next() {
          do { waiting.append(try ShellRequest(envelope, origin: .shell, isInBatch: true)) } catch { reject("\(error)") }
        }
      } else {
        let scope = frames.first.flatMap { Self.channel(of: $0) }.map { MessageScope.request($0) }
        waiting.append(try ShellRequest(try session.open(frames, sealedFor: scope, readsBuffers: !isLocal), origin: .shell))
      }
    } catch let error as Session.Rejection {
      reject(error.rawValue)
    } catch {
      reject("\(error)")
    }
  }

  /// The controller's answer to the greeting. Who it is does not matter: nobody else can have put something into the line.
  private func isWelcome(_ frames: [Frame]) -> Bool {
    frames.first == .delimiter && Envelope(frames)?.messageType == LocalSocket.welcome
  }

  /// Which of the controller's sockets an identity belongs to (protocol section 3).
  static func channel(of identity: Frame) -> MessageScope.Channel? {
    if identity == schedulerIdentity { return .task }
    if identity == muxIdentity { return .mux }
    return identity.text.hasPrefix("sub_scheduler_") ? .broadcast : nil
  }

  private static let schedulerIdentity = Frame("task_out")
  private static let muxIdentity = Frame("mux_out")

  private func reject(_ reason: String) {
    if let count = rejections.dropped(reason) { EngineLog.dropped(count, on: "shell", reason) }
  }

  // MARK: aborting

  private func readAll() { while let (frames, isLocal) = (try? receive()) ?? nil { open(frames, isLocal: isLocal) } }

  /// Answers `aborted` to everything queued that matches; the rest waits in its order.
  private func abortQueued(_ matches: (ShellRequest) -> Bool) {
    readAll()
    let queue = waiting[firstWaiting...]
    firstWaiting = 0
    waiting = []
    for request in queue {
      if matches(request) { answerAborted(request) } else { waiting.append(request) }
    }
  }

  /// After a failed execution that asked for it: the code cells that were sent behind it do not run.
  public func abortQueuedExecutions() { abortQueued { $0.type == .executeRequest } }

  private func answerAborted(_ request: ShellRequest) {
    publisher.status(.busy, parent: request.envelope.headerFrame)
    let metadata = ReplyMetadata(started: .now(), status: .aborted, uuid: engineSession.uuid, id: engine.publishedID)
    send(
      engineSession.message(
        request.type.reply, content: Frame(["status": "aborted"]), parent: request.envelope.headerFrame,
        metadata: metadata.frame(answering: request.envelope.metadataFrame), identities: request.identities,
        forBatch: request.isBatched, sealedFor: request.replyScope), for: request)
    publisher.status(.idle, parent: request.envelope.headerFrame)
  }

  // MARK: one request

  /// - Returns: false if it was answered already.
  private func begin(_ request: ShellRequest) -> Bool {
    var limits: TaskLimits?
    if request.origin == .shell {
      limits = self.limits(of: request)
      let limit = limits.flatMap { limits in limits.timeLimit.map { (ContinuousClock.now + $0, limits) } }
      let isAborted = mailbox.read { contents -> Bool in
        if contents.aborts.takes(request.id) { return true }
        contents.running = request.id
        if request.isBalanced { contents.lastBalanced = request.id }
        contents.runningMetadata = request.envelope.metadataFrame
        contents.request = request
        contents.run += 1
        contents.limit = limit
        return false
      }
      if isAborted {
        answerAborted(request)
        return false
      }
      if limit != nil { engine.watchLimit() }
    }
    EngineLog.log(.debug, "Handling \(request.type): \(request.id)")
    running = Running(request: request, started: .now(), limits: limits)
    let parent = request.envelope.headerFrame
    publisher.begin(parent)
    // That a call begins, nobody waits for; ipyparallel's client would read it in the time of a fifth of a task, before the results behind it.
    if request.type != .applyRequest { publisher.status(.busy, parent: parent) }
    return true
  }

  /// The tasks of one program have the same few metadata.
  private func limits(of request: ShellRequest) -> TaskLimits? {
    let metadata = request.envelope.metadataFrame
    if metadata != lastLimits.metadata { lastLimits = (metadata, TaskLimits(metadata)) }
    return lastLimits.limits
  }

  /// - Parameter isOverdue: set if its time was over.
  private func takeRunning(_ isOverdue: inout Bool) -> Running? {
    if let running, running.request.origin == .shell {
      let isEnded: Bool
      (isOverdue, isEnded) = mailbox.read { contents in
        defer {
          contents.running = nil
          contents.request = nil
        }
        return (contents.overdueRun == contents.run, contents.endedRun == contents.run)
      }
      // It was answered, and the process is about to end: whatever is said now would be a second answer.
      if isEnded { while true { _ = pause() } }
    }
    return running.take()
  }

  /// The task's error as that of one that had no more time.
  private func overdue(_ outcome: Outcome, _ limits: TaskLimits?) -> Outcome {
    guard let limit = limits?.timeLimit, var content = (try? outcome.content.json())?.objectValue else { return outcome }
    let was = content["ename"]?.stringValue ?? "an error"
    content["ename"] = "TaskTimeout"
    content["evalue"] = .string(
      "the task ran longer than its time limit of \(limit / .seconds(1)) s and was interrupted (by \(was))")
    var changed = outcome
    changed.content = Frame(.object(content))
    changed.errorName = "TaskTimeout"
    return changed
  }

  /// Sends the answer to the request that `next` returned last, after its output.
  public func reply(_ outcome: Outcome) {
    var isOverdue = false
    guard let running = takeRunning(&isOverdue) else { return }
    let outcome = isOverdue && !outcome.succeeded ? overdue(outcome, running.limits) : outcome
    let outputCount = publisher.flush()
    let metadata = ReplyMetadata(
      started: running.started, status: outcome.succeeded ? .ok : .error,
      // The scheduler knows this name only, not its subclasses.
      dependenciesMet: outcome.errorName != "UnmetDependency" && !outcome.isRefusal, isRefusal: outcome.isRefusal,
      codec: outcome.codec, outputCount: outputCount, uuid: engineSession.uuid,
      id: engine.publishedID)
    let request = running.request
    let parent = request.envelope.headerFrame
    send(
      engineSession.message(
        outcome.type, content: outcome.content, parent: parent,
        metadata: endings.frame(metadata, answering: request.envelope.metadataFrame),
        identities: request.identities, buffers: outcome.buffers, forBatch: request.isBatched, sealedFor: request.replyScope),
      for: request)
    publisher.status(.idle, parent: parent, isOptional: request.type == .applyRequest)
  }

  /// Ends a request that wants no answer, such as a comm message.
  public func finishWithoutReply() {
    var isOverdue = false
    guard let running = takeRunning(&isOverdue) else { return }
    publisher.flush()
    publisher.status(.idle, parent: running.request.envelope.headerFrame)
  }

  /// The kernel came back for more without answering: an interrupt hit between the task and its reply. Nobody waits in vain.
  private func abandon() {
    guard let running else { return }
    let error = RemoteError(
      name: "KeyboardInterrupt", value: "interrupted while the reply was made",
      engine: .init(uuid: engineSession.uuid, id: engine.publishedID ?? EngineID(-1), method: "apply"))
    var content = error.content.objectValue ?? JSONObject()
    if running.request.type == .executeRequest { content["execution_count"] = 0 }
    reply(Outcome(type: running.request.type.reply, succeeded: false, content: Frame(.object(content)), errorName: error.name))
  }

  private func send(_ message: Envelope, for request: ShellRequest) {
    switch request.origin {
    case .shell:
      if request.isBatched {
        replies.hold(message, task: request.id, isLast: waiting.isEmpty)
      } else {
        replies.send(message, task: request.isBalanced ? request.id : nil)
      }
    case .control: engine.sendControl(message)
    }
  }

  /// Binds the socket on a free loopback port; returns its endpoint.
  func bind() throws(ZeroMQError) -> String { try replies.bind("tcp://127.0.0.1:*") }

  /// Closes the socket; replies on their way get the linger time of the socket, if anybody is there.
  public func close() {
    replies.use(nil, nil)
    if !engine.isConnected { try? socket?.socket.set(.linger, 0) }
    (socket, local) = (nil, nil)
  }
}
