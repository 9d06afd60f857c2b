import ApusMessaging

/// How an engine was lost.
public enum EngineLoss: Sendable, Hashable {
  /// It said so itself, or answered a shutdown.
  case unregistered
  /// Its connection is gone: the process ended or was killed.
  case disconnected
  /// It stopped answering heartbeats.
  case silent
  /// It did not come back to a controller that was restarted.
  case absent

  var sentence: String {
    switch self {
    case .unregistered: "it shut down"
    case .disconnected: "its connection was lost, which means that its process was killed or crashed; its log may say why"
    case .silent: "it stopped answering heartbeats"
    case .absent: "the controller was restarted, and the engine did not come back to it"
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
}
