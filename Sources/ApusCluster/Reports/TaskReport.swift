public import ApusMessaging

/// What `apus tasks` shows of a task in the database.
public struct TaskReport: Sendable {
  public enum State: String, Sendable, CaseIterable {
    /// It waits for an engine.
    case pending
    /// An engine has it, and has not answered: it runs, or waits behind others there.
    case running
    case done
    /// It failed, or was aborted.
    case failed
  }

  public let id: String
  public let label: String?
  /// The engine's id, or what is known of its name where it is gone.
  public let engine: JSONValue
  public let engineUUID: String?
  public let state: State
  public let submitted: Timestamp?
  public let started: Timestamp?
  public let completed: Timestamp?
  /// `ValueError: no`.
  public let error: String?

  /// The fields of a record that this needs.
  public static let fields = ["label", "engine_uuid", "submitted", "started", "completed", "received", "result_content"]

  /// - Parameters:
  ///   - fields: of the record, by ipyparallel's names.
  ///   - engines: ids by uuid of the engines that are registered.
  public init(id: String, fields: JSONObject, engines: [String: Int]) {
    self.id = id
    label = fields["label"]?.stringValue
    engineUUID = fields["engine_uuid"]?.stringValue
    engine = engineUUID.flatMap { engines[$0] }.map { .int($0) } ?? JSONValue(engineUUID)
    func time(_ key: String) -> Timestamp? { fields[key]?.stringValue.flatMap { Timestamp($0) } }
    submitted = time("submitted")
    started = time("started")
    completed = time("completed") ?? time("received")
    let content = fields["result_content"]?.objectValue
    let status = content?["status"]?.stringValue
    error =
      switch status {
      case "error":
        [content?["ename"]?.stringValue ?? "Error", content?["evalue"]?.stringValue ?? ""].filter { !$0.isEmpty }.joined(
          separator: ": ")
      case "aborted": "aborted"
      default: nil
      }
    if status == nil && completed == nil {
      state = engineUUID == nil ? .pending : .running
    } else {
      state = error == nil ? .done : .failed
    }
  }

  /// Seconds that the engine worked on it.
  public var seconds: Double? {
    guard let started, let completed, completed >= started else { return nil }
    return Double(completed.microseconds - started.microseconds) / 1_000_000
  }

  public static func table(_ tasks: [TaskReport], isStyled: Bool, wholeIDs: Bool = true) -> String {
    var table = TextTable([
      .init("ID"), .init("LABEL"), .init("ENGINE", isNumeric: true), .init("STATE"), .init("SUBMITTED"),
      .init("DURATION", isNumeric: true), .init("ERROR"),
    ])
    for task in tasks {
      let style: TerminalStyle? =
        switch task.state {
        case .pending: .yellow
        case .running: .cyan
        case .done: .green
        case .failed: .red
        }
      table.append([
        TextTable.Cell(task.id), TextTable.Cell(task.label ?? ""),
        TextTable.Cell(task.engine.intValue.map(String.init) ?? task.engine.stringValue.map { "\($0.prefix(8))…" } ?? ""),
        TextTable.Cell(task.state.rawValue, style), TextTable.Cell(shown(task.submitted)),
        TextTable.Cell(task.seconds.map { DurationText.text(seconds: $0) } ?? ""),
        TextTable.Cell(String((task.error ?? "").prefix(60)), .red),
      ])
    }
    return table.text(isStyled: isStyled)
  }

  /// UTC, to the second.
  private static func shown(_ time: Timestamp?) -> String {
    time.map { $0.description.prefix(19).replacing("T", with: " ") + "Z" } ?? ""
  }

  public var json: JSONValue {
    [
      "id": .string(id), "label": JSONValue(label), "engine": engine, "engine_uuid": JSONValue(engineUUID),
      "status": .string(state.rawValue), "submitted": JSONValue(submitted?.description), "started": JSONValue(started?.description),
      "completed": JSONValue(completed?.description), "duration_s": seconds.map { .double($0) } ?? .null, "error": JSONValue(error),
    ]
  }
}
