import ApusMessaging
@testable import ApusController

/// What a task was asked to do, and all that was seen of it. The parties do not read what was seen.
final class TaskAccount {
  /// What one run of it does.
  enum Deed { case succeed, fail, decline }

  let id: MessageID
  let client: String
  /// Microseconds.
  let length: Int
  /// One after another; the last goes on for ever.
  let deeds: [Deed]
  let retries: Int
  let hasTimeout: Bool
  let names: Set<MessageID>
  let hasTargets: Bool
  let submitted: Int

  var isAborted = false
  var wasSent = false
  var runs = 0
  var failures = 0
  var successes = 0
  /// Losses of engines, and the like, while it was under way: each may have cost a try.
  var losses = 0
  /// How it ended for its client.
  var ends: [String] = []
  var ended = 0
  /// A controller died at the very moment of its end, or before: what was not written yet is not known to the next.
  var mayBeForgotten = false
  /// Nobody waits for it any more.
  var isOrphaned = false

  init(
    id: MessageID, client: String, length: Int, deeds: [Deed], retries: Int, hasTimeout: Bool, names: Set<MessageID>,
    hasTargets: Bool, submitted: Int
  ) {
    self.id = id
    self.client = client
    self.length = length
    self.deeds = deeds
    self.retries = retries
    self.hasTimeout = hasTimeout
    self.names = names
    self.hasTargets = hasTargets
    self.submitted = submitted
  }
}

/// Everything that is known of all tasks, and what must be true of it.
final class Ledger {
  private let world: World
  private let scenario: Scenario
  private(set) var tasks: [MessageID: TaskAccount] = [:]
  private(set) var open: Set<MessageID> = []
  private(set) var order: [MessageID] = []
  private(set) var ended = 0
  private(set) var runs = 0
  private(set) var again = 0
  /// Grows as long as there is something to do, be it for clients that are gone.
  var progress: Int { ended + runs }
  /// When something happened of which tasks may have been lost, or their results.
  private(set) var lastLoss = 0
  /// Another controller has taken the place of the first.
  var hasRestarted = false
  var counts: [String: Int] = [:]

  init(_ world: World, _ scenario: Scenario) {
    self.world = world
    self.scenario = scenario
  }

  func submitted(_ task: TaskAccount) {
    tasks[task.id] = task
    open.insert(task.id)
    order.append(task.id)
  }

  func count(_ what: String) { counts[what, default: 0] += 1 }

  /// An engine died or seems to have, or a connection broke: whatever is under way may have been lost.
  func mayHaveLost(_ what: String) {
    lastLoss = world.now
    for id in open { tasks[id]?.losses += 1 }
  }

  /// - Returns: what this run does.
  func began(_ id: MessageID) -> TaskAccount.Deed {
    guard let task = tasks[id] else {
      world.fail("\(id) runs, and nobody has submitted it")
      return .succeed
    }
    defer { task.runs += 1 }
    runs += 1
    if task.successes > 0 || task.runs > task.retries + task.declines {
      again += 1
      if scenario.isMild { world.fail("\(id) runs for the \(task.runs + 1). time, and has \(task.retries) retries") }
    }
    return task.deeds[min(task.runs, task.deeds.count - 1)]
  }

  func finished(_ id: MessageID, _ deed: TaskAccount.Deed) {
    switch deed {
    case .succeed: tasks[id]?.successes += 1
    case .fail, .decline: tasks[id]?.failures += 1
    }
  }

  /// The client's handle has ended.
  func ended(_ id: MessageID, _ how: String) {
    guard let task = tasks[id] else { return world.fail("\(id) ends, and nobody has submitted it") }
    task.ends.append(how)
    task.ended = world.now
    open.remove(id)
    ended += 1
    count(how)
    if task.ends.count > 1 { return world.fail("\(id) ends twice: \(task.ends)") }
    if let wrong = objection(task, how) { world.fail("\(id) ends with \(how): \(wrong)") }
  }

  /// A controller dies.
  func controllerDies() {
    hasRestarted = true
    for task in tasks.values where task.ends.isEmpty || world.now - task.ended < 20_000 { task.mayBeForgotten = true }
  }

  func orphaned(by client: String) {
    for id in open where tasks[id]?.client == client { tasks[id]?.isOrphaned = true }
    open = open.filter { tasks[$0]?.client != client }
  }

  private func objection(_ task: TaskAccount, _ how: String) -> String? {
    switch how {
    case "ok": return task.successes > 0 ? nil : "it never succeeded"
    case "ValueError":
      if task.failures == 0 { return "it never failed" }
      if task.isAborted || task.failures + task.losses > task.retries { return nil }
      return "it failed \(task.failures) times and has \(task.retries) retries"
    case "UnmetDependency": return task.deeds.contains(.decline) ? nil : "no engine declined it"
    case "aborted", "TaskAborted": return task.isAborted ? nil : "nobody aborted it"
    case "TaskTimeout": return task.hasTimeout ? nil : "it has no timeout"
    case "EngineError": return task.losses > 0 ? nil : "no engine was lost"
    case "ImpossibleDependency":
      return !task.names.isEmpty || task.hasTargets || task.deeds.contains(.decline) ? nil : "it depends on nothing"
    case "InvalidDependency":
      // How tasks have ended is known as long as the journal has it.
      return !task.names.isEmpty && hasRestarted ? nil : "what it names has been submitted"
    case "ResultLost": return task.losses > 0 ? nil : "nothing was lost"
    default: return "that is no reason"
    }
  }
}

extension TaskAccount {
  /// Each engine may have to say so.
  fileprivate var declines: Int { deeds.contains(.decline) ? 100 : 0 }
}
