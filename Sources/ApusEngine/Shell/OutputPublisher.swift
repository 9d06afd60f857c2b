import ApusMessaging
import Glibc
import Transport

/// What the engine tells everybody: status, output, results for display. The PUB socket and the text that waits for it.
///
/// Unlike other sockets this one is not an actor's: both threads publish, and a hand-over to the loop would cost a wake-up of 50 µs a task,
/// twice. libzmq allows a socket to change threads behind a full fence, which the mutex is.
final class OutputPublisher: Sendable {
  private struct State: Sendable {
    var socket: HandedSocket?
    var buffer = OutputBuffer()
    /// Header of the request that is running or ran last.
    var parent = Frame.emptyObject
    /// Messages of output that were published for it: its reply tells, so that its client knows when it has them all.
    var published = 0
    var topics = Topics(id: nil)
    var isTimerSet = false
    /// The relay has said that nobody listens to our status.
    var isQuiet = false
    /// When the relay was last heard: it is asked now and then, for each question is two system calls.
    var heard = ContinuousClock.now
    /// Not taken by the relay, and lost.
    var missed = (messages: 0, bytes: 0)
  }

  private struct Topics: Sendable {
    let prefix: String
    let status: Frame
    let stdout: Frame
    let stderr: Frame

    init(id: EngineID?) {
      prefix = "engine.\(id?.number ?? -1)."
      status = Frame(prefix + "status")
      stdout = Frame(prefix + "stdout")
      stderr = Frame(prefix + "stderr")
    }
  }

  enum Execution: Sendable {
    case starting
    case busy
    case idle
  }

  private static let starting = Frame("{\"execution_state\":\"starting\"}")
  private static let busy = Frame("{\"execution_state\":\"busy\"}")
  private static let idle = Frame("{\"execution_state\":\"idle\"}")

  /// Quick tasks in a row ask the relay once in this time.
  private static let patience = Duration.microseconds(500)

  private let state = Mutex(State())
  private let engineSession: EngineSession
  /// Asks for a call of `flush()` after the delay of the configuration, from whichever thread printed.
  private let requestFlush: @Sendable () -> Void

  init(engineSession: EngineSession, requestFlush: @escaping @Sendable () -> Void) {
    self.engineSession = engineSession
    self.requestFlush = requestFlush
  }

  /// A socket that is connected, for an engine of this number.
  func open(_ socket: HandedSocket, id: EngineID) {
    state.withLock { state in
      state.missed = (0, 0)
      state.socket = socket
      state.topics = Topics(id: id)
      state.isQuiet = false
    }
  }

  func close() {
    state.withLock { state in
      Self.flush(&state, engineSession)
      state.socket = nil
    }
  }

  /// Binds the socket on a free loopback port too; returns its endpoint.
  func bind() throws(ZeroMQError) -> String {
    guard let handed = state.withLock({ $0.socket }) else { throw ZeroMQError(code: ENOTCONN, action: "bind the iopub socket") }
    let bound = state.withLock { _ in Result { () throws(ZeroMQError) in try handed.socket.bind("tcp://127.0.0.1:*") } }
    return try bound.get()
  }

  /// Closing will not wait for what nobody takes.
  func forgetUnsent() { state.withLock { try? $0.socket?.socket.set(.linger, 0) } }

  /// - Parameter isOptional: not said when nobody listens. What runs code always says it: whoever waits for its output waits for this.
  func status(_ execution: Execution, parent: Frame, isOptional: Bool = false) {
    let content =
      switch execution {
      case .starting: Self.starting
      case .busy: Self.busy
      case .idle: Self.idle
      }
    state.withLock { state in
      if isOptional {
        Self.readSubscriptions(&state)
        if state.isQuiet { return }
      }
      let message = engineSession.message(
        .status, content: content, parent: parent, metadata: engineSession.engineMetadata, identities: [state.topics.status])
      Self.send(message, &state)
    }
  }

  private static func readSubscriptions(_ state: inout State) {
    let now = ContinuousClock.now
    guard let handed = state.socket, now - state.heard > patience else { return }
    state.heard = now
    while let frames = (try? handed.socket.receive()) ?? nil {
      guard let bytes = frames.first?.bytes, bytes.dropFirst().elementsEqual(OutputAudience.quiet.utf8) else { continue }
      state.isQuiet = bytes.first == 1
    }
  }

  /// Output belongs to this request from now on.
  func begin(_ parent: Frame) {
    state.withLock {
      $0.parent = parent
      $0.published = 0
    }
  }

  /// - Parameters:
  ///   - kind: the last part of the topic.
  ///   - hasBareTopic: the topic is `kind` alone, as data publication has it.
  func publish(
    _ type: MessageType, kind: String, hasBareTopic: Bool = false, content: Frame, buffers: [Frame] = [], parent: Frame? = nil
  ) {
    state.withLock { state in
      Self.flush(&state, engineSession)
      let topic = Frame(hasBareTopic ? kind : state.topics.prefix + kind)
      let message = engineSession.message(
        type, content: content, parent: parent ?? state.parent, metadata: engineSession.engineMetadata, identities: [topic],
        buffers: buffers)
      if Self.send(message, &state), parent == nil, type != .executeInput { state.published += 1 }
    }
  }

  /// - Parameter parent: header of the request that it belongs to; `nil` is the current one.
  func write(_ text: UnsafeRawBufferPointer, to stream: OutputBuffer.Stream, parent: Frame?) {
    let needsTimer = state.withLock { state in
      state.buffer.append(text, to: stream, parent: parent ?? state.parent)
      if state.buffer.isFull { Self.flush(&state, engineSession) }
      guard !state.buffer.isEmpty, !state.isTimerSet else { return false }
      state.isTimerSet = true
      return true
    }
    if needsTimer { requestFlush() }
  }

  /// - Returns: how many messages of output the request that runs has had by now.
  @discardableResult
  func flush() -> Int {
    state.withLock { state in
      Self.flush(&state, engineSession)
      return state.published
    }
  }

  /// As `flush`, and the next text asks for a timer again.
  func timerFired() {
    state.withLock { state in
      state.isTimerSet = false
      Self.flush(&state, engineSession)
    }
  }

  private static func flush(_ state: inout State, _ engineSession: EngineSession) {
    tellOfMissed(&state, engineSession)
    guard !state.buffer.isEmpty else { return }
    for run in state.buffer.take() {
      let topic = run.stream == .stdout ? state.topics.stdout : state.topics.stderr
      let isCurrent = run.parent == state.parent
      for piece in run.pieces {
        var writer = JSONWriter(reserving: piece.count + 64)
        writer.append(raw: "{\"name\":")
        writer.append(string: run.stream.rawValue)
        writer.append(raw: ",\"text\":")
        writer.append(string: String(decoding: piece, as: UTF8.self))
        writer.append(raw: "}")
        let message = engineSession.message(
          .stream, content: Frame(writer.bytes), parent: run.parent, metadata: engineSession.engineMetadata, identities: [topic])
        if send(message, &state), isCurrent { state.published += 1 }
      }
    }
  }

  /// - Returns: whether the relay takes it.
  @discardableResult
  private static func send(_ message: Envelope, _ state: inout State) -> Bool {
    // Before registration and while reconnecting there is nobody to tell: output is dropped, as on any PUB socket without peers.
    guard let handed = state.socket else { return false }
    // Once it has been waited for in vain, what follows is not waited for.
    let attempts = state.missed.messages == 0 ? patientAttempts : 1
    for attempt in 1...attempts {
      do {
        try handed.socket.send(message.frames)
        return true
      } catch {
        guard error.isFull else {
          EngineLog.log(.debug, "Output was not published: \(error)")
          return false
        }
        // libzmq does not say when there is room again, and looks for it only now and then.
        if attempt < attempts { usleep(1000) }
        handed.socket.refresh()
      }
    }
    state.missed = (state.missed.messages + 1, state.missed.bytes + message.byteCount)
    if state.missed.messages == 1 {
      EngineLog.log(.warning, "The controller does not take what is printed: what does not fit into \(queueLimit) messages is lost")
    }
    return false
  }

  /// Messages that wait for the relay, some 160 MB of text.
  static let queueLimit: Int32 = 5000
  /// Milliseconds that a task which prints faster than the relay reads is held up, before output is given up.
  private static let patientAttempts = 250

  /// Says in the stream itself that something is missing there.
  private static func tellOfMissed(_ state: inout State, _ engineSession: EngineSession) {
    guard state.missed.messages > 0, let handed = state.socket else { return }
    let text =
      "[\(state.missed.messages) messages of output, \(state.missed.bytes) bytes, are missing here: the controller did not take them]\n"
    let message = engineSession.message(
      .stream, content: Frame(["name": "stderr", "text": .string(text)]), parent: state.parent,
      metadata: engineSession.engineMetadata,
      identities: [state.topics.stderr])
    if (try? handed.socket.send(message.frames)) != nil {
      state.missed = (0, 0)
      state.published += 1
    }
  }
}
