public import ApusMessaging

/// What running code on one engine came to.
public struct CellReport: Sendable {
  public enum Status: String, Sendable {
    case ok
    /// The code raised an error.
    case error
    /// It was taken back before it ran.
    case aborted
    /// Its engine was lost.
    case lost
    /// No answer came before this program ended.
    case unanswered
  }

  public let engine: Int
  public var status: Status
  public var stdout: String
  public var stderr: String
  /// Displays, as text.
  public var displays: [String]
  /// The value of the last expression, as text.
  public var result: String?
  /// The number that the engine gave the cell.
  public var count: Int?
  public var error: RemoteError?
  /// Seconds that the engine worked on it.
  public var seconds: Double?

  public init(
    engine: Int, status: Status, stdout: String = "", stderr: String = "", displays: [String] = [], result: String? = nil,
    count: Int? = nil, error: RemoteError? = nil, seconds: Double? = nil
  ) {
    self.engine = engine
    self.status = status
    self.stdout = stdout
    self.stderr = stderr
    self.displays = displays
    self.result = result
    self.count = count
    self.error = error
    self.seconds = seconds
  }

  /// `Out[0:3]: 42`, as ipyparallel names the result of cell 3 on engine 0.
  public func resultText(isStyled: Bool) -> String? {
    guard let result else { return nil }
    func red(_ text: String) -> String { isStyled ? TerminalStyle.red.applied(to: text) : text }
    let name = "\(red("Out["))\(engine):\(count.map(String.init) ?? "")\(red("]:"))"
    return result.utf8.contains(0x0A) ? "\(name)\n\(result)\n" : "\(name) \(result)\n"
  }

  /// `[0:execute]` and the traceback.
  /// - Parameter isBrief: the error alone: the tracebacks of a hundred engines are nothing that anybody reads.
  public func errorText(isStyled: Bool, isBrief: Bool = false) -> String? {
    guard let error else { return nil }
    let name = "[\(engine):\(error.engine?.method ?? "execute")]"
    let head = isStyled ? TerminalStyle.red.applied(to: name) : name
    let lines = isBrief || error.traceback.isEmpty ? [] : error.traceback
    if lines.isEmpty { return "\(head) \(TerminalStyle.printable(error.description))\n" }
    let text = lines.joined(separator: "\n")
    return "\(head)\n\(isStyled ? text : TerminalStyle.removed(from: text))\n"
  }

  public var json: JSONValue {
    var failure = JSONValue.null
    if let error {
      failure = [
        "name": .string(error.name), "value": .string(error.value),
        "traceback": JSONValue(error.traceback.map { TerminalStyle.removed(from: $0) }),
      ]
    }
    return [
      "engine": .int(engine), "status": .string(status.rawValue), "stdout": .string(stdout), "stderr": .string(stderr),
      "displays": JSONValue(displays), "result": JSONValue(result), "execution_count": count.map { .int($0) } ?? .null,
      "error": failure, "duration_s": seconds.map { .double($0) } ?? .null,
    ]
  }
}
