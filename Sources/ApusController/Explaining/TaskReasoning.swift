import ApusMessaging

/// Why a task waits, runs or has ended: what all parties know of it, put together. Decides nothing and asks nobody.
struct TaskReasoning {
  let id: MessageID
  /// Of the scheduler; `nil` for what is no balanced task, or known no more.
  var situation: TaskSituation?
  /// Of the history, in their order, with those of a broadcast's shares.
  var events: [StoryEvent] = []
  /// What its engine has at this moment.
  var open: [EventHistory.OpenTask] = []
  /// Engines that are registered.
  var ids: [EngineUUID: EngineID] = [:]
  /// Of the task database.
  var record: Record?
  /// The oldest event that is still known; `nil` while none was dropped.
  var historyBegins: Timestamp?
  var now: Timestamp

  /// What the task database knows of it.
  struct Record: Sendable, Hashable {
    var label: String?
    var engine: EngineUUID?
    var submitted: Timestamp?
    var began: Timestamp?
    var ended: Timestamp?
    var received: Timestamp?
    /// `ok`, `error` or `aborted`; `nil` before the end.
    var status: String?
    var error: String?
    var resubmitted: MessageID?
  }

  func explanation() -> Explanation {
    let own = events.filter { $0.task == id }
    let shares = events.filter { $0.task != id }
    if !shares.isEmpty { return broadcast(own, shares) }
    let course = TaskCourse(own, names: names)
    if let end = course.finished { return ended(course, end) }
    if let situation {
      switch situation.phase {
      case .waiting: return waiting(situation, course)
      case .queued: return queued(situation, course)
      case .placed(let engine): return placed(on: engine, course)
      case .finished(let succeeded, let engine): return forgotten(succeeded: succeeded, engine, course)
      }
    }
    if let engine = course.current { return placed(on: engine, course) }
    if let record { return recorded(record) }
    if !own.isEmpty { return underWay(course) }
    return unknown
  }

  // MARK: before its end

  private func waiting(_ situation: TaskSituation, _ course: TaskCourse) -> Explanation {
    if let left = situation.restLeft { return resting(left, situation, course) }
    var reasons = situation.after.map { dependencies($0) } ?? []
    reasons += limits(situation)
    return explanation("waiting", "task \(id) waits for other tasks\(since(course.submitted?.time))", reasons, course)
  }

  private func resting(_ left: Duration, _ situation: TaskSituation, _ course: TaskCourse) -> Explanation {
    let microseconds = Int(left / .microseconds(1))
    let reason = Explanation.Reason(
      "pause",
      "it has come back \(situation.attempt == 1 ? "once" : "\(situation.attempt) times"), and is tried again in "
        + StoryEvent.duration(microseconds: microseconds),
      ["seconds_left": .double(Double(microseconds) / 1_000_000), "attempt": .int(situation.attempt)])
    return explanation("waiting", "task \(id) rests before it is tried again", [reason], course)
  }

  private func queued(_ situation: TaskSituation, _ course: TaskCourse) -> Explanation {
    var reasons: [Explanation.Reason] = []
    if let engines = situation.heldFor {
      let who = engines == 1 ? "1 engine has" : "\(engines) engines have"
      reasons.append(
        .init(
          "restart", "the controller was restarted and places nothing yet: \(who) not said what it had", ["engines": .int(engines)])
      )
    }
    reasons += EngineReasons(situation, names: names).reasons
    if let follow = situation.follow { reasons += followed(follow) }
    if let ahead = situation.ahead, let reason = Self.position(ahead) { reasons.append(reason) }
    reasons += limits(situation)
    return explanation(
      "queued", "task \(id) waits for an engine\(since(course.queued?.time ?? course.submitted?.time))", reasons, course)
  }

  private static func position(_ position: TaskSituation.Position) -> Explanation.Reason? {
    switch position {
    case .exactly(0): nil
    case .exactly(1): .init("position", "1 task is to be served before it", ["ahead": 1])
    case .exactly(let count): .init("position", "\(count) tasks are to be served before it", ["ahead": .int(count)])
    case .atMost(let count): .init("position", "up to \(count) tasks are to be served before it", ["ahead_at_most": .int(count)])
    }
  }

  private func limits(_ situation: TaskSituation) -> [Explanation.Reason] {
    guard let left = situation.timeLeft else { return [] }
    let microseconds = Int(left / .microseconds(1))
    let text = StoryEvent.duration(microseconds: microseconds)
    return [.init("timeout", "its timeout ends it in \(text)", ["seconds_left": .double(Double(microseconds) / 1_000_000)])]
  }

  private func dependencies(_ named: TaskSituation.Named) -> [Explanation.Reason] {
    let how = named.success && named.failure ? "has ended" : named.success ? "has ended well" : "has failed"
    var reasons = named.tasks.filter { !$0.stage.isSettled }.map { one in
      Explanation.Reason(
        "dependency", "it runs when task \(one.id) \(how): that one \(words(one.stage))",
        ["task": .string(one.id.text), "stage": .string(Self.word(one.stage))])
    }
    if named.more > 0 { reasons.append(.init("dependency", "and for \(named.more) more tasks", ["more": .int(named.more)])) }
    if !named.all, reasons.count > 1 {
      reasons.insert(.init("any_dependency", "it waits for one of these, whichever comes first"), at: 0)
    }
    return reasons
  }

  private func followed(_ named: TaskSituation.Named) -> [Explanation.Reason] {
    named.tasks.map { one in
      .init(
        "follow", "it is to run where task \(one.id) ran: that one \(words(one.stage))",
        ["task": .string(one.id.text), "stage": .string(Self.word(one.stage))])
    }
  }

  private func words(_ stage: TaskSituation.Named.State.Stage) -> String {
    switch stage {
    case .waiting: "waits for other tasks itself"
    case .queued: "waits for an engine"
    case .placed(let engine): "is on \(names(engine))"
    case .succeeded(let engine): "ended well\(engine.map { " on \(names($0))" } ?? "")"
    case .failed(let engine): "failed\(engine.map { " on \(names($0))" } ?? " before it had an engine")"
    case .unknown: "is not known any more"
    }
  }

  private static func word(_ stage: TaskSituation.Named.State.Stage) -> String {
    switch stage {
    case .waiting: "waiting"
    case .queued: "queued"
    case .placed: "placed"
    case .succeeded: "succeeded"
    case .failed: "failed"
    case .unknown: "unknown"
    }
  }

  private func placed(on engine: EngineUUID, _ course: TaskCourse) -> Explanation {
    let mine = open.first { $0.id == id }
    // Of one whose placing is not in the history any more, all others count.
    let before = open.filter { $0.id != id && $0.number < mine?.number ?? .max }
    let name = names(engine)
    let placed = course.tries.last?.placed
    let details: JSONObject = ["engine_uuid": .string(engine.text), "behind": .int(before.count)]
    if let started = course.started, started >= placed ?? started {
      return explanation(
        "running", "task \(id) runs on \(name)\(since(started))", [.init("runs", "\(name) said that it began", details)], course)
    }
    guard let first = before.first else {
      let reason = Explanation.Reason("runs", "nothing is before it there: it runs, or is about to", details)
      return explanation("running", "task \(id) is on \(name)\(since(placed))", [reason], course)
    }
    let others = before.count == 1 ? "1 other task" : "\(before.count) other tasks"
    var reasons = [Explanation.Reason("behind", "it is behind \(others) there", details)]
    reasons.append(
      .init(
        "engine_runs", "\(name) got task \(first.id)\(first.label.map { " ('\($0)')" } ?? "") first, \(ago(first.since))",
        ["task": .string(first.id.text)]))
    return explanation("placed", "task \(id) is in the queue of \(name)\(since(placed))", reasons, course)
  }

  /// Its end is not known, nor where it is: of a request whose course is not in the history any more.
  private func underWay(_ course: TaskCourse) -> Explanation {
    explanation("unknown", "task \(id) is under way, and what became of it is not known here", [], course)
  }

  // MARK: after its end

  private func ended(_ course: TaskCourse, _ end: StoryEvent) -> Explanation {
    let reasons = EndReasons(course: course, end: end, names: names).reasons
    let outcome = end.outcome ?? "ok"
    let place = end.engine.map { " on \(names($0))" } ?? ""
    let word =
      switch outcome {
      case "ok": "ended well\(place)"
      case "error": "failed\(place)"
      case "aborted": "was aborted\(place)"
      case "lost": "was lost\(end.engine.map { " with \(names($0))" } ?? "")"
      case "timed_out": "was given up after its timeout"
      case "impossible": "could never run"
      default: "was refused"
      }
    return explanation("ended", "task \(id) \(word), \(ago(end.time))", reasons, course, outcome: outcome)
  }

  private func forgotten(succeeded: Bool, _ engine: EngineUUID?, _ course: TaskCourse) -> Explanation {
    if let record, record.status != nil { return recorded(record) }
    let place = engine.map { " on \(names($0))" } ?? ""
    let how = succeeded ? "ended well\(place)" : engine == nil ? "ended without an engine" : "failed\(place)"
    return explanation(
      "ended", "task \(id) \(how)", [.init("forgotten", "the history has no more of it\(beginning)")], course,
      outcome: succeeded ? "ok" : nil)
  }

  private func recorded(_ record: Record) -> Explanation {
    var facts = JSONObject()
    facts["source"] = "database"
    if let label = record.label { facts["label"] = .string(label) }
    if let engine = record.engine { facts["engine_uuid"] = .string(engine.text) }
    if let submitted = record.submitted { facts["submitted"] = .string(submitted.description) }
    var reasons: [Explanation.Reason] = []
    let place = record.engine.map { " on \(names($0))" } ?? ""
    guard let status = record.status else {
      return Explanation(
        subject: id.text, status: "unknown", summary: "task \(id) was submitted\(place), and its end is not known",
        reasons: [.init("forgotten", "the history has no more of it\(beginning)")], facts: facts)
    }
    if let error = record.error { reasons.append(.init(status, error)) }
    if let other = record.resubmitted { reasons.append(Self.resubmitted(other)) }
    reasons.append(.init("database", "this is from the task database: the history has no more of it\(beginning)"))
    var phases: [Explanation.Phase] = []
    if let began = record.began, let ended = record.ended, ended >= began {
      phases.append(.init("running", began: began, length: ended.microseconds - began.microseconds))
    }
    facts["outcome"] = .string(status)
    let how = status == "ok" ? "ended well" : status == "aborted" ? "was aborted" : "failed"
    return Explanation(
      subject: id.text, status: "ended",
      summary: "task \(id) \(how)\(place)\((record.received ?? record.ended).map { ", \(ago($0))" } ?? "")",
      reasons: reasons, phases: phases, facts: facts)
  }

  static func resubmitted(_ other: MessageID) -> Explanation.Reason {
    .init("resubmitted", "it was submitted again as task \(other)", ["task": .string(other.text)])
  }

  private var unknown: Explanation {
    let reason =
      historyBegins == nil
      ? Explanation.Reason("never_seen", "this controller has never seen it")
      : .init("never_seen", "it was never here, or has been dropped from the history\(beginning)")
    return Explanation(subject: id.text, status: "unknown", summary: "task \(id) is not known", reasons: [reason])
  }

  // MARK: broadcasts

  private func broadcast(_ own: [StoryEvent], _ shares: [StoryEvent]) -> Explanation {
    var courses: [(MessageID, TaskCourse)] = []
    for (task, events) in Dictionary(grouping: shares, by: { $0.task ?? id }) {
      courses.append((task, TaskCourse(events, names: names)))
    }
    courses.sort { ($0.1.submitted?.number ?? 0, $0.0.text) < ($1.1.submitted?.number ?? 0, $1.0.text) }
    var reasons: [Explanation.Reason] = []
    var openShares = 0
    var failed = 0
    for (task, course) in courses {
      let name = course.tries.first.map { names($0.engine) } ?? "an engine"
      let details: JSONObject = ["task": .string(task.text)]
      if let end = course.finished {
        if end.outcome != "ok" { failed += 1 }
        reasons.append(.init("share_\(end.outcome ?? "ok")", "\(name): \(course.tries.last?.sentence ?? "ended")", details))
      } else {
        openShares += 1
        reasons.append(.init("share_open", "\(name) has not answered", details))
      }
    }
    // Who has not answered is what is waited for.
    reasons = reasons.filter { $0.code == "share_open" } + reasons.filter { $0.code != "share_open" }
    let course = TaskCourse(own, names: names)
    let isOver = openShares == 0
    let summary =
      isOver
      ? "broadcast \(id) has ended on \(courses.count) engines\(failed > 0 ? ", and failed on \(failed)" : "")"
      : "broadcast \(id) runs: \(openShares) of \(courses.count) engines have not answered"
    return explanation(isOver ? "ended" : "running", summary, reasons, course)
  }

  // MARK: words

  private var names: EngineNaming { EngineNaming(ids: ids, events: events) }

  private func ago(_ moment: Timestamp) -> String {
    "\(StoryEvent.duration(microseconds: now.microseconds - moment.microseconds)) ago"
  }

  private func since(_ moment: Timestamp?) -> String {
    moment.map { ", for \(StoryEvent.duration(microseconds: now.microseconds - $0.microseconds)) now" } ?? ""
  }

  private var beginning: String { historyBegins.map { ", which begins at \($0)" } ?? "" }

  private func explanation(
    _ status: String, _ summary: String, _ reasons: [Explanation.Reason], _ course: TaskCourse, outcome: String? = nil
  ) -> Explanation {
    var reasons = reasons
    if course.isRestored { reasons.append(.init("restored", "a controller that was restarted has it from its journal")) }
    if course.abortRequests > 0, outcome == nil {
      reasons.append(.init("abort_requested", "its end was asked for, and its engine has not answered that"))
    }
    var facts = course.facts
    if let outcome { facts["outcome"] = .string(outcome) }
    if let situation, outcome == nil { facts["retries_left"] = .int(situation.retriesLeft) }
    return Explanation(
      subject: id.text, status: status, summary: summary, reasons: reasons, tries: course.tries,
      phases: course.phases(now: now, hasEnded: status == "ended"), facts: facts)
  }
}

/// How engines are called: by their ids where those are known.
struct EngineNaming {
  private var known: [EngineUUID: EngineID]

  init(ids: [EngineUUID: EngineID], events: [StoryEvent] = []) {
    known = ids
    for event in events { if let engine = event.engine, let id = event.engineID { known[engine] = id } }
  }

  func id(_ engine: EngineUUID) -> EngineID? { known[engine] }
  func callAsFunction(_ engine: EngineUUID) -> String { "engine \(known[engine].map(\.description) ?? engine.text)" }
}

extension TaskReasoning.Record {
  init(_ record: TaskRecord) {
    func moment(_ field: TaskRecord.Field) -> Timestamp? { record.value(field).stringValue.flatMap { Timestamp($0) } }
    label = record.value(.label).stringValue
    engine = record.engine
    submitted = record.submitted
    began = moment(.started)
    ended = moment(.completed)
    received = record.received
    resubmitted = record.resubmitted
    guard record.isFinished else { return }
    let content = record.value(.result_content)
    status = content["status"]?.stringValue ?? "ok"
    if status == "error" {
      error = [content["ename"]?.stringValue ?? "Error", content["evalue"]?.stringValue ?? ""].filter { !$0.isEmpty }
        .joined(separator: ": ")
    }
  }
}
