import ApusMessaging
import Glibc
import Transport

/// Requests that are answered while a task runs, without the interpreter; the rest is handed to the shell.
extension Engine {
  /// Control requests that may wait for the interpreter at once.
  private static let waitingLimit = 10_000

  func readControl() {
    var budget = 100
    while budget > 0, let frames = (try? control?.receive()) ?? nil {
      budget -= 1
      do {
        try handle(ShellRequest(session.open(frames, sealedFor: .request(.control), readsBuffers: true), origin: .control))
      } catch let error as Session.Rejection {
        reject(error.rawValue, on: "control")
      } catch { reject("\(error)", on: "control") }
    }
  }

  private func handle(_ request: ShellRequest) throws {
    EngineLog.log(.debug, "Handling \(request.type): \(request.id)")
    switch request.type {
    case .abortRequest:
      try answer(request) { content in
        takeBack(content, asOf: request.date ?? .now())
        return ["status": "ok"]
      }
    case .signalRequest: try signal(request)
    case .interruptRequest:
      try answer(request) { _ in
        _ = signalKernel(SIGINT)
        return ["status": "ok"]
      }
    case .shutdownRequest: try shutdown(request)
    case .repliesWritten: replies.confirm(TaskRanges(try request.envelope.content()).ids)
    default:
      let isFull = mailbox.read { $0.requests.count >= Self.waitingLimit }
      if isFull { return reject("more than \(Self.waitingLimit) requests wait for the running task", on: "control") }
      mailbox.put { $0.requests.append(request) }
    }
  }

  private func answer(_ request: ShellRequest, _ work: (JSONObject) throws -> JSONValue) throws {
    let content = try request.envelope.content()
    let parent = request.envelope.headerFrame
    publisher.status(.busy, parent: parent)
    reply(to: request, with: try work(content))
    publisher.status(.idle, parent: parent)
  }

  private func reply(to request: ShellRequest, with content: JSONValue) {
    let status = ReplyMetadata.Status(rawValue: content["status"]?.stringValue ?? "ok") ?? .ok
    let metadata = ReplyMetadata(started: .now(), status: status, uuid: engineSession.uuid, id: publishedID)
    send(
      engineSession.message(
        request.type.reply, content: Frame(content), parent: request.envelope.headerFrame,
        metadata: metadata.frame(answering: request.envelope.metadataFrame), identities: request.identities,
        sealedFor: request.replyScope))
  }

  func send(_ message: Envelope) {
    do { try control?.send(message.frames) } catch { EngineLog.log(.error, "A control reply was not sent: \(error)") }
  }

  // MARK: signals

  private func signal(_ request: ShellRequest) throws {
    let wish = try request.envelope.content()["sig"] ?? .null
    let number = wish.intValue.flatMap { Int32(exactly: $0) } ?? wish.stringValue.flatMap { SignalName.number(of: $0) }
    guard let number, (0..<65).contains(number) else {
      let error = RemoteError(name: "ValueError", value: "\(wish.text) is no signal of this system")
      return try answer(request) { _ in error.content }
    }
    guard endsProcess(number) else {
      return try answer(request) { _ in
        _ = signalKernel(number)
        return ["status": "ok"]
      }
    }
    // The process will not live to see its reply off: say goodbye first, and give both a moment.
    try answer(request) { _ in ["status": "ok"] }
    leaveBefore(signal: number)
  }

  private func leaveBefore(signal number: Int32) {
    if number != SIGSTOP { leave() }
    loop.schedule(after: .milliseconds(50)) { kill(getpid(), number) }
  }

  /// Whether the signal would end (or stop) this process instead of calling a handler.
  private func endsProcess(_ number: Int32) -> Bool {
    if number == SIGKILL || number == SIGSTOP { return true }
    if number == 0 || number == SIGCHLD || number == SIGCONT || number == SIGURG || number == SIGWINCH { return false }
    var action = sigaction()
    guard sigaction(number, nil, &action) == 0 else { return false }
    return action.__sigaction_handler.sa_handler == nil
  }

  func readSignals(from descriptor: Int32) {
    readers[.signals] = loop.whenReadable(descriptor: descriptor) { [weak self] in
      var numbers = [UInt8](repeating: 0, count: 64)
      let count = read(descriptor, &numbers, numbers.count)
      guard count > 0 else { return }
      // Where the kernel waits for a request it may have been about to fall asleep, or another thread has taken the signal: nothing else wakes it for its
      // handler.
      self?.nudgeKernel()
      guard numbers[..<count].contains(UInt8(SIGTERM)) else { return }
      self?.assumeIsolated { engine in
        EngineLog.log(.critical, "Received SIGTERM, stopping")
        engine.stop(0, grace: engine.configuration.shutdownGrace)
      }
    }
  }

  // MARK: shutdown

  private func shutdown(_ request: ShellRequest) throws {
    let restart = try request.envelope.content()["restart"]?.isTruthy ?? false
    let content: JSONValue = ["status": "ok", "restart": .bool(restart)]
    try answer(request) { _ in content }
    publisher.publish(.shutdownReply, kind: "shutdown", content: Frame(content), parent: request.envelope.headerFrame)
    wasShutdownAnnounced = true
    registration.leaves()
    EngineLog.log(.info, "Shutting down on request")
    stop(0, grace: configuration.shutdownGrace)
  }
}
