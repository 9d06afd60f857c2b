import ApusMessaging
import Transport

/// One message to be sent, and who waits for its answers.
struct Request: Sendable {
  enum Route: Sendable, Hashable {
    /// A query of the hub.
    case hub
    /// To an engine's control channel, which answers while a task runs.
    case control(RegisteredEngine)
    /// To an engine's shell.
    case direct(RegisteredEngine)
    /// To the task scheduler.
    case balanced
    /// To several engines, whose replies come as one.
    case coalescing([RegisteredEngine])
    /// To several engines, one share each.
    case broadcast([RegisteredEngine])
  }

  let number: TaskNumber
  let route: Route
  let type: MessageType
  let content: Frame
  let metadata: Frame
  var buffers: [Frame] = []
  /// One; for a broadcast that does not coalesce one for each engine, in their order.
  let handles: [TaskHandle]
  var awaitsOutput = false
  /// When to give up waiting; `nil` is never.
  var deadline: ContinuousClock.Instant?
  /// What it counts for while it is under way, in bytes.
  let cost: Int
  /// Whether it may be kept until it is answered, and sent again: not where somebody waits for its memory.
  var maySendAgain = true
}

/// An engine came or went.
public enum EngineEvent: Hashable, Sendable {
  case arrived(RegisteredEngine)
  case departed(RegisteredEngine)
}
