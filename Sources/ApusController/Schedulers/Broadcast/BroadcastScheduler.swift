import ApusMessaging
import Logging
import Transport

/// The broadcast scheduler: one message of a client for many engines, through the leaves' sockets.
actor BroadcastScheduler: DeliversLater {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private var state = BroadcastState()
  private var wire: BroadcastSockets
  var deliveryTimer: EventLoop.TimerID?

  init(loop: EventLoop, wire: consuming BroadcastSockets) {
    self.loop = loop
    self.wire = wire
  }

  func start() {
    wire.lines?.serve(
      LocalSocket.Lane.broadcast, hops: wire.leaves.map(\.hop),
      LocalLines.Party(
        lane: .requests, fromClient: { [unowned self] frames in self.assumeIsolated { $0.read(request: frames) } },
        fromEngine: { [unowned self] frames in self.assumeIsolated { $0.read(lineReply: frames) } },
        turnEnds: { [unowned self] in
          self.assumeIsolated {
            $0.wire.turnEnds()
            $0.deliverLater()
          }
        }))
    loop.whenReadable(wire.front.socket) { [unowned self] in self.assumeIsolated { $0.frontIsReadable() } }
    for index in wire.leaves.indices {
      loop.whenReadable(wire.leaves[index].socket) { [unowned self] in self.assumeIsolated { $0.leafIsReadable(index) } }
    }
  }

  /// - Parameters:
  ///   - id: decides which leaf the engine is connected to.
  ///   - isOwn: it is one of Apus's, and reads seals.
  func engineRegistered(_ uuid: EngineUUID, id: EngineID, isOwn: Bool) {
    wire.engineRegistered(uuid, id: id, isOwn: isOwn)
    state.engineRegistered(uuid)
  }

  func engineLost(_ uuid: EngineUUID, cause: EngineLoss, grace: Duration) {
    wire.engineLost(uuid)
    let owed = state.engineLost(uuid)
    guard !owed.isEmpty else { return }
    loop.schedule(after: grace) { [weak self] in
      self?.assumeIsolated {
        $0.state.giveUp(owed, of: uuid, cause: cause, effects: &$0.wire)
        $0.wire.turnEnds()
      }
    }
  }

  private func frontIsReadable() {
    for _ in 0..<TaskScheduler.batch {
      do throws(ZeroMQError) {
        guard let frames = try wire.front.socket.receive() else { break }
        read(request: frames)
      } catch {
        wire.rejections.note("\(error)")
        break
      }
    }
    wire.turnEnds()
    deliverLater()
  }

  private func read(request frames: [Frame]) {
    do throws(Session.Rejection) {
      let message = try wire.session.open(frames, sealedFor: .request(.broadcast))
      if let id = message.messageID, !message.identities.isEmpty { submit(message, id: id) }
    } catch { wire.rejections.note(error.rawValue) }
  }

  private func submit(_ message: Envelope, id: MessageID) {
    do {
      try state.submit(message, id: id, metadata: message.metadata(), effects: &wire)
    } catch let error as RemoteError {
      state.refuse(message, id: id, error, effects: &wire)
    } catch {
      state.refuse(message, id: id, RemoteError(name: "ValueError", value: "\(error)"), effects: &wire)
    }
  }

  private func leafIsReadable(_ index: Int) {
    defer { wire.turnEnds() }
    let leaf = wire.leaves[index]
    for _ in 0..<TaskScheduler.batch {
      do throws(ZeroMQError) {
        guard let frames = try leaf.socket.receive() else { break }
        // The buffers are looked at as well: those of several replies may go on as one, under our own seal.
        read(reply: frames, by: leaf, readsBuffers: true)
      } catch {
        wire.rejections.note("\(error)")
        break
      }
    }
  }

  /// Nobody but the engine itself can have put buffers into its line.
  private func read(lineReply frames: [Frame]) { read(reply: frames, by: wire.leaves[0], readsBuffers: false) }

  private func read(reply frames: [Frame], by leaf: BroadcastLeaf, readsBuffers: Bool) {
    do {
      let message = try wire.session.open(frames, sealedFor: .reply(.broadcast), readsBuffers: readsBuffers)
      guard message.identities.count >= 2 else { return wire.rejections.note("an identity is missing") }
      let metadata = try message.metadata()
      state.completed(message, metadata: metadata, by: leaf.uuid(of: message.frames[0]), effects: &wire)
    } catch let rejection as Session.Rejection {
      wire.rejections.note(rejection.rawValue)
    } catch { wire.rejections.note("\(error)") }
  }

  var hasWaiting: Bool { wire.hasWaiting }
  func deliverWaiting() { wire.deliverWaiting() }
}
