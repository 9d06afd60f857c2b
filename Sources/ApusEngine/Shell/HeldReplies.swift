import ApusMessaging
import Glibc
import Transport

/// The shell's socket as far as it sends, and the replies that wait for those of the requests that came in the same batch.
///
/// Nothing waits for a long task: what is older than half a millisecond leaves when the next task ends, and while a task runs the engine's
/// loop sends what waits. So two threads send, each under the mutex, which is the fence that libzmq asks for. The shell's thread
/// sends everything before it receives: the loop finds nothing to send while the socket is being read.
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

  /// What waits leaves by the old sockets.
  func use(_ socket: HandedSocket?, _ local: LocalSocket?) {
    state.withLock { state in
      Self.flush(&state, engineSession)
      state.socket = socket
      state.local = local
    }
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

  func confirm(_ ids: [MessageID]) { state.withLock { $0.kept?.confirm(ids) } }

  /// To a controller that took the place of another: what this engine has, then the replies that the other did not confirm.
  /// - Parameter waiting: requests that are here and have not been answered.
  func account(waiting: [(id: MessageID, metadata: Frame)]) {
    state.withLock { state in
      guard let account = state.kept?.account(waiting: waiting) else { return }
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
      Self.sendAlone(message, &state, engineSession)
      for kept in account.replies {
        let reply = engineSession.renewed(kept)
        if let hop = reply.identities.first, reply.identities.count == 2,
          state.batch.append(reply.identities.last, reply.payload)
        {
          state.hop = hop
          if state.batch.isFull { Self.flush(&state, engineSession) }
        } else {
          Self.sendAlone(reply, &state, engineSession)
        }
      }
      Self.flush(&state, engineSession)
    }
  }

  // MARK: sending

  /// Sends it now, behind those that wait.
  /// - Parameter task: the balanced task that it answers.
  func send(_ message: Envelope, task: MessageID? = nil) {
    state.withLock { state in
      if let task { state.kept?.keep(message, to: task) }
      Self.sendAlone(message, &state, engineSession)
    }
  }

  /// Sends it with the others of its batch, soon.
  /// - Parameter isLast: no request waits, and so it need not.
  func hold(_ message: Envelope, task: MessageID, isLast: Bool) {
    let mustGuard = state.withLock { state in
      state.kept?.keep(message, to: task)
      guard let hop = message.identities.first else { return false }
      if state.hop != hop { Self.flush(&state, engineSession) }
      let isFirst = state.batch.isEmpty
      guard message.identities.count == 2, state.batch.append(message.identities.last, message.payload) else {
        Self.sendAlone(message, &state, engineSession)
        return false
      }
      if isFirst { state.hop = hop }
      if isLast {
        Self.flush(&state, engineSession)
        return false
      }
      let now = ContinuousClock.now
      if isFirst {
        state.since = now
      } else if state.batch.isFull || now - state.since > Self.patience {
        Self.flush(&state, engineSession)
        return false
      }
      state.wasUsed = true
      defer { state.isGuarded = true }
      return !state.isGuarded
    }
    if mustGuard { requestTimer(self) }
  }

  func flush() { state.withLock { Self.flush(&$0, engineSession) } }

  /// As `flush`.
  /// - Returns: whether to call again soon; otherwise what is held next asks for that.
  func timerFired() -> Bool {
    state.withLock { state in
      Self.flush(&state, engineSession)
      state.isGuarded = state.wasUsed
      state.wasUsed = false
      return state.isGuarded
    }
  }

  private static func flush(_ state: inout State, _ engineSession: EngineSession) {
    guard !state.batch.isEmpty else { return }
    send([state.hop] + engineSession.sign(&state.batch), &state)
  }

  private static func sendAlone(_ message: Envelope, _ state: inout State, _ engineSession: EngineSession) {
    flush(&state, engineSession)
    send(engineSession.sealed(message), &state)
  }

  private static func send(_ frames: [Frame], _ state: inout State) {
    // Replies have no order: what finds no room here goes through libzmq.
    if let local = state.local, local.send(frames, copying: SharedCopies()) == .sent { return }
    do { try state.socket?.socket.send(frames) } catch { EngineLog.log(.error, "A reply was not sent: \(error)") }
  }
}
