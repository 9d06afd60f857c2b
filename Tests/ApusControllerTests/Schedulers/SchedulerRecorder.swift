import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// Writes down what the task scheduler's state wants done, in words.
struct SchedulerRecorder: TaskSchedulerEffects {
  /// What goes out: `a → e0`, `a: answer of e0`, `a: ImpossibleDependency`, `a: aborted`.
  private(set) var messages: [String] = []
  /// What is reported: `placed a e0` and so on.
  private(set) var events: [String] = []
  /// How often each task was answered.
  private(set) var answers: [MessageID: Int] = [:]
  /// Whether messages and events are kept; a simulation keeps only the counts.
  var isVerbose = true
  private mutating func say(_ text: @autoclosure () -> String) { if isVerbose { messages.append(text()) } }

  mutating func send(_ request: Envelope, to engine: EngineUUID) {
    guard let id = request.messageID else { return }
    say("\(id) → \(engine)")
  }

  mutating func relay(_ reply: Envelope, to request: Envelope) {
    guard let id = request.messageID else { return }
    answers[id, default: 0] += 1
    say("\(id): answer of \(reply.identities.first?.text ?? "nobody")")
  }

  mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope {
    guard let id = request.messageID else { return request }
    answers[id, default: 0] += 1
    switch failure {
    case .error(let error): say("\(id): \(error.name)")
    case .aborted: say("\(id): aborted")
    }
    return Messages.reply(to: id, metadata: ["status": "error"])
  }

  mutating func report(_ event: TaskEvent) {
    guard isVerbose else { return }
    switch event {
    case .submitted(let id, _, let queue, let engine): events.append("submitted \(id) \(queue)\(engine.map { " \($0)" } ?? "")")
    case .placed(let id, let engine): events.append("placed \(id) \(engine)")
    case .output(let id, _, _): events.append("output \(id)")
    case .retried(let id, let engine, let reason): events.append("retried \(id) \(engine) \(reason)")
    case .finished(let id, _, let engine): events.append("finished \(id)\(engine.map { " \($0)" } ?? "")")
    }
  }

  /// Only the counts of answers stay.
  mutating func forget() {
    messages = []
    events = []
  }

  /// The messages since the last look.
  mutating func expect(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(messages == expected, sourceLocation: location)
    messages = []
  }

  mutating func expectEvents(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(events == expected, sourceLocation: location)
    events = []
  }

  func expectNothingElse(at location: SourceLocation = #_sourceLocation) {
    #expect(messages.isEmpty, sourceLocation: location)
  }
}
