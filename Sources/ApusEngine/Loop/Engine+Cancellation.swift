public import ApusMessaging
import Glibc
import Transport

/// How tasks are taken back, step by step: what has not begun is answered `aborted`, what runs is interrupted, and what does not end then
/// is ended with the process, which starts anew.
extension Engine {
  /// With `"interrupt": true`, which stock clients do not send, the task that runs is ended too, if it is one of those named; with
  /// `"kill_after"`, so many seconds later the process under it.
  func takeBack(_ content: JSONObject, asOf moment: Timestamp) {
    let ids = content["msg_ids"] ?? .null
    var list = ids.stringArrayValue ?? []
    if let one = ids.stringValue { list = [one] }
    guard !list.isEmpty else { return mailbox.put { $0.aborts.abortEverything(until: moment) } }
    let interrupts = content["interrupt"]?.isTruthy ?? false
    let grace = TaskLimits.seconds(content["kill_after"], orNone: true)
    for id in list.lazy.map({ MessageID($0) }) where !(interrupts && cancel(id, grace)) { mailbox.put { $0.aborts.abort(id) } }
  }

  /// - Returns: whether the task was running.
  private func cancel(_ id: MessageID, _ grace: Duration?) -> Bool {
    let (run, request) = mailbox.read { contents in (contents.running == id ? contents.run : nil, contents.request) }
    guard let run, interrupt(run) else { return false }
    EngineLog.log(.info, "Interrupting task \(id), whose client has cancelled it")
    let limits = request.flatMap { TaskLimits($0.envelope.metadataFrame) }
    guard let grace = grace ?? limits?.killAfter else { return true }
    loop.schedule(after: grace) { [weak self] in
      self?.assumeIsolated {
        $0.end(run, errorName: "TaskAborted", reason: "did not end within \(Self.text(grace)) after it was cancelled")
      }
    }
    return true
  }

  /// - Returns: whether the run was still going on.
  private func interrupt(_ run: Int, isOverdue: Bool = false) -> Bool {
    let (id, hook) = mailbox.read { contents -> (MessageID?, (@Sendable (MessageID) -> Void)?) in
      guard contents.run == run, let id = contents.running else { return (nil, nil) }
      if isOverdue { contents.overdueRun = run }
      if contents.onCancellation == nil {
        // The signal belongs to the lock: whoever finds the mark may count on its signal, and the other way round.
        contents.interrupted = id
        _ = signalKernel(SIGINT)
      }
      return (id, contents.onCancellation)
    }
    if let id { hook?(id) }
    return id != nil
  }

  // MARK: time limits

  /// From the shell's thread: a run has begun that may not go on for ever. The mailbox says until when.
  nonisolated func watchLimit() { perform { $0.armLimit() } }

  /// One timer serves all runs: most end long before their limit, and a timer for each would be kept until then.
  private func armLimit() {
    guard let due = mailbox.read({ $0.running == nil ? nil : $0.limit?.due }) else { return }
    if let limitTimer {
      if limitTimer.due <= due { return }
      loop.cancel(limitTimer.id)
    }
    let timer = loop.schedule(at: due) { [weak self] in
      self?.assumeIsolated { engine in
        engine.limitTimer = nil
        engine.lookAtLimit()
      }
    }
    limitTimer = (due, timer)
  }

  private func lookAtLimit() {
    let (run, id, limit) = mailbox.read { ($0.run, $0.running, $0.limit) }
    guard let id, let limit, let time = limit.limits.timeLimit else { return }
    if limit.due <= .now {
      timeIsOver(run, of: id, time, limit.limits.killAfter ?? TaskLimits.usualGrace)
    } else {
      armLimit()
    }
  }

  private func timeIsOver(_ run: Int, of id: MessageID, _ limit: Duration, _ grace: Duration) {
    guard interrupt(run, isOverdue: true) else { return }
    EngineLog.log(.warning, "Interrupting task \(id), which has run for its time limit of \(Self.text(limit))")
    loop.schedule(after: grace) { [weak self] in
      self?.assumeIsolated {
        $0.end(
          run, errorName: "TaskTimeout",
          reason: "did not end within \(Self.text(grace)) after its time limit of \(Self.text(limit))")
      }
    }
  }

  // MARK: the last step

  /// Ends the process under a run that goes on, and starts the engine anew. The task is answered; what else is here goes elsewhere.
  private func end(_ run: Int, errorName: String, reason: String) {
    let request = mailbox.read { contents -> ShellRequest? in
      guard contents.run == run, contents.running != nil, contents.endedRun != run, let request = contents.request else {
        return nil
      }
      contents.endedRun = run
      return request
    }
    guard let request else { return }
    EngineLog.log(.error, "Task \(request.id) \(reason): ending the process under it")
    let error = RemoteError(
      name: errorName, value: "the task \(reason), and its engine was ended",
      engine: .init(
        uuid: engineSession.uuid, id: publishedID ?? EngineID(-1), method: request.type == .executeRequest ? "execute" : "apply"))
    var content = error.content.objectValue ?? JSONObject()
    if request.type == .executeRequest { content["execution_count"] = 0 }
    let metadata = ReplyMetadata(started: .now(), status: .error, uuid: engineSession.uuid, id: publishedID)
    // The shell's thread is busy with the task: its sockets are free.
    replies.send(
      engineSession.message(
        request.type.reply, content: Frame(.object(content)), parent: request.envelope.headerFrame,
        metadata: metadata.frame(answering: request.envelope.metadataFrame), identities: request.identities,
        sealedFor: request.replyScope))
    leave(because: .init(task: request.id, reason: reason))
    // Both messages are on their way in libzmq's threads, or in the controller's line already.
    loop.schedule(after: .milliseconds(100)) { [command = configuration.restartCommand, mailbox] in
      // Whoever wanted it to stop wanted no other in its place.
      if let code = mailbox.read({ $0.exitCode }) { _exit(code) }
      command?.run()
      _exit(Self.endedCode)
    }
  }

  /// A temporary failure: whoever starts engines may start it again.
  private static let endedCode: Int32 = 75

  private static func text(_ duration: Duration) -> String { "\((duration / .seconds(1)).formatted) s" }

  // MARK: the kernel

  /// Sets how a running task is ended when its client cancels it. Without this the kernel's thread gets SIGINT, and its handler
  /// asks `takeInterruptedTask()` what was meant.
  ///
  /// - Parameter body: called on the loop's thread, which must not wait, with the request's id. The task may have ended meanwhile;
  ///   it is answered as it ends. A task that has not begun is answered `aborted` and does not come here.
  public nonisolated func whenTaskIsCancelled(_ body: @escaping @Sendable (MessageID) -> Void) {
    mailbox.read { $0.onCancellation = body }
  }

  /// For the handler of SIGINT, on the kernel's thread: the task that the signal shall end; `nil` if it is for whatever runs.
  public nonisolated func takeInterruptedTask() -> MessageID? { mailbox.read { $0.interrupted.take() } }
}

extension Double {
  /// Without the `.0` of whole numbers.
  fileprivate var formatted: String { self == rounded() && abs(self) < 1e15 ? "\(Int(self))" : "\(self)" }
}
