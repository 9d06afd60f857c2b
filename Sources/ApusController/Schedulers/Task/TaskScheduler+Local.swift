import ApusMessaging
import Logging
import Transport

/// Engines of this host by their local sockets.
extension TaskScheduler {
  func watchListener() {
    guard let listener = wire.local.listener else { return }
    listenerReader = loop.whenReadable(descriptor: listener.descriptor) { [unowned self] in
      self.assumeIsolated { $0.acceptLocal(listener) }
    }
  }

  private func acceptLocal(_ listener: LocalListener) {
    do {
      while let socket = try listener.accept() {
        // Closed at once: that engine goes on with libzmq.
        if wire.local.isFull { continue }
        let descriptor = socket.descriptor
        let reader = loop.whenReadable(descriptor: descriptor) { [unowned self] in
          self.assumeIsolated { $0.lineIsReadable(descriptor) }
        }
        wire.local.add(socket, reader: reader)
      }
    } catch {
      logger.warning("no further engine gets a local socket", metadata: ["reason": "\(error)"])
      if let reader = listenerReader { loop.forget(reader) }
      listenerReader = nil
    }
  }

  private func lineIsReadable(_ descriptor: Int32) {
    guard let socket = wire.local.lines[descriptor]?.socket else { return }
    let now = ContinuousClock.now
    reading: for _ in 0..<Self.batch {
      switch socket.receive() {
      case .message(let frames): read(frames, from: descriptor, now: now)
      case .nothing: break reading
      case .closed:
        close(descriptor)
        break reading
      }
    }
    afterEvents()
  }

  private func read(_ frames: [Frame], from descriptor: Int32, now: ContinuousClock.Instant) {
    guard let line = wire.local.lines[descriptor] else { return }
    guard line.uuid != nil else { return greet(frames, from: descriptor) }
    let received = [line.identity] + frames
    guard MessageBatch.isBatch(received, identities: 1) else { return wire.rejections.note("no batch on a local socket") }
    readReplies(batch: received, now: now)
  }

  private func greet(_ frames: [Frame], from descriptor: Int32) {
    guard let message = open(frames, identities: 0), message.messageType == LocalSocket.greeting,
      let content = try? message.content(), let uuid = EngineUUID(told: content["uuid"])
    else {
      wire.rejections.note("a local socket whose owner did not say who it is")
      return close(descriptor)
    }
    if let former = wire.local.name(descriptor, uuid) { close(former) }
  }

  private func close(_ descriptor: Int32) {
    if let line = wire.local.remove(descriptor) { loop.forget(line.reader) }
  }
}
