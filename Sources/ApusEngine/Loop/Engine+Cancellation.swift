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
    let grace = TaskLimits.seconds(content["kill_after"])
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

  /// From the shell's thread: this run has begun, and may not go on for ever.
  nonisolated func watch(_ run: Int, of id: MessageID, _ limits: TaskLimits) {
    guard let limit = limits.timeLimit else { return }
    perform { engine in
      engine.loop.schedule(after: limit) { [weak engine] in
        engine?.assumeIsolated { $0.timeIsOver(run, of: id, limit, limits.killAfter ?? TaskLimits.usualGrace) }
      }
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
      guard contents.run == run, contents.running != nil, let request = contents.request else { return nil }
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
    loop.schedule(after: .milliseconds(100)) { [command = configuration.restartCommand] in
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
