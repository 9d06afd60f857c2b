import ApusMessaging
import DequeModule

/// What the hub's state asks of the world.
protocol HubEffects: ~Copyable {
  /// The engine can work: schedulers and clients learn of it.
  mutating func engineJoined(_ uuid: EngineUUID, id: EngineID, traits: EngineTraits)
  /// The engine is gone: schedulers and clients learn of it. `grace` is how long replies on their way may take.
  /// - Parameter arrival: which of its stays it was.
  mutating func engineLeft(_ uuid: EngineUUID, id: EngineID, arrival: Int, cause: EngineLoss, grace: Duration)
  /// The task scheduler is to give it no more tasks, and says when it does not.
  mutating func engineDrains(_ uuid: EngineUUID)
  /// It has nothing to do any more, and is told to end.
  mutating func retire(_ uuid: EngineUUID)
}

/// The hub's mind: engines, their ids, and who has how much to do (protocol sections 5 and 6).
struct HubState {
  struct Engine {
    let id: EngineID
    let uuid: EngineUUID
    var traits: EngineTraits
    /// The connection its registration came through.
    var connection: Int32?
    /// Direct requests that are not answered, and load-balanced ones placed here.
    var queue: Set<MessageID> = []
    var tasks: Set<MessageID> = []
    var completedCount = 0
    /// The last ones, for `queue_status(verbose=True)`.
    var completed = Deque<MessageID>()
    var draining = Draining.no
    /// The count of arrivals when it came.
    let arrival: Int
  }

  struct Pending {
    let id: EngineID
    var traits: EngineTraits
    var connection: Int32?
    let deadline: ContinuousClock.Instant
  }

  /// An engine that may come back.
  struct Lost {
    let id: EngineID
    var traits: EngineTraits
    /// Its connection, as long as that stands: a stopped process keeps it.
    var connection: Int32?
    /// One of Apus's own that the controller before knew: it will register, and say then what it runs. Its heart alone is not enough.
    var mustRegister = false
    /// The controller before had it, and it has not come back to this one yet.
    var isFormer = false
  }

  var engines: [EngineID: Engine] = [:]
  private(set) var ids: [EngineUUID: EngineID] = [:]
  var pending: [EngineUUID: Pending] = [:]
  /// Engines that may come back with their namespace, under the id they had.
  var lost: [EngineUUID: Lost] = [:]
  /// Until when engines of the controller before may come back.
  private(set) var formersDeadline: ContinuousClock.Instant?
  private var lostOrder = Deque<EngineUUID>()
  private(set) var unassigned: Set<MessageID> = []
  /// Load-balanced tasks of engines that are not here: of one that is lost, until it is given up, and of one of the controller before, which the
  /// task scheduler knows of earlier. They run, and whoever asks what an engine has to do when it is back is told of them.
  private(set) var placedElsewhere: [EngineUUID: Set<MessageID>] = [:]
  private(set) var nextID = 0
  private var lastArrival = 0
  /// The last engine of each place in a launcher's set.
  var origins: [String: EngineID] = [:]
  var demand = DemandState()
  /// Engines that are to end when they have nothing to do.
  var retiring: Set<EngineID> = []
  /// How long an accepted engine may take until its heart beats.
  private let registrationTimeout: Duration

  private static let completedKept = 1024
  private static let lostKept = 4096
  /// The largest id that an engine may ask for: what comes from outside must leave room to count on.
  static let largestWanted = Int(Int32.max)
  /// Replies that a killed engine has sent are in our buffers already; a silent one's may still be under way.
  static let graceAfterDisconnection = Duration.milliseconds(20)
  private let graceAfterSilence: Duration

  init(registrationTimeout: Duration, graceAfterSilence: Duration = .seconds(5)) {
    self.registrationTimeout = registrationTimeout
    self.graceAfterSilence = graceAfterSilence
  }

  var sortedEngines: [Engine] { engines.values.sorted { $0.id < $1.id } }
  /// Ids and uuids, as the wire has them.
  static func uuids(of engines: [Engine]) -> JSONObject {
    JSONObject(members: engines.map { (key: $0.id.description, value: .string($0.uuid.text)) })
  }
  /// Kinds by id, of those engines that are not Python: stock peers have never heard of another.
  static func kinds(of engines: [Engine]) -> JSONObject {
    JSONObject(
      members: engines.filter { $0.traits.kind != .python }.map {
        (key: $0.id.description, value: .string($0.traits.kind.rawValue))
      })
  }
  /// Which stay of each engine this is: who has missed that one went and came back learns it so.
  static func arrivals(of engines: [Engine]) -> JSONObject {
    JSONObject(members: engines.map { (key: $0.id.description, value: .int($0.arrival)) })
  }
  /// Ids of Apus's own engines: they read what stock ones do not.
  static func own(of engines: [Engine]) -> JSONValue {
    .array(engines.filter(\.traits.takesBatches).map { .int($0.id.number) })
  }
  var nextExpiry: ContinuousClock.Instant? { [pending.values.map(\.deadline).min(), formersDeadline].compactMap { $0 }.min() }

  // MARK: events: engines

  /// - Parameters:
  ///   - wanted: an id the engine asks for; granted if it is free.
  ///   - resumes: the engine had registered before and lost the controller.
  ///   - wasCutOff: a connection of the engine's broke: requests that were on their way are lost.
  ///   - traits: what it says of itself; that counts only if it is accepted.
  /// - Returns: its id, which it is to be told. It joins when its heart beats.
  /// - Throws: a `KeyError` for the engine if its uuid is taken.
  mutating func registrationRequested(
    _ uuid: EngineUUID, wanted: EngineID?, connection: Int32?, resumes: Bool, wasCutOff: Bool = false,
    traits: EngineTraits = EngineTraits(),
    now: ContinuousClock.Instant, effects: inout some HubEffects & ~Copyable
  ) throws(RemoteError) -> EngineID {
    if wasCutOff, resumes, let id = ids[uuid] { leave(id, cause: .disconnected, effects: &effects) }
    if let id = ids[uuid] {
      guard resumes else { throw RemoteError(name: "KeyError", value: "the uuid \(uuid) is in use by engine \(id)") }
      var traits = traits
      if let former = engines[id]?.traits { traits.goOn(as: former) }
      engines[id]?.connection = connection
      engines[id]?.traits = traits
      goOnEnding(id, effects: &effects)
      return id
    }
    if let waiting = pending[uuid] {
      guard resumes else { throw RemoteError(name: "KeyError", value: "the uuid \(uuid) is about to be engine \(waiting.id)") }
      pending[uuid]?.connection = connection
      pending[uuid]?.traits = traits
      pending[uuid]?.traits.goOn(as: waiting.traits)
      pending[uuid]?.traits.wasCutOff = wasCutOff || waiting.traits.wasCutOff
      return waiting.id
    }
    let id = allocate(wanted: lost[uuid]?.id ?? wanted)
    var traits = traits
    if let former = lost[uuid]?.traits { traits.goOn(as: former) } else { traits.isOfBefore = resumes }
    forgetLost(uuid)
    traits.wasCutOff = wasCutOff
    pending[uuid] = Pending(id: id, traits: traits, connection: connection, deadline: now + registrationTimeout)
    return id
  }

  /// The heart monitor hears an engine that it did not hear before.
  mutating func heartStarted(_ uuid: EngineUUID, effects: inout some HubEffects & ~Copyable) {
    if let waiting = pending.removeValue(forKey: uuid) {
      join(uuid, id: waiting.id, traits: waiting.traits, connection: waiting.connection, effects: &effects)
    } else if let back = lost[uuid], !back.mustRegister, isFree(back.id) {
      forgetLost(uuid)
      join(uuid, id: back.id, traits: back.traits, connection: back.connection, effects: &effects)
    }
  }

  mutating func heartStopped(_ uuid: EngineUUID, effects: inout some HubEffects & ~Copyable) {
    if let id = ids[uuid] { leave(id, cause: .silent, effects: &effects) }
  }

  /// A connection to the registration socket has ended.
  mutating func disconnected(_ connection: Int32, effects: inout some HubEffects & ~Copyable) {
    if let (uuid, waiting) = pending.first(where: { $0.value.connection == connection }) {
      pending[uuid] = nil
      remember(uuid, id: waiting.id, traits: waiting.traits, connection: nil)
    }
    if let uuid = lost.first(where: { $0.value.connection == connection })?.key { lost[uuid]?.connection = nil }
    if let engine = engines.values.first(where: { $0.connection == connection }) {
      leave(engine.id, cause: .disconnected, effects: &effects)
    }
  }

  mutating func unregistrationRequested(
    _ id: EngineID, cause: EngineLoss = .unregistered, effects: inout some HubEffects & ~Copyable
  ) {
    if let uuid = pending.first(where: { $0.value.id == id })?.key { pending[uuid] = nil }
    if engines[id] != nil { leave(id, cause: cause, effects: &effects) }
  }

  mutating func shutDown(_ uuid: EngineUUID, effects: inout some HubEffects & ~Copyable) {
    if let id = ids[uuid] { leave(id, cause: .unregistered, effects: &effects) }
  }

  /// Accepted engines whose heart never beat, and those of the controller before that did not come back.
  /// - Returns: the uuids of the first.
  mutating func expire(now: ContinuousClock.Instant) -> [EngineUUID] {
    if let deadline = formersDeadline, deadline <= now { formersDeadline = nil }
    let expired = pending.filter { $0.value.deadline <= now }.map(\.key)
    for uuid in expired {
      guard let waiting = pending.removeValue(forKey: uuid), waiting.traits.isDraining || waiting.traits.takesBatches else {
        continue
      }
      // It may ask again, and is on its way out all the same; and it is no other controller's for that.
      remember(uuid, id: waiting.id, traits: waiting.traits, connection: nil)
      lost[uuid]?.mustRegister = true
    }
    return expired
  }

  /// Engines of an earlier controller, from its file: they come back by themselves and are known when they do.
  /// - Parameters:
  ///   - kinds: of those that are not Python.
  ///   - own: which of them are Apus's.
  ///   - deadline: until when the controller after this one is to know of those that have not come back.
  mutating func restore(
    _ engines: [EngineID: EngineUUID], kinds: [EngineID: EngineKind] = [:], own: Set<EngineID> = [], nextID: Int,
    until deadline: ContinuousClock.Instant? = nil
  ) {
    formersDeadline = engines.isEmpty ? nil : deadline
    for (id, uuid) in engines.sorted(by: { $0.key < $1.key }) where (0...Self.largestWanted).contains(id.number) {
      let isOwn = own.contains(id)
      var traits = EngineTraits(kind: kinds[id] ?? .python, takesBatches: isOwn)
      traits.isOfBefore = true
      remember(uuid, id: id, traits: traits, connection: nil)
      lost[uuid]?.mustRegister = isOwn
      lost[uuid]?.isFormer = true
      self.nextID = max(self.nextID, id.number + 1)
    }
    self.nextID = max(self.nextID, min(nextID, Self.largestWanted))
  }

  // MARK: events: tasks

  mutating func observe(_ event: TaskEvent) {
    demand.observe(event)
    // Of broadcasts nothing is counted, as in ipyparallel.
    if event.queue == .broadcast { return }
    switch event.kind {
    case .submitted(_, let uuid):
      if event.queue == .task {
        unassigned.insert(event.id)
      } else if let engine = uuid.flatMap({ ids[$0] }) {
        engines[engine]?.queue.insert(event.id)
      }
    case .placed(let uuid):
      unassigned.remove(event.id)
      if let engine = ids[uuid] {
        engines[engine]?.tasks.insert(event.id)
      } else {
        placedElsewhere[uuid, default: []].insert(event.id)
      }
    case .retried(let uuid, _):
      if let engine = ids[uuid] { engines[engine]?.tasks.remove(event.id) } else { takeElsewhere(event.id, uuid) }
      unassigned.insert(event.id)
    case .finished(_, let uuid, _):
      var wasPlaced = false
      if let uuid { wasPlaced = ids[uuid].map { complete(event.id, on: $0) } ?? takeElsewhere(event.id, uuid) }
      // What was on an engine is not among those that wait for one.
      if !wasPlaced { unassigned.remove(event.id) }
    case .waiting, .queued, .started, .output, .failed, .lost, .restored, .abortRequested, .aborted,
      .resubmitted:
      break
    }
  }

  /// Of all that happens beside tasks only what concerns many of them.
  mutating func observe(_ notice: ClusterNotice) {
    switch notice.kind {
    case .controllerStarted(let tasks?): unassigned.reserveCapacity(unassigned.count + tasks)
    case .tasksRestored(let tasks, _): for task in tasks { unassigned.insert(task.id) }
    case .controllerStarted(nil), .engineJoined, .engineDrains, .engineLeft, .clientConnected, .clientGone: break
    }
  }

  /// - Returns: whether it was known to be there as a load-balanced task.
  private mutating func complete(_ task: MessageID, on id: EngineID) -> Bool {
    // In place: the engine's sets are large under load, and a copy of them per task would be felt.
    func note(_ engine: inout Engine?) -> Bool {
      guard engine != nil else { return false }
      let wasPlaced = engine?.tasks.remove(task) != nil
      if !wasPlaced { engine?.queue.remove(task) }
      engine?.completedCount += 1
      engine?.completed.append(task)
      if let count = engine?.completed.count, count > Self.completedKept { engine?.completed.removeFirst() }
      return wasPlaced
    }
    return note(&engines[id])
  }

  /// - Returns: whether it was there.
  @discardableResult
  private mutating func takeElsewhere(_ task: MessageID, _ uuid: EngineUUID) -> Bool {
    guard !placedElsewhere.isEmpty, let place = placedElsewhere.index(forKey: uuid) else { return false }
    let wasThere = placedElsewhere.values[place].remove(task) != nil
    if placedElsewhere.values[place].isEmpty { placedElsewhere.remove(at: place) }
    return wasThere
  }

  // MARK: steps

  private mutating func allocate(wanted: EngineID?) -> EngineID {
    var id = nextID
    if let wanted, (0...Self.largestWanted).contains(wanted.number), isFree(wanted) { id = wanted.number }
    nextID = max(nextID, id + 1)
    return EngineID(id)
  }

  private func isFree(_ id: EngineID) -> Bool { engines[id] == nil && !pending.values.contains { $0.id == id } }

  private mutating func join(
    _ uuid: EngineUUID, id: EngineID, traits: EngineTraits, connection: Int32?, effects: inout some HubEffects & ~Copyable
  ) {
    lastArrival += 1
    engines[id] = Engine(id: id, uuid: uuid, traits: traits, connection: connection, arrival: lastArrival)
    ids[uuid] = id
    if let tasks = placedElsewhere.removeValue(forKey: uuid) { engines[id]?.tasks = tasks }
    noteOrigin(traits, id)
    demand.joined(uuid, offer: traits.origin == nil ? nil : traits.resources)
    effects.engineJoined(uuid, id: id, traits: traits)
    goOnEnding(id, effects: &effects)
  }

  mutating func leave(_ id: EngineID, cause: EngineLoss, effects: inout some HubEffects & ~Copyable) {
    guard let engine = engines.removeValue(forKey: id) else { return }
    ids[engine.uuid] = nil
    if !engine.tasks.isEmpty { placedElsewhere[engine.uuid] = engine.tasks }
    demand.left(engine.uuid)
    retiring.remove(id)
    if !cause.isOrderly {
      remember(engine.uuid, id: id, traits: engine.traits, connection: cause == .disconnected ? nil : engine.connection)
    }
    let grace = cause == .silent ? graceAfterSilence : Self.graceAfterDisconnection
    effects.engineLeft(engine.uuid, id: id, arrival: engine.arrival, cause: cause, grace: grace)
  }

  private mutating func remember(_ uuid: EngineUUID, id: EngineID, traits: EngineTraits, connection: Int32?) {
    var traits = traits
    traits.wasCutOff = false
    if lost.updateValue(Lost(id: id, traits: traits, connection: connection), forKey: uuid) == nil { lostOrder.append(uuid) }
    while lostOrder.count > Self.lostKept { lost[lostOrder.removeFirst()] = nil }
  }

  private mutating func forgetLost(_ uuid: EngineUUID) {
    if lost.removeValue(forKey: uuid) != nil { lostOrder.removeAll { $0 == uuid } }
  }

  // MARK: tests

  /// - Returns: a sentence for each thing that is wrong.
  func checkInvariants() -> [String] {
    var wrong: [String] = []
    if engines.count != ids.count { wrong.append("\(engines.count) engines, \(ids.count) uuids") }
    for (id, engine) in engines {
      if engine.id != id || ids[engine.uuid] != id { wrong.append("engine \(id) is filed wrongly") }
      if pending[engine.uuid] != nil { wrong.append("engine \(id) is registered and pending") }
      if lost[engine.uuid] != nil { wrong.append("engine \(id) is registered and lost") }
      if pending.values.contains(where: { $0.id == id }) { wrong.append("engine \(id) has an id that is given to another") }
      if case .drained(thenStop: true) = engine.draining, !retiring.contains(id) {
        wrong.append("engine \(id) is to end, and forgotten")
      }
      if id.number >= nextID { wrong.append("engine \(id) has an id that may be given again") }
      if placedElsewhere[engine.uuid] != nil { wrong.append("engine \(id) is here, and has tasks elsewhere") }
      if !engine.tasks.isDisjoint(with: unassigned) { wrong.append("tasks of engine \(id) are unassigned too") }
    }
    if Set(pending.values.map(\.id)).count != pending.count { wrong.append("an id is given twice") }
    if lostOrder.count != lost.count { wrong.append("\(lost.count) engines are lost, \(lostOrder.count) in order") }
    return wrong
  }
}
