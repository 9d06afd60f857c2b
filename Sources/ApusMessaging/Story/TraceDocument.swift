/// A controller's events as a trace that Perfetto and Chrome show (the JSON form of the Trace Event Format): a row for each engine with what it
/// ran, how long tasks waited for one, and where engines were lost.
///
/// Times are the engines' own where they told them, else the controller's.
public struct TraceDocument {
  private var events: [JSONValue] = []
  private var rows: [EngineUUID: Int] = [:]
  private var open: [MessageID: Open] = [:]
  private let end: Timestamp

  private struct Open {
    var label: String?
    /// Since when it waits for an engine; `nil` while one has it.
    var waitsSince: Timestamp?
    var engine: EngineUUID?
    var placed: Timestamp?
    var started: Timestamp?
  }

  /// The rows of all engines are one process's, and the queue is another's.
  private static let engines = 1
  private static let queue = 2

  /// - Parameters:
  ///   - story: the oldest first.
  ///   - end: what is under way is shown as going on until then.
  public init(_ story: [StoryEvent], until end: Timestamp) {
    self.end = end
    events = [Self.name("process_name", Self.engines, nil, "engines"), Self.name("process_name", Self.queue, nil, "queue")]
    for event in story { read(event) }
    for (id, task) in open.sorted(by: { $0.key.text < $1.key.text }) { leaveOpen(id, task) }
  }

  public var json: JSONValue { ["traceEvents": .array(events), "displayTimeUnit": "ms"] }

  // MARK: events

  private mutating func read(_ event: StoryEvent) {
    switch event.kind {
    case .engineRegistered: if let engine = event.engine { _ = row(engine, event.engineID) }
    case .engineLost:
      guard let engine = event.engine else { return }
      instant("engine lost: \(event.error ?? event.reason ?? "")", row(engine, event.engineID), event.time, scope: "t")
    case .submitted:
      guard let id = event.task else { return }
      var task = Open(label: event.label ?? event.request)
      if let engine = event.engine {
        task.engine = engine
        task.placed = event.time
        _ = row(engine, event.engineID)
      } else if event.queue != "broadcast" {
        task.waitsSince = event.time
      } else {
        // As a whole it is nowhere: its shares are what runs.
        return
      }
      open[id] = task
    case .placed:
      guard let id = event.task, let engine = event.engine else { return }
      _ = row(engine, event.engineID)
      var task = open[id] ?? Open()
      if let since = task.waitsSince { waited(id, task, since, event.time) }
      (task.waitsSince, task.engine, task.placed, task.started) = (nil, engine, event.time, nil)
      open[id] = task
    case .started: if let id = event.task { open[id]?.started = event.time }
    case .retried:
      guard let id = event.task else { return }
      var task = open[id] ?? Open()
      if let engine = event.engine, let placed = task.placed {
        ran(id, task, engine, task.started ?? placed, event.time, ["end": .string(event.reason ?? "retried")])
      }
      (task.waitsSince, task.engine, task.placed) = (event.time, nil, nil)
      open[id] = task
    case .finished: finish(event)
    default: break
    }
  }

  private mutating func finish(_ event: StoryEvent) {
    guard let id = event.task else { return }
    let task = open.removeValue(forKey: id) ?? Open(label: event.label)
    if let since = task.waitsSince { waited(id, task, since, event.time) }
    guard let engine = event.engine else { return }
    var arguments: JSONObject = ["outcome": .string(event.outcome ?? "")]
    if let error = event.error { arguments["error"] = .string(error) }
    if event.outcome == "lost" {
      instant("task lost: \(task.label ?? id.text)", row(engine, event.engineID), event.time, scope: "t")
    }
    guard let began = event.began ?? task.started ?? task.placed else { return }
    _ = row(engine, event.engineID)
    ran(id, task, engine, began, max(began, event.ended ?? event.time), arguments)
  }

  private mutating func leaveOpen(_ id: MessageID, _ task: Open) {
    if let since = task.waitsSince { waited(id, task, since, max(since, end)) }
    guard let engine = task.engine, let began = task.started ?? task.placed else { return }
    ran(id, task, engine, began, max(began, end), ["outcome": "under way"])
  }

  // MARK: entries

  private mutating func ran(
    _ id: MessageID, _ task: Open, _ engine: EngineUUID, _ began: Timestamp, _ ended: Timestamp, _ arguments: JSONObject
  ) {
    var arguments = arguments
    arguments["task"] = .string(id.text)
    events.append([
      "name": .string(task.label ?? "task"), "cat": "task", "ph": "X", "ts": .int(began.microseconds),
      "dur": .int(max(0, ended.microseconds - began.microseconds)), "pid": .int(Self.engines), "tid": .int(row(engine, nil)),
      "args": .object(arguments),
    ])
  }

  /// The phases of tasks in the queue overlap: asynchronous events may.
  private mutating func waited(_ id: MessageID, _ task: Open, _ began: Timestamp, _ ended: Timestamp) {
    for (phase, time) in [("b", began), ("e", max(began, ended))] {
      events.append([
        "name": .string(task.label ?? "task"), "cat": "queue", "ph": .string(phase), "id": .string(id.text),
        "ts": .int(time.microseconds), "pid": .int(Self.queue), "tid": 0,
      ])
    }
  }

  private mutating func instant(_ name: String, _ row: Int, _ time: Timestamp, scope: String) {
    events.append([
      "name": .string(name), "cat": "loss", "ph": "i", "s": .string(scope), "ts": .int(time.microseconds),
      "pid": .int(Self.engines),
      "tid": .int(row),
    ])
  }

  /// Its number among the rows, which is its id where that is known.
  private mutating func row(_ engine: EngineUUID, _ id: EngineID?) -> Int {
    if let row = rows[engine] { return row }
    let taken = Set(rows.values)
    var row = id?.number ?? 1_000_000 + rows.count
    while taken.contains(row) { row += 1_000_000 }
    rows[engine] = row
    events.append(Self.name("thread_name", Self.engines, row, "engine \(id.map(\.description) ?? engine.text)"))
    events.append([
      "name": "thread_sort_index", "ph": "M", "pid": .int(Self.engines), "tid": .int(row), "args": ["sort_index": .int(row)],
    ])
    return row
  }

  private static func name(_ kind: String, _ process: Int, _ thread: Int?, _ name: String) -> JSONValue {
    ["name": .string(kind), "ph": "M", "pid": .int(process), "tid": .int(thread ?? 0), "args": ["name": .string(name)]]
  }
}
