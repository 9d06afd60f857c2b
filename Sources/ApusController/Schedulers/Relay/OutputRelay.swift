import ApusMessaging
import Logging
import ZeroMQ

/// What engines publish, passed on to all clients, byte for byte; clients pick out their own (protocol section 7.6).
actor OutputRelay {
  private nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private let back: Socket
  private let front: Socket
  private var session: Session
  private var rejections: DroppedMessages
  private let events: TaskEventStream
  /// An engine said that it shuts down.
  private let onShutdown: @Sendable (EngineUUID) -> Void

  init(
    loop: EventLoop, front: consuming Socket, back: consuming Socket, session: Session, events: TaskEventStream, logger: Logger,
    onShutdown: @escaping @Sendable (EngineUUID) -> Void
  ) {
    self.loop = loop
    self.front = front
    self.back = back
    self.session = session
    self.events = events
    self.onShutdown = onShutdown
    rejections = DroppedMessages("iopub", logger: logger)
  }

  func start() { loop.whenReadable(back) { [unowned self] in self.assumeIsolated { $0.backIsReadable() } } }

  private func backIsReadable() {
    for _ in 0..<TaskScheduler.batch {
      let frames: [Frame]
      do {
        guard let received = try back.receive() else { return }
        frames = received
      } catch { return rejections.note("\(error)") }
      do throws(Session.Rejection) {
        let message = try session.open(frames)
        observe(message)
        try? front.send(frames)
      } catch { rejections.note(error.rawValue) }
    }
  }

  private func observe(_ message: Envelope) {
    guard let type = message.messageType else { return }
    if type == .shutdownReply, let session = message.sessionID {
      onShutdown(EngineUUID(session.text))
    } else if let kind = OutputKind(type), let id = message.parentID {
      events.report(.output(id, kind, message))
    }
  }
}
