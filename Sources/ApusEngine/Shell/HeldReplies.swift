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

  /// Sends it now, behind those that wait.
  func send(_ message: Envelope) { state.withLock { Self.sendAlone(message, &$0, engineSession) } }

  /// Sends it with the others of its batch, soon.
  /// - Parameter isLast: no request waits, and so it need not.
  func hold(_ message: Envelope, isLast: Bool) {
    let mustGuard = state.withLock { state in
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
