@testable import ApusController
import ApusMessaging

/// What must be true of a controller, and is only seen from outside of its states.
extension ControllerProcess {
  /// What waited, and any engine may have, was not passed over for something less urgent.
  func checkOrder() {
    guard cluster.scenario.priorities > 0, !sink.outbox.isEmpty, turns % max(1, tasks.tasks.count / 16) == 0 else { return }
    var least: (id: MessageID, priority: Int)?
    for case .request(let request, _) in sink.outbox {
      guard let id = request.messageID, let priority = cluster.ledger.tasks[id]?.preferences.priority else { continue }
      if priority < least?.priority ?? .max { least = (id, priority) }
    }
    guard let least else { return }
    let touched = Set(sink.events.map(\.id))
    func priority(_ id: MessageID) -> Int { cluster.ledger.tasks[id]?.preferences.priority ?? .min }
    let passed = tasks.tasks.values.lazy.filter { task in
      task.isQueued && !task.limitsPlacement && !touched.contains(task.id) && priority(task.id) > least.priority
    }
    // Always the same one: dictionaries have another order in each process.
    guard let first = passed.min(by: { $0.sequence < $1.sequence }) else { return }
    world.fail("\(least.id) goes before \(first.id), whose priority is \(priority(first.id)) and not \(least.priority)")
  }

  /// A journal that cannot be written says nothing, rather than what was true once.
  private func checkSilence() {
    guard wroteSnapshot, !journal.isWriting else { return }
    var restorer = Restorer()
    cluster.disk.read(into: &restorer)
    if let stale = restorer.finish().tasks.first(where: { tasks.tasks[$0.id] == nil }) {
      world.fail("the journal is suspended, and tells of \(stale.id), which has ended")
    }
  }

  /// With `always`, an end that a client hears of is on the disk.
  func checkWritten(_ id: MessageID) {
    guard configuration.sync == .always, cluster.scenario.fullDisks == 0, isJournaled, world.chance(2) else { return }
    var restorer = Restorer()
    cluster.disk.read(into: &restorer, synced: true)
    if restorer.finish().tasks.contains(where: { $0.id == id }) {
      world.fail("\(id) has ended for its client, and not on the disk")
    }
  }

  /// With `always`, a task that an engine has is there on the disk.
  func checkPlaced(_ id: MessageID, on uuid: EngineUUID) {
    guard configuration.sync == .always, cluster.scenario.fullDisks == 0, isJournaled, world.chance(2),
      case .placed(let index) = tasks.tasks[id]?.phase, tasks.engines[index].uuid == uuid
    else { return }
    var restorer = Restorer()
    cluster.disk.read(into: &restorer, synced: true)
    if restorer.finish().tasks.first(where: { $0.id == id })?.engine != uuid {
      world.fail("\(id) has come to \(uuid), and is not there on the disk")
    }
  }

  /// The journal is a true one.
  var isJournaled: Bool { hasSnapshot && journal.isWriting }

  /// What a controller that took this one's place would make of the journal, and of what is on its way there, is what this one knows.
  func checkJournal() {
    guard isJournaled else { return checkSilence() }
    var restorer = Restorer()
    cluster.disk.read(into: &restorer)
    var block = [UInt8](repeating: 0, count: JournalBlock.headerSize)
    var waiting = backlog
    for entry in waiting.take().turns.joined() + sink.facts.entries { JournalCodec.append(entry, to: &block) }
    JournalBlock.seal(&block)
    block.withUnsafeBytes { restorer.read(segment: $0, name: "what waits") }
    let restored = Dictionary(uniqueKeysWithValues: restorer.finish().tasks.map { ($0.id, $0) })
    var count = 0
    for case .restated(let task) in tasks.snapshot(now: world.instant, wall: world.timestamp) {
      count += 1
      guard let other = restored[task.id] else { return world.fail("\(task.id) is not in the journal") }
      let retries = cluster.ledger.tasks[task.id]?.retries ?? 0
      if other.engine != task.engine || other.attempt != task.attempt || min(other.spentRetries, retries) != task.spentRetries
        || !other.refused.isSuperset(of: task.refused)
      {
        return world.fail(
          "\(task.id) is on \(task.engine?.text ?? "none"), attempt \(task.attempt), \(task.spentRetries) spent; in the journal on "
            + "\(other.engine?.text ?? "none"), \(other.attempt), \(other.spentRetries)")
      }
    }
    guard restored.count != count else { return }
    let more = restored.keys.filter { tasks.tasks[$0] == nil }.map(\.text).sorted()
    world.fail("\(restored.count) tasks are in the journal, and there are \(count): not \(more.prefix(5).joined(separator: ", "))")
  }
}
