public import ApusMessaging
public import Transport

/// What came back for a task: one reply message. Its dictionaries stay bytes until asked for.
public struct TaskReply: Sendable {
  let envelope: Envelope

  init(_ envelope: Envelope) { self.envelope = envelope }

  /// `apply_reply`, `execute_reply` and so on.
  public var type: MessageType { envelope.messageType ?? MessageType("") }
  /// Protocol section 7.2: `started`, `engine`, `status`, `dependencies_met` and the codec's own. Empty if it cannot be read.
  public var metadata: JSONObject { (try? envelope.metadata()) ?? JSONObject() }
  /// Protocol section 7.3. Empty if it cannot be read.
  public var content: JSONObject { (try? envelope.content()) ?? JSONObject() }
  /// The result: raw parts in the form that the request's codec says.
  public var buffers: ArraySlice<Frame> { envelope.buffers }
  public var metadataFrame: Frame { envelope.metadataFrame }
  public var contentFrame: Frame { envelope.contentFrame }
  public var headerFrame: Frame { envelope.headerFrame }
  /// Whether the task succeeded.
  public var isSuccess: Bool { envelope.replyStatus == .ok }

  /// Which engine answered; `nil` if a scheduler or the hub did.
  public var engine: EngineUUID? { Envelope.string("engine", of: envelope.metadataFrame).map { EngineUUID($0) } }
  /// When the engine began with it.
  public var started: Timestamp? { Envelope.string("started", of: envelope.metadataFrame).flatMap { Timestamp($0) } }
  /// When the engine had answered.
  public var completed: Timestamp? { (try? envelope.header())?.timestamp }

  /// Messages of output that the engine had published for the task; of ipyparallel's engines it is not known, and 0.
  var outputCount: Int {
    // Most tasks have none, and their replies not the word either.
    guard envelope.metadataFrame.withUnsafeBytes({ HeaderScanner($0).has("output") }) else { return 0 }
    return max(0, metadata["output"]?.intValue ?? 0)
  }

  /// What the reply says of the task: the reply itself, or why there is no result.
  var outcome: TaskOutcome {
    let status = envelope.replyStatus
    if status == .ok { return .success(self) }
    if status == .aborted { return .failure(RemoteError.aborted) }
    if var error = RemoteError(content) {
      error.thrown?.frames = Array(buffers)
      return .failure(error)
    }
    return .failure(ClientError(.badReply, "a reply of type \(type) says neither that its task succeeded nor why it did not"))
  }
}

/// How a task ended. Failures are `RemoteError` (over there) or `ClientError` (on this side).
typealias TaskOutcome = Result<TaskReply, any Error>

/// What ends a task: a message, or what keeps one from coming.
enum TaskEnding: Sendable {
  case reply(TaskReply)
  case failure(any Error)

  var outcome: TaskOutcome {
    switch self {
    case .reply(let reply): reply.outcome
    case .failure(let error): .failure(error)
    }
  }
}

extension RemoteError {
  /// The task was taken back before it ran, as ipyparallel names it.
  static let aborted = RemoteError(name: "TaskAborted", value: "the task was aborted before it ran")
  /// Whether the task was taken back before it ran.
  public var isAborted: Bool { name == "TaskAborted" }
  /// Whether its engine was lost.
  public var isEngineLoss: Bool { name == "EngineError" }

  /// Of a task that the engine may have run, in ipyparallel's words, which its users look for.
  static func engineLost(_ engine: RegisteredEngine, task: MessageID) -> RemoteError {
    engineError("Engine '\(engine.uuid)' died while running task '\(task)'", engine)
  }

  /// Of a task that no engine has seen: a restarted controller has not had its engine back in time.
  static func engineAbsent(_ engine: RegisteredEngine, task: MessageID) -> RemoteError {
    engineError(
      "Task '\(task)' was not sent: its engine '\(engine.uuid)' has not come back since the controller was restarted", engine)
  }

  /// The same: its engine had gone before the task could leave.
  static func engineGone(_ engine: RegisteredEngine, task: MessageID) -> RemoteError {
    engineError("Task '\(task)' was not sent: its engine '\(engine.uuid)' is gone", engine)
  }

  private static func engineError(_ reason: String, _ engine: RegisteredEngine) -> RemoteError {
    RemoteError(
      name: "EngineError", value: reason, traceback: [reason], engine: EngineInfo(uuid: engine.uuid, id: engine.id, method: "apply")
    )
  }
}
