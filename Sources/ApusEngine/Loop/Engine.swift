public import ApusMessaging
import Glibc
import Synchronization
public import Transport

/// The side of an engine that always answers: registration, heart and control, on a loop of its own that never runs the user's code.
///
/// `Shell` is the other side. They share the mailbox, the publisher and the engineSession, each of which is safe from both threads.
public actor Engine {
  public nonisolated let configuration: EngineConfiguration
  nonisolated let mailbox = ShellMailbox()
  nonisolated let publisher: OutputPublisher
  nonisolated let replies: HeldReplies
  nonisolated let engineSession: EngineSession
  nonisolated let loop: EventLoop
  nonisolated let context: Mutex<Context?>
  private nonisolated let engineNumber = Atomic<Int>(-1)
  nonisolated let connected = Atomic<Bool>(false)
  /// The thread that runs the user's code: signals are sent to it.
  private nonisolated let kernelThread: UInt

  var connection: ConnectionFile
  var registration: RegistrationState
  var heart: HeartState
  var session: Session
  var rejections = RejectionLog()

  /// Ours; made by the first socket that needs it. Servers ask for no particular one.
  private var curveKeys: CurveKeyPair?
  /// How the controller is reached; found anew whenever the registration socket is made.
  var route: ControllerRoute
  var registrar: Socket?
  var monitor: SocketMonitor?
  var control: Socket?
  var ping: Socket?
  var pong: Socket?
  var shellMonitor: SocketMonitor?
  var controlMonitor: SocketMonitor?
  /// The shell's line, as long as the shell has it.
  weak var line: LocalSocket?
  /// The publisher's socket, until the relay has subscribed to it.
  var unopenedPublisher: Socket?
  /// The heart for Jupyter frontends, once the kernel is bound.
  var frontendHeart: Socket?
  /// The stdin channel that frontends expect; nothing is ever sent on it.
  var frontendInput: Socket?
  var readers: [Place: EventLoop.ReaderID] = [:]
  var heartTimer: EventLoop.TimerID?
  /// Looks at the time limit of what runs.
  var limitTimer: (due: ContinuousClock.Instant, id: EventLoop.TimerID)?
  var heartbeatPeriod = Duration.seconds(3)
  /// Connections of the new shell socket that are not made yet; the heart waits for them.
  var missingShellConnections = 0
  /// How many there are, and those by which messages can go.
  var shellConnections = 0
  var readyShellConnections: Set<Int32> = []
  /// The kernel ran its startup code: work may come.
  var isKernelReady = false
  var isHeartWanted = false
  /// The sockets belong to a controller that is gone.
  var hasStaleSockets = true
  /// The session of the controller that answered last: another one is another controller.
  var controllerSession: SessionID?
  /// It keeps a journal, and is to be told what this engine has.
  var owesAccount = false
  let origin = EngineOrigin.ofThisProcess()
  /// It takes no more balanced tasks.
  var isDraining = false
  var isLeaving = false
  var wasShutdownAnnounced = false
  /// A look at the connection file is due.
  var isWatchingFile = false
  /// Those with the hub.
  var handshakes = HandshakeRecord()
  private var monitorCount = 0

  enum Place: Hashable {
    case registrar
    case monitor
    case control
    case ping
    case publisher
    case frontendHeart
    case shellMonitor
    case controlMonitor
    case signals
  }

  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  /// So long a reply waits at most behind a task that turns out to be long.
  private static let longestHold = Duration.milliseconds(2)

  private static func watch(_ replies: HeldReplies, on loop: EventLoop) {
    loop.schedule(after: longestHold) { [weak replies, unowned loop] in
      if let replies, replies.timerFired() { watch(replies, on: loop) }
    }
  }

  /// Make it on the thread that will run the kernel.
  public init(_ configuration: EngineConfiguration) throws(ZeroMQError) {
    self.configuration = configuration
    connection = configuration.connection
    route = ControllerRoute(configuration.connection, location: configuration.location)
    curveKeys = configuration.curveKeys
    let loop = EventLoop(name: "apus-engine")
    self.loop = loop
    context = Mutex(try Context())
    let engineSession = EngineSession(uuid: configuration.uuid, key: configuration.key)
    self.engineSession = engineSession
    let delay = configuration.outputDelay
    let timer = FlushTimer()
    let publisher = OutputPublisher(engineSession: engineSession) { loop.execute { loop.schedule(after: delay) { timer.fire() } } }
    timer.set { [weak publisher] in publisher?.timerFired() }
    self.publisher = publisher
    replies = HeldReplies(engineSession: engineSession) { replies in loop.execute { Self.watch(replies, on: loop) } }
    registration = RegistrationState(wantedID: configuration.wantedID, timeout: configuration.registrationTimeout)
    heart = HeartState(limit: configuration.maximumHeartbeatMisses)
    session = Session(id: SessionID(configuration.uuid.text), key: configuration.key)
    kernelThread = UInt(pthread_self())
    _ = RestartCommand.began
  }

  // MARK: from the kernel's thread

  /// The engine's number, once it is registered.
  public nonisolated var publishedID: EngineID? {
    let number = engineNumber.load(ordering: .relaxed)
    return number < 0 ? nil : EngineID(number)
  }

  /// Whether the controller was there when last heard of.
  nonisolated var isConnected: Bool { connected.load(ordering: .relaxed) }

  func publish(_ id: EngineID) { engineNumber.store(id.number, ordering: .relaxed) }

  /// Starts the loop and asks the controller for a place. `Shell.waitForRegistration` has the answer.
  public nonisolated func start() {
    loop.start()
    perform { $0.begin() }
  }

  /// The kernel has run its startup code: from now on the heart beats, and work may come.
  public nonisolated func kernelIsReady() { perform { $0.kernelBecameReady() } }

  /// Watches a descriptor to which the interpreter writes the numbers of signals that arrive, so that SIGTERM is met even while the
  /// kernel's thread is somewhere in C.
  public nonisolated func watchSignals(descriptor: Int32) { perform { $0.readSignals(from: descriptor) } }

  /// Ends the engine: the shell is told, and a task that goes on is given `shutdownGrace`.
  public nonisolated func stop(code: Int32) { perform { $0.stop(code, grace: $0.configuration.shutdownGrace) } }

  /// Makes `Shell.next` return `.interrupted` once. From any thread.
  public nonisolated func nudgeKernel() { mailbox.put { $0.isNudged = true } }

  /// Makes a descriptor of the shell readable, later.
  nonisolated func wakeShell(after delay: Duration) {
    loop.execute { [mailbox, loop] in loop.schedule(after: delay) { mailbox.put { _ in } } }
  }

  /// Leaves the cluster and waits until the last messages are out. Close the shell first.
  public nonisolated func finish() {
    perform {
      $0.leave()
      $0.loop.stop()
    }
    loop.join()
    // The last reference to the context waits for what its sockets still have to send.
    let last = context.withLock { $0.take() }
    withExtendedLifetime(last) {}
  }

  public nonisolated func publish(
    _ type: MessageType, kind: String, hasBareTopic: Bool = false, content: Frame, buffers: [Frame] = []
  ) {
    publisher.publish(type, kind: kind, hasBareTopic: hasBareTopic, content: content, buffers: buffers)
  }

  /// - Parameter parent: header of the request that the text belongs to; `nil` is the one that runs or ran last.
  public nonisolated func write(_ text: UnsafeRawBufferPointer, to stream: OutputBuffer.Stream, parent: Frame? = nil) {
    publisher.write(text, to: stream, parent: parent)
  }

  public nonisolated func flushOutput() { publisher.flush() }

  nonisolated func sendControl(_ message: Envelope) { perform { $0.send(message) } }

  nonisolated func perform(_ work: @escaping @Sendable (isolated Engine) -> Void) {
    loop.execute { [self] in assumeIsolated { work($0) } }
  }

  nonisolated func signalKernel(_ number: Int32) -> Int32 { pthread_kill(pthread_t(kernelThread), number) }

  // MARK: sockets

  func socket(_ kind: Socket.Kind, linger milliseconds: Int32) throws(ZeroMQError) -> Socket {
    guard let context = context.withLock({ $0 }) else { throw ZeroMQError(code: ENOTSUP, action: "open a socket after the end") }
    let socket = try Socket(kind, in: context)
    try socket.set(.linger, milliseconds)
    try socket.set(.reconnectInterval, 100)
    // On one host it costs nothing to look often whether the controller is back.
    try socket.set(.reconnectIntervalMaximum, route.isTCP ? 2000 : 250)
    if kind != .sub { try socket.set(.identity, Array(engineSession.uuid.text.utf8)) }
    try socket.prepare(for: route, curve: try curve())
    return socket
  }

  private func curve() throws(ZeroMQError) -> (keys: CurveKeyPair, server: String)? {
    var current = configuration
    current.connection = connection
    guard route.isTCP, let server = current.serverKey else { return nil }
    let keys: CurveKeyPair
    if let curveKeys { keys = curveKeys } else { keys = try CurveKeyPair.generate() }
    curveKeys = keys
    return (keys, server)
  }

  func endpoint(_ port: Int) -> String { route.endpoint(port) }

  func monitor(of socket: borrowing Socket, named name: String, tellsReadiness: Bool = false) throws(ZeroMQError) -> SocketMonitor {
    guard let context = context.withLock({ $0 }) else { throw ZeroMQError(code: ENOTSUP, action: "monitor a socket after the end") }
    monitorCount += 1
    return try SocketMonitor(of: socket, in: context, name: "\(name)-\(monitorCount)", tellsReadiness: tellsReadiness)
  }

  func forget(_ place: Place) {
    if let reader = readers.removeValue(forKey: place) { loop.forget(reader) }
  }

  func reject(_ reason: String, on socket: String) {
    if let count = rejections.dropped("\(socket): \(reason)") { EngineLog.dropped(count, on: socket, reason) }
  }
}

/// Breaks the circle between the publisher, which asks for a timer, and the timer, which calls the publisher.
private final class FlushTimer: Sendable {
  /// A bare closure in a `Mutex` would be wrapped in another thunk at each access, and the chain would grow for ever.
  private struct Action { var call: (@Sendable () -> Void)? }
  private let action = Mutex(Action())
  func set(_ action: @escaping @Sendable () -> Void) { self.action.withLock { $0.call = action } }
  func fire() { action.withLock { $0.call }?() }
}
