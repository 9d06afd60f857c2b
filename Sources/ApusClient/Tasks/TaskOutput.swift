public import ApusMessaging

/// What a task wrote and showed while it ran, in order.
public struct TaskOutput: Sendable, Hashable {
  /// One piece of output.
  public enum Event: Sendable, Hashable {
    case stdout(String)
    case stderr(String)
    /// `display(...)` on a Python engine: representations by MIME type.
    case display(data: JSONObject, metadata: JSONObject)
    /// The value of an executed cell's last expression, as displays.
    case result(data: JSONObject, metadata: JSONObject, executionCount: Int?)
    /// The error as the engine showed it.
    case error(RemoteError)
    /// Any other message on the output channel: its type and content.
    case other(MessageType, JSONObject)

    var byteCount: Int {
      switch self {
      case .stdout(let text), .stderr(let text): text.utf8.count + 32
      default: 1024
      }
    }
  }

  public internal(set) var events: [Event] = []
  /// Whether output was dropped because it was above `maximumOutputBytes`.
  public internal(set) var isTruncated = false
  private var byteCount = 0

  public init() {}

  public var stdout: String { events.reduce(into: "") { if case .stdout(let text) = $1 { $0 += text } } }
  public var stderr: String { events.reduce(into: "") { if case .stderr(let text) = $1 { $0 += text } } }
  /// The representations of what was displayed.
  public var displays: [JSONObject] { events.compactMap { if case .display(let data, _) = $0 { data } else { nil } } }
  /// The representations of the result of a cell.
  public var result: JSONObject? { events.lazy.compactMap { if case .result(let data, _, _) = $0 { data } else { nil } }.last }

  /// - Returns: false if there was no room for it.
  mutating func append(_ event: Event, limit: Int) -> Bool {
    guard byteCount < limit else {
      isTruncated = true
      return false
    }
    byteCount += event.byteCount
    events.append(event)
    return true
  }
}

extension TaskOutput.Event {
  /// - Returns: `nil` for messages that are no output: status, the echo of the input.
  init?(_ message: Envelope) {
    guard let type = message.messageType, type != .status, type != .executeInput, let content = try? message.content() else {
      return nil
    }
    switch type {
    case .stream:
      let text = content["text"]?.stringValue ?? ""
      self = content["name"]?.stringValue == "stderr" ? .stderr(text) : .stdout(text)
    case .displayData:
      self = .display(data: content["data"]?.objectValue ?? [:], metadata: content["metadata"]?.objectValue ?? [:])
    case .executeResult:
      self = .result(
        data: content["data"]?.objectValue ?? [:], metadata: content["metadata"]?.objectValue ?? [:],
        executionCount: content["execution_count"]?.intValue)
    case .error:
      self = .error(
        RemoteError(
          name: content["ename"]?.stringValue ?? "", value: content["evalue"]?.stringValue ?? "",
          traceback: content["traceback"]?.stringArrayValue ?? []))
    default: self = .other(type, content)
    }
  }
}
