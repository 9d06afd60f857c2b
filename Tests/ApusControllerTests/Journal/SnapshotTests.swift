import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Journal: snapshots")
struct SnapshotTests {
  @Test("a snapshot restores what there was", arguments: 0..<12)
  func snapshots(round: UInt64) {
    let seed = SeededRandom.newSeed() &+ round
    var random = SeededRandom(seed: seed)
    var state = TaskSchedulerState(highWaterMark: 2, lookAhead: 2)
    var effects = SchedulerRecorder()
    let now = ContinuousClock.now
    let uuids = (0..<3).map { EngineUUID("e\($0)") }
    for uuid in uuids { state.engineRegistered(uuid, now: now, effects: &effects) }
    var ids: [MessageID] = []
    for step in 0..<120 {
      let id = MessageID("t\(step)")
      if random.chance(60) {
        var metadata: JSONObject = [:]
        if random.chance(30), let other = ids.randomElement(using: &random) { metadata["after"] = [.string(other.text)] }
        if random.chance(30) { metadata["retries"] = .int(Int.random(in: 1...3, using: &random)) }
        let message = Messages.request(id, metadata: .object(metadata))
        guard let request = try? TaskRequest(message, id: id) else { continue }
        state.submit(request, now: now, effects: &effects)
        ids.append(id)
      } else if let task = state.tasks.values.filter({ if case .placed = $0.phase { true } else { false } })
        .min(by: { $0.sequence < $1.sequence }), case .placed(let index) = task.phase
      {
        let status: TaskReply.Status = random.chance(70) ? .ok : .error
        let uuid = state.engines[index].uuid
        state.completed(
          TaskReply(id: task.id, message: Messages.reply(to: task.id), status: status), by: uuid, now: now, effects: &effects)
      }
    }
    var restorer = Restorer()
    JournalBlockTests.block(state.snapshot(now: now, wall: .now())).withUnsafeBytes { restorer.read(segment: $0, name: "") }
    #expect(restorer.damages.isEmpty)
    var other = TaskSchedulerState(highWaterMark: 2, lookAhead: 2)
    other.restore(restorer.finish(), engines: uuids, JournalConfiguration(), now: now, wall: .now(), effects: &effects)
    #expect(other.checkInvariants() == [])
    func describe(_ state: TaskSchedulerState) -> [String] {
      state.tasks.values.sorted { $0.sequence < $1.sequence }.map { task in
        var place = "waits"
        if case .placed(let index) = task.phase { place = "on \(state.engines[index].uuid)" }
        let constraints = task.constraints
        var awaited: [String] = []
        if case .waiting = task.phase { awaited = constraints.after.ids.map(\.text).sorted() }
        return "\(task.id) \(place) \(constraints.retries) \(constraints.attempt) \(awaited) "
          + "\(constraints.refused.map { state.engines[$0].uuid.text }.sorted())"
      }
    }
    #expect(describe(other) == describe(state), "APUS_SEED=\(seed &- round), round \(round)")
    #expect(other.messageBytes == state.messageBytes)
  }
}
