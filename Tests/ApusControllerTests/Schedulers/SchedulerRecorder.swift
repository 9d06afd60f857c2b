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
  private(set) var stories = TaskStories()
  /// What was told of tasks that others name.
  private(set) var outcomes: [MessageID: JournalOutcome] = [:]
  /// Running tasks that nobody wants.
  private(set) var unwanted: [MessageID] = []
  /// To whom failures were sent.
  private(set) var failedFor: [Frame] = []
  /// Stock clients whose tasks have ended.
  private(set) var stockClients: [MessageID: Frame] = [:]
  /// How often each task was answered.
  private(set) var answers: [MessageID: Int] = [:]
  /// Whether messages and events are kept; a simulation keeps only the counts.
  var isVerbose = true
  private mutating func say(_ text: @autoclosure () -> String) { if isVerbose { messages.append(text()) } }

  /// What each engine was sent. It takes no message twice, so a task that is tried again must differ.
  private var sent: Set<String> = []
  /// The attempts of each task, in the order in which they were sent.
  private(set) var attempts: [MessageID: [Int?]] = [:]

  mutating func send(_ request: Envelope, to engine: EngineUUID, attempt: Int?) {
    guard let id = request.messageID else { return }
    attempts[id, default: []].append(attempt)
    let words = "\(id) \(engine) \(attempt ?? -1)"
    #expect(sent.insert(words).inserted, "an engine is sent the same for the second time: \(words)")
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
    if isVerbose { failedFor += request.identities.prefix(1) }
    say("\(id): \(failure.error?.name ?? "aborted")")
    return Messages.reply(to: id, metadata: ["status": "error"])
  }

  mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) {
    stories.note(task, kind)
    if isVerbose { events.append(kind.text(of: task)) }
  }

  mutating func note(_ outcome: JournalOutcome, of task: MessageID) { outcomes[task] = outcome }
  mutating func noteStockClient(_ client: Frame, of task: MessageID) { stockClients[task] = client }
  mutating func noteUnwanted(_ task: MessageID) { unwanted.append(task) }

  /// Only the counts of answers stay, and the tasks' stories.
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
