import ApusController
import ApusMessaging

/// Follows tasks through their events, and knows what may come after what.
struct TaskStories {
  private var stages: [MessageID: Stage] = [:]
  /// How the tasks ended that have ended.
  private(set) var outcomes: [MessageID: TaskOutcome] = [:]
  /// A sentence for each event that came when it must not.
  private(set) var wrong: [String] = []

  private enum Stage { case submitted, waiting, queued, placed, retried, lost, aborted, finished }

  var unfinished: [MessageID] { stages.filter { $0.value != .finished }.map(\.key) }

  mutating func note(_ id: MessageID, _ kind: TaskEvent.Kind) {
    let stage = stages[id]
    // Those of engines come another way.
    guard let (next, expected) = Self.step(kind) else { return }
    if !expected.contains(stage) { wrong.append("\(kind.text(of: id)), and it was \(stage.map { "\($0)" } ?? "not known")") }
    stages[id] = next
    if case .finished(_, _, let outcome) = kind {
      if outcomes.updateValue(outcome, forKey: id) != nil { wrong.append("\(id) ended twice") }
      if (stage == .aborted) != (outcome == .aborted) { wrong.append("\(id) was \(outcome) after \(String(describing: stage))") }
      if stage == .lost, outcome != .lost { wrong.append("\(id) was lost and ended as \(outcome)") }
    }
  }

  /// Where it leads, and from where it may come.
  private static func step(_ kind: TaskEvent.Kind) -> (Stage, Set<Stage?>)? {
    switch kind {
    case .submitted: (.submitted, [nil])
    case .waiting: (.waiting, [.submitted])
    case .queued: (.queued, [.submitted, .waiting, .retried])
    case .placed: (.placed, [.submitted, .waiting, .queued, .retried])
    case .retried: (.retried, [.placed, .lost])
    case .lost: (.lost, [.placed, .submitted])
    // After a retry: while it rests.
    case .aborted: (.aborted, [.submitted, .waiting, .queued, .placed, .retried])
    case .finished: (.finished, [.submitted, .waiting, .queued, .placed, .retried, .lost, .aborted])
    case .started, .output, .failed, .restored, .abortRequested, .resubmitted: nil
    }
  }
}

extension TaskEvent.Kind {
  /// In words: `placed a e0`.
  func text(of id: MessageID) -> String {
    switch self {
    case .submitted(_, let engine): "submitted \(id)\(engine.map { " \($0)" } ?? "")"
    case .waiting(let count): "waiting \(id) for \(count)"
    case .queued: "queued \(id)"
    case .placed(let engine): "placed \(id) \(engine)"
    case .started: "started \(id)"
    case .output(let kind, _): "output \(id) \(kind)"
    case .retried(let engine, let reason): "retried \(id) \(engine) \(reason)"
    case .lost(let engine, let cause): "lost \(id) \(engine) \(cause)"
    case .failed: "failed \(id)"
    case .restored: "restored \(id)"
    case .abortRequested: "abort requested \(id)"
    case .aborted: "aborted \(id)"
    case .resubmitted(let other): "resubmitted \(id) as \(other)"
    case .finished(_, let engine, let outcome): "finished \(id)\(engine.map { " \($0)" } ?? "") \(outcome)"
    }
  }
}
