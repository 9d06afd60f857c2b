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
  /// It was sent on a connection that had been cut, which its client had not noticed: it waits there for the next one, and comes before what was lost.
  var isSentBlindly = false
  /// It is to run where others of them ran.
  var follows = false
  var preferences = Preferences()

  /// What it asks for beyond ipyparallel's flags.
  struct Preferences {
    var priority = 0
    var needs: [String: Double] = [:]
    /// The only engine that may have it.
    var target: EngineUUID?
    /// That one has what it needs.
    var isOffered = true
    /// Microseconds before the second try.
    var rest = 0
    /// Errors after which it is tried again; empty is any.
    var retryOn: [String] = []
  }

  /// Its client is ipyparallel's: nobody sends it again.
  var isStock = false
  /// When the controller got it first.
  var received: Int?
  /// A stock client's: who has answered it last, and when.
  weak var answerer: ControllerProcess?
  var answered = 0
  /// That one died before it could know, and write down, that its client has the answer.
  var mayBeRepeated = false
  /// It, or its answer, was under way to nobody, and nobody knows.
  var mayBeLost = false

  /// When its last run failed; `nil` where that is not how it ended.
  var failed: Int?
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
  /// A controller died in the moment after its end, or of its answer.
  var endMayBeForgotten = false

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
  let world: World
  private let scenario: Scenario
  private(set) var tasks: [MessageID: TaskAccount] = [:]
  private(set) var open: Set<MessageID> = []
  private(set) var order: [MessageID] = []
  /// Of clients that died.
  private var orphans: [MessageID] = []
  /// Of broadcasts: by what their clients call them, which is a share, or the whole where replies come as one.
  var broadcasts: [MessageID: BroadcastAccount] = [:]
  var openShares: Set<MessageID> = []
  /// Engines that were given up at least once.
  var lostEngines: Set<String> = []
  var ended = 0
  var runs = 0
  private(set) var again = 0
  /// Engines that had come in the last moment before their controller died: the next one does not know them before they are back.
  var unwritten: Set<EngineUUID> = []
  /// When a connection broke.
  private(set) var lastCut = -10_000_000
  /// Grows as long as there is something to do, be it for clients that are gone.
  var progress: Int { ended + runs }
  /// When something happened of which tasks may have been lost, or their results.
  private(set) var lastLoss = 0
  /// A controller died whose journal was not what it knew.
  private(set) var wasForgetful = false
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

  /// Nobody waits for anything.
  var isQuiet: Bool { open.isEmpty && openShares.isEmpty }

  func count(_ what: String) { counts[what, default: 0] += 1 }

  /// An engine died or seems to have, or a connection broke: whatever is under way may have been lost.
  func mayHaveLost(_ what: String) {
    lastLoss = world.now
    for id in open { tasks[id]?.losses += 1 }
    for id in orphans { tasks[id]?.losses += 1 }
    for id in openShares { broadcasts[id]?.mayBeLost = true }
  }

  /// - Parameter engine: what the engine has that runs it.
  /// - Returns: what this run does.
  func began(_ id: MessageID, having engine: [String: Double]) -> TaskAccount.Deed {
    guard let task = tasks[id] else {
      world.fail("\(id) runs, and nobody has submitted it")
      return .succeed
    }
    defer { task.runs += 1 }
    runs += 1
    if !task.mayRun(having: engine) { world.fail("\(id) needs \(task.preferences.needs), and runs where there is \(engine)") }
    if task.successes > 0 || task.runs > task.mostRetries + task.declines {
      again += 1
      // A result that was lost with its engine is worth a try.
      if scenario.runsOnce || scenario.isSteady && task.runs > task.mostRetries + task.declines {
        world.fail("\(id) runs for the \(task.runs + 1). time, and has \(task.retries) retries")
      }
    }
    if let failed = task.failed, scenario.runsOnce || scenario.isSteady, world.now - failed < task.preferences.rest {
      world.fail("\(id) failed \(world.now - failed) µs ago, and is to rest for \(task.preferences.rest)")
    }
    task.failed = nil
    return task.deeds[min(task.runs, task.deeds.count - 1)]
  }

  func finished(_ id: MessageID, _ deed: TaskAccount.Deed) {
    switch deed {
    case .succeed: tasks[id]?.successes += 1
    case .fail, .decline: tasks[id]?.failures += 1
    }
    if case .fail = deed { tasks[id]?.failed = world.now }
  }

  /// The client's handle has ended.
  func ended(_ id: MessageID, _ how: String) {
    if let broadcast = broadcasts[id] { return ended(broadcast, id, how) }
    guard let task = tasks[id] else { return world.fail("\(id) ends, and nobody has submitted it") }
    task.ends.append(how)
    task.ended = world.now
    open.remove(id)
    ended += 1
    count(how)
    if task.ends.count > 1 { return world.fail("\(id) ends twice: \(task.ends)") }
    if let wrong = objection(task, how) { world.fail("\(id) ends with \(how): \(wrong)") }
  }

  /// A controller dies. What came to it in the last moments it had no time to write down.
  /// - Parameter isWritten: what it knew is in its journal.
  /// - Parameter hasHeard: of whom there was a message.
  func controllerDies(_ controller: ControllerProcess, isWritten: Bool, hasHeard: Set<String>) {
    let (submitted, ended, answered) = (
      controller.moment(before: 10_000), controller.moment(before: 20_000), controller.moment(before: 100_000)
    )
    if !isWritten { wasForgetful = true }
    for id in openShares { broadcasts[id]?.mayBeLost = true }
    // Engines of ipyparallel keep no replies.
    if scenario.stockEngines > 0 { mayHaveLost("replies of stock engines") }
    for id in open {
      guard let task = tasks[id], task.isStock else { continue }
      if !isWritten || task.received ?? .max > submitted { task.mayBeLost = true }
    }
    for task in tasks.values {
      if task.answerer === controller, !isWritten || task.answered > answered || !hasHeard.contains(task.client) {
        task.mayBeRepeated = true
      }
      if task.ends.isEmpty {
        task.mayBeForgotten = true
      } else if task.ended > ended {
        (task.mayBeForgotten, task.endMayBeForgotten) = (true, true)
      }
    }
  }

  /// Its client has its result, and nobody can have forgotten it.
  private func hasSurelySucceeded(_ id: MessageID) -> Bool { tasks[id].map { $0.ends == ["ok"] && !$0.endMayBeForgotten } ?? false }

  /// A stock client gets an answer.
  /// - Returns: whether it has waited for it.
  func answered(_ task: TaskAccount, by controller: ControllerProcess?) -> Bool {
    // It may be dead by now.
    defer { (task.answerer, task.answered, task.mayBeRepeated) = (controller, world.now, !(controller?.isAlive ?? false)) }
    if task.ends.isEmpty { return true }
    count("answered again")
    // What is lost with the power may be that it has left; and a task that runs again is answered again.
    let isExplained = task.mayBeRepeated || scenario.powerFailures > 0 || task.successes + task.failures > task.retries + 1
    if !isExplained, scenario.cuts == 0, task.losses == 0 {
      world.fail("\(task.id) is answered again, and its client has its answer")
    }
    return false
  }

  /// Its client hears of its end from a controller that is dead by now.
  func isLastWord(of id: MessageID) { tasks[id]?.endMayBeForgotten = true }

  /// A connection broke.
  func cut(_ label: String) {
    lastCut = world.now
    mayHaveLost(label)
    for id in open { if let task = tasks[id], task.isStock, label.hasPrefix("\(task.client).") { task.mayBeLost = true } }
  }

  /// Those are waited for no longer which nobody may know.
  func giveUpLost() {
    let lost = open.filter { tasks[$0]?.mayBeLost ?? false }
    open.subtract(lost)
    orphans.append(contentsOf: lost)
  }

  func orphaned(by client: String) {
    for id in open where tasks[id]?.client == client { orphans.append(id) }
    open = open.filter { tasks[$0]?.client != client }
    openShares = openShares.filter { broadcasts[$0]?.client != client }
  }

  private func objection(_ task: TaskAccount, _ how: String) -> String? {
    switch how {
    case "ok": return task.successes > 0 ? nil : "it never succeeded"
    case "ValueError":
      if task.failures == 0 { return "it never failed" }
      if task.isAborted || !task.triesAgainAfterFailure || task.failures + task.losses > task.retries { return nil }
      return "it failed \(task.failures) times and has \(task.retries) retries"
    case "UnmetDependency": return task.deeds.contains(.decline) ? nil : "no engine declined it"
    case "aborted", "TaskAborted": return task.isAborted ? nil : "nobody aborted it"
    case "TaskTimeout": return task.hasTimeout ? nil : "it has no timeout"
    case "EngineError": return task.losses > 0 ? nil : "no engine was lost"
    case "ImpossibleDependency":
      if task.follows || task.deeds.contains(.decline) { return nil }
      if !task.names.isEmpty, wasForgetful || !task.names.allSatisfy({ hasSurelySucceeded($0) }) { return nil }
      if let target = task.preferences.target, unwritten.contains(target) { return nil }
      if task.hasTargets, !scenario.isMild || !task.preferences.isOffered { return nil }
      return "it depends on nothing"
    case "InvalidDependency":
      // An end that was not written in time is not known, and its client does not send what has ended.
      if task.isSentBlindly, scenario.cuts > 0 { return nil }
      if wasForgetful || task.names.contains(where: { tasks[$0]?.endMayBeForgotten ?? true }) { return nil }
      return "what it names has been submitted: \(task.names.map(\.text).sorted().joined(separator: ", "))"
    case "ResultLost": return task.losses > 0 || task.mayBeForgotten && wasForgetful ? nil : "nothing was lost"
    default: return "that is no reason"
    }
  }
}

extension TaskAccount {
  /// Each engine may have to say so.
  fileprivate var declines: Int { deeds.contains(.decline) ? 100 : 0 }

  fileprivate var triesAgainAfterFailure: Bool {
    preferences.retryOn.isEmpty || preferences.retryOn.contains("ValueError")
  }

  /// One that is only tried again after a loss has none where nothing was lost.
  fileprivate var mostRetries: Int { triesAgainAfterFailure || losses > 0 ? retries : 0 }

  /// Whether an engine that has this may run it.
  func mayRun(having engine: [String: Double]) -> Bool { preferences.needs.allSatisfy { engine[$0.key, default: 0] >= $0.value } }
}
