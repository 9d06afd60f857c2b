public import ApusMessaging

/// How an engine was lost.
public enum EngineLoss: Sendable, Hashable {
  /// It said so itself, or answered a shutdown.
  case unregistered
  /// The same of an engine that also says which balanced task it has begun last; `nil` is none.
  indirect case left(lastBegun: MessageID?)
  /// Its connection is gone: the process ended or was killed.
  case disconnected
  /// It stopped answering heartbeats.
  case silent
  /// It ended itself, because this task did not end: nothing else that it had has begun.
  indirect case overran(MessageID, reason: String)
  /// It did not come back to a controller that was restarted.
  case absent

  /// It did not die.
  var isOrderly: Bool {
    switch self {
    case .unregistered, .left: true
    case .disconnected, .silent, .overran, .absent: false
    }
  }

  var sentence: String {
    switch self {
    case .unregistered, .left: "it shut down"
    case .disconnected: "its connection was lost, which means that its process was killed or crashed; its log may say why"
    case .silent: "it stopped answering heartbeats"
    case .overran(let task, let reason): "it was ended because task \(task) \(reason)"
    case .absent: "the controller was restarted, and the engine did not come back to it"
    }
  }
}

extension EngineLoss {
  /// - Parameter goodbye: content of an unregistration request; stock engines say nothing but who they are.
  init(goodbye: JSONObject) {
    if let overran = goodbye["overran"], let task = overran["task"]?.stringValue {
      self = .overran(MessageID(task), reason: String((overran["reason"]?.stringValue ?? "did not end").prefix(300)))
    } else if let last = goodbye["begun"] {
      self = .left(lastBegun: last.stringValue.map { MessageID($0) })
    } else {
      self = .unregistered
    }
  }
}

extension RemoteError {
  /// The failure of a task whose engine was lost: the same sentence from whoever notices.
  /// - Parameters:
  ///   - engine: its id where that is known, else its uuid.
  ///   - cause: `EngineLoss.sentence`.
  static func engineDied(_ engine: some CustomStringConvertible, running task: MessageID, cause: String) -> RemoteError {
    let reason = "Engine \(engine) died while running task \(task): \(cause)"
    return RemoteError(name: "EngineError", value: reason, traceback: [reason])
  }

  /// The failure of a task for an engine that is not there: it has not had it.
  static func notSent(_ task: MessageID, to engine: EngineUUID) -> RemoteError {
    let reason = "Task \(task) was not sent: its engine \(engine) is not registered"
    return RemoteError(name: "EngineError", value: reason, traceback: [reason])
  }
}
