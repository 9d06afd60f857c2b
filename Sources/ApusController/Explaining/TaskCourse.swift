import ApusMessaging

/// A task's way through the cluster, read from its events.
struct TaskCourse {
  private(set) var submitted: StoryEvent?
  private(set) var waiting: StoryEvent?
  private(set) var queued: StoryEvent?
  /// When its engine said that it began.
  private(set) var started: Timestamp?
  private(set) var finished: StoryEvent?
  private(set) var tries: [Explanation.Try] = []
  private(set) var lost: StoryEvent?
  private(set) var aborts: [StoryEvent] = []
  private(set) var resubmitted: MessageID?
  private(set) var isRestored = false

  var abortRequests: Int { aborts.count }
  /// The engine that has it, as far as the events tell.
  var current: EngineUUID? { finished == nil && tries.last?.end == nil ? tries.last?.engine : nil }

  init(_ events: [StoryEvent], names: EngineNaming) {
    for event in events { read(event, names) }
  }

  private mutating func read(_ event: StoryEvent, _ names: EngineNaming) {
    switch event.kind {
    case .submitted:
      submitted = event
      if let engine = event.engine { begin(on: engine, event, names) }
    case .restored: isRestored = true
    case .waiting: waiting = event
    case .queued: queued = event
    case .placed: if let engine = event.engine { begin(on: engine, event, names) }
    case .started: started = event.time
    case .lost:
      lost = event
      end(event, event.reason == nil ? "lost" : "engine_lost", "the engine was lost: \(event.error ?? "")", names)
    case .retried:
      let why =
        switch event.reason {
        case "failed": "it failed\(event.error.map { ": \($0)" } ?? "")"
        case "unmet_dependency": "the engine declined it: a functional dependency is not met there"
        case "engine_lost": "the engine was lost"
        case "undelivered": "it never got there"
        default: event.reason ?? ""
        }
      end(event, event.reason ?? "failed", why, names)
    case .abortRequested: aborts.append(event)
    case .resubmitted: resubmitted = event.other
    case .finished:
      finished = event
      guard let engine = event.engine else { break }
      // Of a reply by another engine than the last that is known.
      if tries.last?.engine != engine || tries.last?.end != nil && tries.last?.end != "engine_lost" {
        begin(on: engine, event, names)
      }
      let word = event.outcome ?? "ok"
      let sentence =
        word == "ok"
        ? "ended well" : word == "error" ? "it failed\(event.error.map { ": \($0)" } ?? "")" : word == "aborted" ? "aborted" : ""
      if word != "lost" { end(event, word, sentence, names) }
    default: break
    }
  }

  private mutating func begin(on engine: EngineUUID, _ event: StoryEvent, _ names: EngineNaming) {
    let id = event.engineID ?? names.id(engine)
    tries.append(Explanation.Try(engine: engine, engineID: id, placed: event.time, sentence: "\(names(engine)): is there"))
    started = nil
  }

  private mutating func end(_ event: StoryEvent, _ word: String, _ sentence: String, _ names: EngineNaming) {
    guard let last = tries.indices.last, tries[last].end == nil, event.engine == nil || tries[last].engine == event.engine else {
      return
    }
    tries[last].ended = event.time
    tries[last].end = word
    let time = StoryEvent.duration(microseconds: event.time.microseconds - tries[last].placed.microseconds)
    tries[last].sentence = "\(names(tries[last].engine)), \(time): \(sentence)"
  }

  // MARK: what follows

  var facts: JSONObject {
    var facts = JSONObject()
    if let submitted {
      if let queue = submitted.queue { facts["queue"] = .string(queue) }
      if let client = submitted.client { facts["client"] = .string(client) }
      if let label = submitted.label { facts["label"] = .string(label) }
      if let request = submitted.request { facts["request"] = .string(request) }
      facts["submitted"] = .string(submitted.time.description)
    }
    if let finished {
      facts["finished"] = .string(finished.time.description)
      if let error = finished.error { facts["error"] = .string(error) }
    }
    if let last = tries.last {
      facts["engine_uuid"] = .string(last.engine.text)
      if let id = last.engineID { facts["engine"] = .int(id.number) }
    }
    if isRestored { facts["restored"] = true }
    if let resubmitted { facts["resubmitted"] = .string(resubmitted.text) }
    return facts
  }

  /// The last try's, and what came before it. The clocks of client, controller and engine may disagree: what would be negative is left out.
  func phases(now: Timestamp, hasEnded: Bool) -> [Explanation.Phase] {
    var phases: [Explanation.Phase] = []
    func add(_ name: String, _ start: Timestamp?, _ end: Timestamp?) {
      guard let start, let end, end >= start, end.microseconds - start.microseconds < 86_400_000_000 * 365 else { return }
      phases.append(Explanation.Phase(name, began: start, length: end.microseconds - start.microseconds))
    }
    guard let submitted else { return [] }
    add("from the client to the controller", submitted.sent, submitted.time)
    let placed = submitted.engine == nil ? tries.last?.placed : nil
    let ready = queued?.time ?? placed
    let open = hasEnded ? finished?.time : now
    if let waiting, submitted.engine == nil { add("waiting for other tasks", waiting.time, ready ?? open) }
    if submitted.engine == nil, waiting == nil || ready != nil {
      add("waiting for an engine", waiting == nil ? submitted.time : ready, placed ?? open)
    }
    guard let there = tries.last?.placed else { return phases }
    guard let finished, tries.last?.end == nil || tries.last?.end == finished.outcome else {
      if !hasEnded {
        add("on the way to its engine and in its queue", there, started ?? now)
        add("running", started, now)
      }
      return phases
    }
    guard let began = finished.began, let ended = finished.ended else {
      add("at its engine", there, finished.time)
      return phases
    }
    add("on the way to its engine and in its queue", there, began)
    add("running", began, ended)
    add("on the way back", ended, finished.time)
    return phases
  }
}
