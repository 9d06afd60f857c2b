import ApusMessaging
import Logging
import Transport

/// Direct requests: a client names an engine, and the relay swaps the two identities (protocol section 3.1). One for `mux`, one for `control`.
actor RequestRelay: DeliversLater {
  enum Channel: String, Sendable {
    case mux, control

    var scope: MessageScope.Channel {
      switch self {
      case .mux: .mux
      case .control: .control
      }
    }
  }

  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private let channel: Channel
  private var front: BoundedRouter
  private var back: EngineSocket
  private var session: Session
  private var rejections: DroppedMessages
  private let events: TaskEventStream
  var deliveryTimer: EventLoop.TimerID?
  /// Messages of one turn: so many leave together.
  private static let batch = 32
  /// What a turn has read and will send.
  private var outbox: [Envelope] = []
  /// Told of the tasks that a client wants aborted: those in the queue never reach an engine.
  private let onAbort: (@Sendable ([MessageID]) -> Void)?

  init(
    _ channel: Channel, loop: EventLoop, front: consuming BoundedRouter, back: consuming EngineSocket, session: Session,
    events: TaskEventStream,
    logger: Logger, onAbort: (@Sendable ([MessageID]) -> Void)? = nil
  ) {
    self.channel = channel
    self.loop = loop
    self.front = front
    self.back = back
    self.session = session
    self.events = events
    self.onAbort = onAbort
    rejections = DroppedMessages(channel.rawValue, logger: logger)
  }

  func start() {
    loop.whenReadable(front.socket) { [unowned self] in self.assumeIsolated { $0.frontIsReadable() } }
    loop.whenReadable(back.socket) { [unowned self] in self.assumeIsolated { $0.backIsReadable() } }
  }

  func engineRegistered(_ uuid: EngineUUID, isOwn: Bool) { back.engineRegistered(uuid, isOwn: isOwn) }
  func engineLost(_ uuid: EngineUUID) { back.engineLost(uuid) }

  private func frontIsReadable() {
    for _ in 0..<Self.batch {
      guard let received = receive(front.socket, .request(channel.scope)) else { break }
      // in: client, engine, message. out: engine, client, message.
      guard let message = received.envelope, let id = message.messageID else { continue }
      if channel == .mux, message.messageType?.text.hasSuffix("_request") ?? false {
        // Comm messages and the like want no answer, and would count as unfinished for ever.
        let uuid = back.uuid(of: message.frames[1])
        events.report(.submitted(id, request: message, queue: .mux, engine: uuid))
      } else if message.messageType == .abortRequest, let onAbort {
        onAbort(abortedIDs(message))
      }
      outbox.append(message)
    }
    // Together, when what there was is read: see `TaskSchedulerSockets`.
    for message in outbox {
      // Stock engines cannot read what our clients seal.
      let payload =
        message.isSealed && !back.isOwn(message.frames[1]) ? message.payload(signedBy: session.signer) : message.frames[2...]
      back.send(to: message.frames[1], message.frames[0], payload)
    }
    outbox.removeAll(keepingCapacity: true)
    deliverLater()
  }

  private func backIsReadable() {
    for _ in 0..<Self.batch {
      guard let received = receive(back.socket, .reply(channel.scope)) else { break }
      guard let message = received.envelope else { continue }
      if channel == .mux, let id = message.parentID {
        events.report(.finished(id, reply: message, engine: back.uuid(of: message.frames[0])))
      }
      outbox.append(message)
    }
    for message in outbox { front.send(message.frames[1], message.frames[0], message.frames[2...]) }
    outbox.removeAll(keepingCapacity: true)
    deliverLater()
  }

  private func abortedIDs(_ message: Envelope) -> [MessageID] {
    guard let ids = try? message.content()["msg_ids"] else { return [] }
    return (ids.stringArrayValue ?? ids.stringValue.map { [$0] } ?? []).map { MessageID($0) }
  }

  private func receive(_ socket: borrowing Socket, _ scope: MessageScope) -> (envelope: Envelope?, Void)? {
    do {
      guard let frames = try socket.receive() else { return nil }
      let envelope = try session.open(frames, sealedFor: scope)
      if envelope.identities.count >= 2 { return (envelope, ()) }
      rejections.note("an identity is missing")
      return (nil, ())
    } catch let rejection as Session.Rejection {
      rejections.note(rejection.rawValue)
      return (nil, ())
    } catch {
      rejections.note("\(error)")
      return nil
    }
  }

  var hasWaiting: Bool { back.hasWaiting || front.hasWaiting }

  func deliverWaiting() {
    back.deliverWaiting()
    front.deliverWaiting()
  }
}
