import ApusMessaging
import Logging
import ZeroMQ

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
        let number = wire.local.nextNumber()
        let reader = loop.whenReadable(descriptor: socket.descriptor) { [unowned self] in
          self.assumeIsolated { $0.lineIsReadable(number) }
        }
        wire.local.add(socket, number, reader: reader)
      }
    } catch {
      logger.warning("no further engine gets a local socket", metadata: ["reason": "\(error.reason)"])
      if let reader = listenerReader { loop.forget(reader) }
      listenerReader = nil
    }
  }

  private func lineIsReadable(_ number: Int) {
    guard let socket = wire.local.lines[number]?.socket else { return }
    let now = ContinuousClock.now
    reading: for _ in 0..<Self.batch {
      switch socket.receive() {
      case .message(let frames): read(frames, from: number, now: now)
      case .nothing: break reading
      case .closed:
        close(number)
        break reading
      }
    }
    afterEvents()
  }

  private func read(_ frames: [Frame], from number: Int, now: ContinuousClock.Instant) {
    guard let line = wire.local.lines[number] else { return }
    guard line.uuid != nil else { return greet(frames, from: number) }
    let received = [line.identity] + frames
    guard MessageBatch.isBatch(received, identities: 1) else { return wire.rejections.note("no batch on a local socket") }
    readReplies(batch: received, now: now)
  }

  private func greet(_ frames: [Frame], from number: Int) {
    guard let message = open(frames, identities: 0), message.messageType == LocalSocket.greeting,
      let uuid = (try? message.content())?["uuid"]?.stringValue, (1...200).contains(uuid.utf8.count)
    else {
      wire.rejections.note("a local socket whose owner did not say who it is")
      return close(number)
    }
    if let former = wire.local.name(number, EngineUUID(uuid)) { close(former) }
  }

  private func close(_ number: Int) {
    if let line = wire.local.remove(number) { loop.forget(line.reader) }
  }
}
