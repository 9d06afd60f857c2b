import ApusMessaging
import Testing

@testable import ApusController

/// Thousands of random events on one scheduler. It does not know what should happen; it knows what must never happen.
@Suite("Task scheduler: simulation")
struct SchedulerSimulation {
  private struct Submitted {
    let after: Dependency
    let follow: Dependency
    let targets: [EngineUUID]
    let hasTimeout: Bool
    var needsGPU = false
    var refusedBy: Set<EngineUUID> = []
    var declinedBy: Set<EngineUUID> = []
  }

  private struct World {
    var submitted: [MessageID: Submitted] = [:]
    var order: [MessageID] = []
    var registered: Set<EngineUUID> = []
    /// Where each task is, as far as the world can see.
    var placed: [MessageID: EngineUUID] = [:]
    var outcomes: [MessageID: (succeeded: Bool, engine: EngineUUID?)] = [:]
    var wrong: [String] = []
  }

  static let settings = SchedulingPolicy.allCases.flatMap { policy in [0, 1, 3].map { (policy, $0) } }

  @Test("whatever happens, in whatever order, every task is answered once", arguments: settings)
  func simulate(policy: SchedulingPolicy, hwm: Int) {
    for round in 0..<2 {
      let seed = SeededRandom.newSeed() &+ UInt64(round)
      let wrong = run(policy: policy, hwm: hwm, seed: seed, steps: 500)
      #expect(wrong.isEmpty, "APUS_SEED=\(seed &- UInt64(round)), round \(round)")
    }
  }

  private func run(policy: SchedulingPolicy, hwm: Int, seed: UInt64, steps: Int) -> [String] {
    var random = SeededRandom(seed: seed)
    // The world's clock makes engines quick, so that every second run sends tasks in advance.
    let lookAhead = seed % 2 == 0 ? 4 : 0
    var state = TaskSchedulerState(policy: policy, highWaterMark: hwm, lookAhead: lookAhead, seed: seed)
    var now = ContinuousClock.now
    var world = World()
    var recorder = SchedulerRecorder()
    let uuids = (0..<6).map { SchedulerBench.engine($0) }

    func settle(_ step: String) {
      world.wrong += (state.checkInvariants() + recorder.stories.wrong).map { "\(step): \($0)" }
      for message in recorder.messages {
        note(message, &world, state, policy: policy, hwm: hwm == 0 ? 0 : hwm + lookAhead, step: step)
      }
      recorder.forget()
      // What was taken from an engine waits again.
      for (id, uuid) in world.placed {
        guard let task = state.tasks[id] else { continue }
        if case .placed = task.phase { continue }
        world.placed[id] = nil
        world.submitted[id]?.refusedBy.insert(uuid)
      }
    }
    func pickEarlier() -> Dependency {
      guard random.chance(35), let first = world.order.randomElement(using: &random) else { return .none }
      var ids: Set<MessageID> = [first]
      while random.chance(40), let more = world.order.suffix(20).randomElement(using: &random) { ids.insert(more) }
      if random.chance(2) { ids.insert("nobody") }
      let kind = Int.random(in: 0..<3, using: &random)
      return Dependency(ids, all: random.chance(60), success: kind != 1, failure: kind != 0)
    }
    func submit(_ number: Int) {
      let id = MessageID("t\(number)")
      var request = TaskRequest(id: id, message: Messages.request(id))
      request.after = pickEarlier()
      request.follow = random.chance(40) ? pickEarlier() : .none
      if random.chance(25) {
        request.targets = uuids.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)).map { $0 }
      }
      if random.chance(30) { request.retries = Int.random(in: 1...4, using: &random) }
      if random.chance(20) { request.timeout = .milliseconds(Int.random(in: 1...500, using: &random)) }
      if random.chance(30) {
        request.preferences = TaskPreferences(
          priority: Int.random(in: -2...2, using: &random), resources: random.chance(50) ? ["gpu": 1] : [:],
          retryDelay: random.chance(50) ? .milliseconds(Int.random(in: 1...200, using: &random)) : nil)
      }
      if random.chance(3), let known = world.order.randomElement(using: &random) {
        request.id = known
        return state.submit(request, now: now, effects: &recorder)
      }
      let isPure = policy == .pure
      world.submitted[id] = Submitted(
        after: isPure ? .none : request.after, follow: isPure ? .none : request.follow, targets: isPure ? [] : request.targets,
        hasTimeout: !isPure && request.timeout != nil,
        needsGPU: !isPure && request.preferences.map { !$0.resources.isEmpty } ?? false)
      world.order.append(id)
      state.submit(request, now: now, effects: &recorder)
    }
    func complete(_ id: MessageID, by uuid: EngineUUID) {
      let status: TaskReply.Status = random.chance(70) ? .ok : random.chance(70) ? .error : .aborted
      let isMet = status == .ok || random.chance(80)
      let reply = Messages.reply(to: id, from: uuid.text)
      let isHere = world.placed[id] == uuid
      if isHere { world.outcomes[id] = (status == .ok, uuid) }
      state.completed(
        TaskReply(id: id, message: reply, status: status, dependenciesMet: isMet), by: uuid, now: now, effects: &recorder)
      // Not an end after all: it is to be tried again.
      if isHere, state.tasks[id] != nil {
        world.outcomes[id] = nil
        world.submitted[id]?.refusedBy.insert(uuid)
        if !isMet { world.submitted[id]?.declinedBy.insert(uuid) }
      }
    }

    for step in 0..<steps {
      switch Int.random(in: 0..<100, using: &random) {
      case 0..<38: submit(step)
      case 38..<75:
        if let (id, uuid) = world.placed.min(by: { $0.key.text < $1.key.text }).map({ ($0.key, $0.value) }), random.chance(50) {
          complete(id, by: uuid)
        } else if let id = world.placed.keys.sorted(by: { $0.text < $1.text }).randomElement(using: &random),
          let uuid = world.placed[id]
        {
          complete(id, by: random.chance(95) ? uuid : uuids[0])
        }
      case 75..<82:
        if let uuid = uuids.randomElement(using: &random) {
          world.registered.insert(uuid)
          state.engineRegistered(uuid, resources: resources(uuid), now: now, effects: &recorder)
        }
      case 82..<87:
        if let uuid = uuids.randomElement(using: &random) {
          world.registered.remove(uuid)
          state.engineLost(
            uuid, cause: .silent, grace: random.chance(50) ? .zero : .milliseconds(100), now: now, effects: &recorder)
        }
      case 87..<90:
        state.abort(world.order.suffix(8).shuffled(using: &random).prefix(2).map { $0 }, now: now, effects: &recorder)
      default:
        now += .milliseconds(Int.random(in: 0...150, using: &random))
        state.expire(now: now, effects: &recorder)
      }
      settle("step \(step)")
      if !world.wrong.isEmpty { return world.wrong }
    }

    // The end: engines stay, time passes, everything that runs ends; what still waits has no engine that may take it.
    for uuid in uuids {
      world.registered.insert(uuid)
      state.engineRegistered(uuid, resources: resources(uuid), now: now, effects: &recorder)
    }
    settle("end")
    for round in 0..<50 where !state.tasks.isEmpty {
      while let (id, uuid) = world.placed.min(by: { $0.key.text < $1.key.text }).map({ ($0.key, $0.value) }) {
        guard let task = state.tasks[id], case .placed(let index) = task.phase, state.engines[index].uuid == uuid else {
          return world.wrong + [
            "\(id) was sent to \(uuid), and the scheduler believes otherwise: \(String(describing: state.tasks[id]?.phase))"
          ]
        }
        complete(id, by: uuid)
        settle("end")
        if !world.wrong.isEmpty { return world.wrong }
      }
      now += .seconds(10)
      state.expire(now: now, effects: &recorder)
      settle("end of time")
      guard world.placed.isEmpty else { continue }
      // Left are those that follow what cannot be reached, and those that wait for such ones.
      for (id, task) in state.tasks {
        let constraints = task.constraints
        if constraints.restsUntil != nil {
          world.wrong.append("\(id) still rests in round \(round)")
          continue
        }
        // A pause that has just ended begins its timeout anew.
        if let deadline = constraints.deadline, deadline > now { continue }
        let isRight = task.isQueued ? !constraints.follow.isEmpty : constraints.after.ids.contains { state.tasks[$0] != nil }
        if !isRight { world.wrong.append("\(id) still waits in round \(round): \(task.phase) \(constraints)") }
      }
      state.abort(state.tasks.keys.sorted { $0.text < $1.text }, now: now, effects: &recorder)
      settle("abort")
    }
    if !state.tasks.isEmpty { world.wrong.append("\(state.tasks.count) tasks are left") }
    if state.messageBytes != 0 { world.wrong.append("\(state.messageBytes) bytes are left") }
    for id in world.order where recorder.answers[id] != 1 {
      world.wrong.append("\(id) was answered \(recorder.answers[id] ?? 0) times")
    }
    world.wrong += recorder.stories.unfinished.map { "\($0) has no end among the events" }
    for engine in state.engines.engines where engine.load != 0 { world.wrong.append("\(engine.uuid) has load \(engine.load)") }
    return world.wrong
  }

  /// Every other engine has one.
  private func resources(_ uuid: EngineUUID) -> [String: Double] { ["e0", "e2", "e4"].contains(uuid) ? ["gpu": 1] : [:] }

  /// What the world sees of one effect, and whether it may be.
  private func note(
    _ message: String, _ world: inout World, _ state: TaskSchedulerState, policy: SchedulingPolicy, hwm: Int, step: String
  ) {
    let words = message.split(separator: " ")
    if words.count == 3, words[1] == "→" {
      let (id, uuid) = (MessageID(String(words[0])), EngineUUID(String(words[2])))
      guard let task = world.submitted[id] else { return world.wrong.append("\(step): \(id) was never submitted") }
      if !world.registered.contains(uuid) { world.wrong.append("\(step): \(id) went to \(uuid), which is gone") }
      if !task.targets.isEmpty, !task.targets.contains(uuid) {
        world.wrong.append("\(step): \(id) went to \(uuid), which is no target")
      }
      if task.needsGPU, resources(uuid).isEmpty { world.wrong.append("\(step): \(id) went to \(uuid), which has no gpu") }
      // Again only in another round, which those with a timeout have among their targets only; and never to one that declined. The fault tests
      // hold the order.
      if task.refusedBy.contains(uuid), task.hasTimeout && task.targets.isEmpty || task.declinedBy.contains(uuid) {
        world.wrong.append("\(step): \(id) went to \(uuid) again")
      }
      let outcomes = world.outcomes
      let succeeded = { (id: MessageID) in outcomes[id]?.succeeded ?? false }
      let failed = { (id: MessageID) in outcomes[id].map { !$0.succeeded } ?? false }
      if !task.after.isMet(succeeded: succeeded, failed: failed) {
        world.wrong.append("\(step): \(id) went out before what it waits for")
      }
      let here = { (id: MessageID) in outcomes[id]?.engine == uuid }
      if !task.follow.isMet(succeeded: { succeeded($0) && here($0) }, failed: { failed($0) && here($0) }) {
        world.wrong.append("\(step): \(id) went to \(uuid) without what it follows")
      }
      world.placed[id] = uuid
      let load = world.placed.values.count { $0 == uuid }
      if hwm > 0, policy != .pure, load > hwm, state.engines.index(of: uuid).map({ state.engines[$0].load > hwm }) ?? true {
        world.wrong.append("\(step): \(uuid) has \(load) tasks")
      }
    } else if let id = words.first.map({ MessageID(String($0.dropLast())) }) {
      if !message.contains("answer of") {
        // The scheduler's own failure; an engine's name stays with it if it was lost.
        world.outcomes[id] = (false, message.contains("EngineError") ? world.placed[id] : nil)
      }
      world.placed[id] = nil
    }
  }
}
