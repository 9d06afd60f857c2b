import ApusMessaging
import DequeModule
import Glibc
import Transport

/// The shell's socket as far as it sends, and the replies that wait for those of the requests that came in the same batch.
///
/// Nothing waits for a long task: what is older than half a millisecond leaves when the next task ends, and while a task runs the engine's
/// loop sends what waits. So two threads send, each under the mutex, which is the fence that libzmq asks for. The shell's thread
/// sends everything before it receives: the loop finds nothing to send while the socket is being read.
///
/// A controller with a journal is told everything once, and asks for nothing again. So what finds no room in the line, while the socket does not know the
/// way yet, as after a restart, is not dropped: it waits for either. That is for balanced tasks, and for others where there is a line: what they
/// have left where there is none ends with the connection.
final class HeldReplies: Sendable {
  private struct State: Sendable {
    var socket: HandedSocket?
    var local: LocalSocket?
    var batch = MessageBatchWriter()
    /// Where the batch goes: the scheduler.
    var hop = Frame.empty
    var since = ContinuousClock.now
    var isGuarded = false
    /// Replies that the controller has not confirmed; `nil` where it keeps no journal.
    var kept: KeptReplies?
    /// Something was held since the loop last looked.
    var wasUsed = false
    /// What has found no way, in no order.
    var waiting = Deque<Waiting>()
    /// Where that is to go, and what was since nothing waited.
    var hops: Set<Frame> = []
    var waitsForLine: Bool { local != nil && !waiting.isEmpty }
  }

  private struct Waiting: Sendable {
    let frames: [Frame]
    /// The next account brings it as well.
    let isOfAccount: Bool
    /// And not for a frontend, which has no line.
    var isForController: Bool { frames.first.flatMap { Shell.channel(of: $0) } != nil }
  }

  private static let patience = Duration.microseconds(500)

  private let state = Mutex(State())
  private let engineSession: EngineSession
  /// Asks for calls of `timerFired()`, from whichever thread runs then.
  private let requestTimer: @Sendable (HeldReplies) -> Void

  init(engineSession: EngineSession, requestTimer: @escaping @Sendable (HeldReplies) -> Void) {
    self.engineSession = engineSession
    self.requestTimer = requestTimer
  }

  /// On the shell's thread; the loop's timer sends nothing meanwhile.
  func bind(_ endpoint: String) throws(ZeroMQError) -> String {
    let bound = state.withLock { state -> Result<String, ZeroMQError> in
      guard let socket = state.socket else { return .failure(ZeroMQError(code: ENOTCONN, action: "bind the shell socket")) }
      return Result { () throws(ZeroMQError) in try socket.socket.bind(endpoint) }
    }
    return try bound.get()
  }

  /// What waits leaves by the old sockets, or waits for these.
  /// - Parameters:
  ///   - local: that the controller has taken.
  ///   - isAnother: whether it is a controller that has asked for nothing of what waits. What it should know comes with the account.
  func use(_ socket: HandedSocket?, _ local: LocalSocket?, ofAnother isAnother: Bool = false) {
    withLock { state in
      Self.flush(&state, engineSession)
      if isAnother { state.waiting.removeAll() } else { Self.sendWaiting(&state) }
      state.socket = socket
      state.local = local
      Self.sendWaiting(&state)
    }
  }

  /// The controller is another one: as of `use`.
  func forgetWaiting() { state.withLock { $0.waiting.removeAll() } }

  /// As `withLock` of the state. What waits for room in the line is tried again soon.
  private func withLock(_ body: (inout State) -> Void) {
    let mustGuard = state.withLock { state in
      body(&state)
      guard state.wasUsed || state.waitsForLine, !state.isGuarded else { return false }
      state.isGuarded = true
      return true
    }
    if mustGuard { requestTimer(self) }
  }

  // MARK: replies that are kept

  /// Whether the controller has a journal, and confirms the replies that are in it.
  func keepReplies(_ isWanted: Bool) {
    state.withLock { state in
      if isWanted, state.kept == nil { state.kept = KeptReplies() }
      if !isWanted { state.kept = nil }
    }
  }

  /// Whether replies are kept.
  var keepsReplies: Bool { state.withLock { $0.kept != nil } }

  /// Whether there are some that only an account brings to the controller, as far as is known.
  var hasUnconfirmed: Bool { state.withLock { $0.kept.map { $0.count > 0 } ?? false } }

  func confirm(_ ids: [MessageID]) { state.withLock { $0.kept?.confirm(ids) } }

  /// To a controller that took the place of another: what this engine has, then the replies that the other did not confirm.
  /// - Parameter waiting: requests that are here and have not been answered.
  func account(waiting: [(id: MessageID, metadata: Frame)]) {
    withLock { state in
      guard let account = state.kept?.account(waiting: waiting) else { return }
      state.waiting.removeAll(where: \.isOfAccount)
      func object(_ tasks: [(id: MessageID, attempt: Int)]) -> JSONValue {
        .object(JSONObject(members: tasks.map { (key: $0.id.text, value: JSONValue.int($0.attempt)) }))
      }
      let message = engineSession.message(
        .tasksHeld,
        content: Frame([
          "msg_ids": JSONValue(account.ids.map(\.text)), "waiting": object(account.waiting), "failed": object(account.failed),
        ]),
        parent: .emptyObject, metadata: engineSession.engineMetadata, identities: [Frame("task_out"), Frame("controller")],
        sealedFor: .reply(.task))
      Self.sendAlone(message, isOfAccount: true, &state, engineSession)
      for kept in account.replies {
        let reply = engineSession.renewed(kept)
        if let hop = reply.identities.first, reply.identities.count == 2,
          state.batch.append(reply.identities.last, reply.payload)
        {
          state.hop = hop
          if state.batch.isFull { Self.flush(&state, engineSession) }
        } else {
          Self.sendAlone(reply, isOfAccount: true, &state, engineSession)
        }
      }
      Self.flush(&state, engineSession)
    }
  }

  // MARK: sending

  /// Sends it now, behind those that wait.
  /// - Parameter task: the balanced task that it answers.
  func send(_ message: Envelope, task: MessageID? = nil) {
    withLock { state in
      if let task { state.kept?.keep(message, to: task) }
      Self.sendAlone(message, isOfAccount: task != nil, &state, engineSession)
    }
  }

  /// Sends it with the others of its batch, soon.
  /// - Parameter isLast: no request waits, and so it need not.
  func hold(_ message: Envelope, task: MessageID, isLast: Bool) {
    withLock { state in
      guard let hop = message.identities.first else { return }
      if state.hop != hop { Self.flush(&state, engineSession) }
      let isFirst = state.batch.isEmpty
      guard message.identities.count == 2, state.batch.append(message.identities.last, message.payload) else {
        state.kept?.keep(message, to: task)
        return Self.sendAlone(message, isOfAccount: true, &state, engineSession)
      }
      state.kept?.keep(message, to: task, inBatchAt: state.batch.count - 1)
      if isFirst { state.hop = hop }
      if isLast { return Self.flush(&state, engineSession) }
      let now = ContinuousClock.now
      if isFirst {
        state.since = now
      } else if state.batch.isFull || now - state.since > Self.patience {
        return Self.flush(&state, engineSession)
      }
      state.wasUsed = true
    }
  }

  /// On the shell's thread.
  func flush() {
    state.withLock { state in
      Self.flush(&state, engineSession)
      if !state.waiting.isEmpty { Self.sendWaiting(&state) }
    }
  }

  /// On the loop: as `flush`, but what waits goes by the line alone, for the socket may be being read.
  /// - Returns: whether to call again soon; otherwise what is held next asks for that.
  func timerFired() -> Bool {
    state.withLock { state in
      Self.flush(&state, engineSession)
      Self.sendWaiting(&state, byLineAlone: true)
      state.isGuarded = state.wasUsed || state.waitsForLine
      state.wasUsed = false
      return state.isGuarded
    }
  }

  private static func flush(_ state: inout State, _ engineSession: EngineSession) {
    guard !state.batch.isEmpty else { return }
    let frames = [state.hop] + engineSession.sign(&state.batch)
    state.kept?.left(frames)
    send(Waiting(frames: frames, isOfAccount: true), &state)
  }

  /// - Parameter isOfAccount: whether it is one of those that are kept, or says which these are.
  private static func sendAlone(_ message: Envelope, isOfAccount: Bool, _ state: inout State, _ engineSession: EngineSession) {
    flush(&state, engineSession)
    send(Waiting(frames: engineSession.sealed(message), isOfAccount: isOfAccount), &state)
  }

  private static func send(_ message: Waiting, _ state: inout State) {
    // Replies have no order: what finds no room here goes through libzmq.
    if message.isForController, let local = state.local, local.send(message.frames, copying: SharedCopies()) == .sent { return }
    guard !sendBySocket(message, state) else { return }
    if state.waiting.isEmpty { state.hops = [] }
    if let hop = message.frames.first { state.hops.insert(hop) }
    state.waiting.append(message)
  }

  /// - Returns: false if it has to wait.
  private static func sendBySocket(_ message: Waiting, _ state: State) -> Bool {
    let mayWait = state.kept != nil && message.isForController && (message.isOfAccount || state.local != nil)
    guard let socket = state.socket else { return !mayWait }
    do throws(ZeroMQError) {
      do throws(ZeroMQError) { try socket.socket.send(message.frames) } catch {
        guard error.isUnreachable else { throw error }
        // That it has found its way may be for it to take in.
        socket.socket.refresh()
        try socket.socket.send(message.frames)
      }
    } catch {
      if error.isUnreachable { return !mayWait }
      EngineLog.log(.error, "A reply was not sent: \(error)")
    }
    return true
  }

  private static func sendWaiting(_ state: inout State, byLineAlone: Bool = false) {
    var line = state.local
    var unreachable: Set<Frame> = []
    var sent: Set<Int> = []
    for (index, message) in state.waiting.enumerated() {
      // Thousands may wait for a controller to come: they are not asked one by one, before each request.
      if line == nil, byLineAlone || unreachable.count == state.hops.count { break }
      switch line?.send(message.frames, copying: SharedCopies()) {
      case .sent:
        sent.insert(index)
        continue
      case .full, .closed: line = nil
      case .unfit, nil: break
      }
      guard !byLineAlone, let hop = message.frames.first, !unreachable.contains(hop) else { continue }
      if sendBySocket(message, state) { sent.insert(index) } else { unreachable.insert(hop) }
    }
    guard !sent.isEmpty else { return }
    var index = -1
    state.waiting.removeAll { _ in
      index += 1
      return sent.contains(index)
    }
    state.hops = Set(state.waiting.lazy.compactMap(\.frames.first))
  }
}
