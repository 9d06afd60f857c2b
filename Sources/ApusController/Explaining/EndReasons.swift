import ApusMessaging

/// Why a task has ended as it did.
struct EndReasons {
  let course: TaskCourse
  let end: StoryEvent
  let names: EngineNaming

  var reasons: [Explanation.Reason] {
    var reasons: [Explanation.Reason] = []
    switch end.outcome {
    case "ok": break
    case "error": reasons.append(.init("error", end.error ?? "it raised an error"))
    case "aborted": reasons += aborted
    case "lost": reasons.append(.init("engine_lost", course.lost?.error ?? end.error ?? "its engine was lost"))
    case "timed_out": reasons.append(.init("timeout", "it was in the queue for as long as it may"))
    case "impossible": reasons.append(.init("impossible", end.error ?? "what it depends on cannot be met any more"))
    default: reasons.append(.init("refused", end.error ?? "it was refused"))
    }
    let failed = course.tries.dropLast().count
    if end.outcome == "error" || end.outcome == "lost" {
      if failed > 0 {
        reasons.append(
          .init(
            "retries_spent", "it was tried \(course.tries.count) times, and had no retries left",
            ["tries": .int(course.tries.count)]))
      }
    } else if end.outcome == "ok", failed > 0 {
      reasons.append(.init("retried", "it was tried \(course.tries.count) times", ["tries": .int(course.tries.count)]))
    }
    if let other = course.resubmitted { reasons.append(TaskReasoning.resubmitted(other)) }
    return reasons
  }

  private var aborted: [Explanation.Reason] {
    let before = course.aborts.filter { $0.time <= end.time || $0.number < end.number }
    guard let first = before.first else {
      return [.init("aborted", "its engine ended it: one before it had failed, or somebody asked the engine itself")]
    }
    let client = first.client ?? ""
    let own = course.submitted?.client
    let who = client == own ? "its own client" : "client \(client)"
    let place = end.engine.map { "on \(names($0))" } ?? "before an engine had it"
    return [.init("aborted", "\(who) asked for its end; it ended \(place)", ["client": .string(client)])]
  }
}
