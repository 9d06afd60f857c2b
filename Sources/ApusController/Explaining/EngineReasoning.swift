import ApusMessaging

/// What an engine does, or why it is gone.
struct EngineReasoning {
  /// How it was asked for.
  let engine: StoryFilter.Engine
  /// Of the hub, while it is registered.
  var here: Here?
  /// When it came and went.
  var events: [StoryEvent] = []
  /// What it has at this moment, in the order in which it got it.
  var open: [EventHistory.OpenTask] = []
  var historyBegins: Timestamp?
  var now: Timestamp

  struct Here: Sendable, Hashable {
    var id: EngineID
    var uuid: EngineUUID
    var kind: String
    /// One of Apus's own.
    var isOwn: Bool
    var completed: Int
    /// It gets no more tasks.
    var isDraining = false
    /// Since its heart was last heard.
    var heartbeat: Duration?
  }

  func explanation() -> Explanation {
    if let here { return registered(here) }
    guard let last = events.last else { return unknown }
    var facts = facts(of: last)
    let name = last.engineID.map { "engine \($0)" } ?? "engine \(last.engine?.text ?? "")"
    // It registers at this moment, as it seems: the hub has it no more, or not yet.
    guard last.kind == .engineLost else {
      return Explanation(subject: name, status: "unknown", summary: "\(name) is not registered", facts: facts)
    }
    facts["lost"] = .string(last.time.description)
    let reason = Explanation.Reason(last.reason ?? "lost", last.error ?? "", ["time": .string(last.time.description)])
    let verb = last.reason == "unregistered" ? "left" : "was lost"
    return Explanation(
      subject: name, status: "lost", summary: "\(name) \(verb), \(ago(last.time))", reasons: [reason] + stay(until: last),
      facts: facts)
  }

  private func registered(_ here: Here) -> Explanation {
    let name = "engine \(here.id)"
    var reasons: [Explanation.Reason] = []
    for (index, task) in open.prefix(20).enumerated() {
      let label = task.label.map { " ('\($0)')" } ?? ""
      let details: JSONObject = [
        "task": .string(task.id.text), "since": .string((task.started ?? task.since).description),
        "queue": JSONValue(task.queue?.rawValue),
      ]
      let runs = index == 0 || task.started != nil
      reasons.append(
        runs
          ? .init(
            "runs",
            "it runs task \(task.id)\(label), \(task.started == nil ? "which it got" : "which began") \(ago(task.started ?? task.since))",
            details)
          : .init("queued", "task \(task.id)\(label) waits there, for \(time(task.since))", details))
    }
    if open.count > 20 { reasons.append(.init("queued", "and \(open.count - 20) more tasks", ["more": .int(open.count - 20)])) }
    if here.isDraining { reasons.append(.init("draining", "it gets no more tasks: it is about to go")) }
    if let heartbeat = here.heartbeat {
      let microseconds = Int(heartbeat / .microseconds(1))
      reasons.append(
        .init(
          "heartbeat", "its heart was last heard \(StoryEvent.duration(microseconds: microseconds)) ago",
          ["seconds": .double(Double(microseconds) / 1_000_000)]))
    }
    if let came = events.last(where: { $0.kind == .engineRegistered }) {
      reasons.append(.init("registered", "it registered \(ago(came.time))", ["time": .string(came.time.description)]))
    }
    let absences = events.filter { $0.kind == .engineLost }
    if let last = absences.last {
      reasons.append(
        .init("came_back", "it was gone before, \(ago(last.time)): \(last.error ?? "")", ["times": .int(absences.count)]))
    }
    let waiting = max(0, open.count - 1)
    let summary =
      open.isEmpty
      ? "\(name) is idle: it has no task"
      : "\(name) runs a task\(waiting == 0 ? "" : ", and \(waiting == 1 ? "1 waits" : "\(waiting) wait") behind it")"
    return Explanation(
      subject: name, status: "registered", summary: summary, reasons: reasons,
      facts: [
        "engine": .int(here.id.number), "engine_uuid": .string(here.uuid.text), "kind": .string(here.kind),
        "own": .bool(here.isOwn),
        "completed": .int(here.completed), "open": .int(open.count),
      ])
  }

  private func stay(until last: StoryEvent) -> [Explanation.Reason] {
    guard let came = events.last(where: { $0.kind == .engineRegistered && $0.number < last.number }) else { return [] }
    let text = StoryEvent.duration(microseconds: last.time.microseconds - came.time.microseconds)
    return [.init("registered", "it had been there for \(text)", ["time": .string(came.time.description)])]
  }

  private func facts(of event: StoryEvent) -> JSONObject {
    var facts = JSONObject()
    if let id = event.engineID { facts["engine"] = .int(id.number) }
    if let uuid = event.engine { facts["engine_uuid"] = .string(uuid.text) }
    return facts
  }

  private var unknown: Explanation {
    let name =
      switch engine {
      case .id(let id): "engine \(id)"
      case .uuid(let uuid): "engine \(uuid)"
      }
    let reason =
      historyBegins.map { "there was none since \($0), where the history begins" } ?? "there was none since the controller started"
    return Explanation(
      subject: name, status: "unknown", summary: "\(name) is not known", reasons: [.init("never_seen", reason)])
  }

  private func time(_ moment: Timestamp) -> String { StoryEvent.duration(microseconds: now.microseconds - moment.microseconds) }
  private func ago(_ moment: Timestamp) -> String { "\(time(moment)) ago" }
}
