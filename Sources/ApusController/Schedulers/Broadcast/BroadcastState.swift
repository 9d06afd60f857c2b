import ApusMessaging
import Transport

/// What the broadcast scheduler's state asks of the world.
protocol BroadcastEffects: ~Copyable {
  /// One engine's share of a broadcast: the same content and buffers under an id of its own.
  mutating func send(_ request: Envelope, id: MessageID, metadata: JSONObject, to engine: EngineUUID)
  /// An engine's reply, as it came, to the client.
  mutating func relay(_ reply: Envelope)
  /// All engines' replies as one, for `answer`.
  mutating func combine(_ replies: CombinedReply, to request: Envelope) -> Envelope
  /// A failure of the request itself, for `answer`.
  mutating func failure(_ error: RemoteError, of id: MessageID, _ request: Envelope) -> Envelope
  mutating func answer(_ request: Envelope, with reply: Envelope)
  mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind)
}

/// A coalesced answer: one message whose buffers are those of all engines, in the order of the request's targets.
struct CombinedReply {
  enum Outcome {
    /// Every engine succeeded; the envelopes are in the order of the targets.
    case succeeded([Envelope])
    /// At least one failed: its reply stands for the whole. Results without the failed ones would be silently short.
    case failed(Envelope)
    /// An engine was lost.
    case lost(RemoteError)
  }

  var outcome: Outcome
  /// How the broadcast as a whole ended.
  var taskOutcome: TaskOutcome {
    switch outcome {
    case .succeeded: .ok
    case .failed(let reply): TaskOutcome(reply.replyStatus)
    case .lost: .lost
    }
  }
  var original: MessageID
  var targets: [BroadcastTarget]
}

struct BroadcastTarget: Hashable, Sendable {
  var uuid: EngineUUID
  var id: EngineID
  var json: JSONValue { [.string(uuid.text), .int(id.number)] }

  /// - Returns: `nil` unless the JSON is `[uuid, id]`.
  init?(_ json: JSONValue) {
    guard let pair = json.arrayValue, pair.count == 2, let uuid = pair[0].stringValue, let id = pair[1].intValue else { return nil }
    self.init(uuid: EngineUUID(uuid), id: EngineID(id))
  }

  init(uuid: EngineUUID, id: EngineID) {
    self.uuid = uuid
    self.id = id
  }
}

/// The broadcast scheduler's mind: one message of a client becomes one for each engine; replies go back one by one or as one (protocol
/// section 9).
///
/// ipyparallel builds a tree of processes for this. Here one party serves all leaves, so the tree is a table, and its ports remain.
struct BroadcastState {
  private struct Coalescing {
    let request: Envelope
    let targets: [BroadcastTarget]
    var waiting: Set<EngineUUID>
    var replies: [EngineUUID: Envelope] = [:]
    var lost: RemoteError?
  }

  private var coalescing: [MessageID: Coalescing] = [:]
  private var engines: Set<EngineUUID> = []
  /// The shares that engines have not answered, with the broadcasts they belong to.
  private var shares: [EngineUUID: [MessageID: MessageID]] = [:]
  /// Those among them of engines that were lost, until `giveUp`.
  private var owed: [EngineUUID: Set<MessageID>] = [:]

  /// Broadcasts that will be answered as a whole.
  var pendingCount: Int { coalescing.count }
  var shareCount: Int { shares.values.reduce(0) { $0 + $1.count } }

  // MARK: events

  mutating func engineRegistered(_ uuid: EngineUUID) { engines.insert(uuid) }

  /// From here on nothing is sent to the engine. Replies that it owes may still be on their way.
  /// - Returns: the shares that it has not answered, for `giveUp` when the time for that is over.
  mutating func engineLost(_ uuid: EngineUUID) -> Set<MessageID> {
    guard engines.remove(uuid) != nil, let ids = shares[uuid].map({ Set($0.keys) }) else { return [] }
    owed[uuid, default: []].formUnion(ids)
    return ids
  }

  /// What did not come is lost, though the engine may be back: it never got those requests, or its answers went astray.
  mutating func giveUp(
    _ ids: Set<MessageID>, of uuid: EngineUUID, cause: EngineLoss, effects: inout some BroadcastEffects & ~Copyable
  ) {
    owed[uuid]?.subtract(ids)
    if owed[uuid]?.isEmpty ?? false { owed[uuid] = nil }
    for share in ids.sorted(by: { $0.text < $1.text }) {
      guard let original = end(share, of: uuid) else { continue }
      effects.report(share, .lost(engine: uuid, cause: cause))
      let error = RemoteError.engineDied(uuid, running: original, cause: cause.sentence)
      effects.report(share, .finished(reply: Self.unsent(error), engine: uuid, outcome: .lost))
      lose(uuid, of: original, error, effects: &effects)
    }
  }

  /// - Throws: a `ValueError` for the client if the targets are not a list of pairs.
  mutating func submit(
    _ request: Envelope, id: MessageID, metadata: JSONObject, effects: inout some BroadcastEffects & ~Copyable
  ) throws(RemoteError) {
    let pairs = metadata["targets"]?.arrayValue ?? []
    let targets = pairs.compactMap(BroadcastTarget.init)
    guard !targets.isEmpty, targets.count == pairs.count else {
      throw RemoteError(name: "ValueError", value: "a broadcast's targets are pairs of an engine's uuid and id")
    }
    guard Set(targets.map(\.uuid)).count == targets.count else {
      throw RemoteError(name: "ValueError", value: "an engine is named twice among a broadcast's targets")
    }
    let isCoalescing = metadata["is_coalescing"]?.isTruthy ?? false
    if isCoalescing {
      guard coalescing[id] == nil else { return }
      coalescing[id] = Coalescing(request: request, targets: targets, waiting: Set(targets.map(\.uuid)))
      effects.report(id, .submitted(request: request, engine: nil))
    }
    for target in targets {
      let share = Self.share(of: id, for: target.uuid)
      let isNew = shares[target.uuid, default: [:]].updateValue(id, forKey: share) == nil
      if isNew { effects.report(share, .submitted(request: request, engine: target.uuid)) }
      guard engines.contains(target.uuid) else {
        refuse(share, of: id, to: target.uuid, effects: &effects)
        continue
      }
      var own = metadata
      own["targets"] = [target.json]
      own["original_msg_id"] = .string(id.text)
      effects.send(request, id: share, metadata: own, to: target.uuid)
    }
  }

  /// A request that cannot be served at all.
  mutating func refuse(
    _ request: Envelope, id: MessageID, _ error: RemoteError, effects: inout some BroadcastEffects & ~Copyable
  ) {
    let reply = effects.failure(error, of: id, request)
    // The id may be that of a broadcast that is under way.
    if coalescing[id] == nil {
      effects.report(id, .submitted(request: request, engine: nil))
      effects.report(id, .finished(reply: reply, engine: nil, outcome: .refused))
    }
    effects.answer(request, with: reply)
  }

  mutating func completed(
    _ reply: Envelope, metadata: JSONObject, by uuid: EngineUUID, effects: inout some BroadcastEffects & ~Copyable
  ) {
    let original = metadata["original_msg_id"]?.stringValue.map { MessageID($0) }
    let isCoalescing = metadata["is_coalescing"]?.isTruthy ?? false && original != nil
    // Reported before anything is sent: a client that has its answer may ask the hub about it.
    if let share = reply.parentID, end(share, of: uuid) != nil {
      let outcome = TaskOutcome(of: reply)
      if outcome == .aborted { effects.report(share, .aborted) }
      effects.report(share, .finished(reply: reply, engine: uuid, outcome: outcome))
    }
    guard isCoalescing, let original else { return effects.relay(reply) }
    guard coalescing[original]?.waiting.remove(uuid) != nil else { return }
    coalescing[original]?.replies[uuid] = reply
    finishIfComplete(original, effects: &effects)
  }

  // MARK: steps

  private static func share(of id: MessageID, for uuid: EngineUUID) -> MessageID { MessageID("\(id)_\(uuid)") }

  /// - Returns: the broadcast; `nil` if the share has ended before, or never was.
  private mutating func end(_ share: MessageID, of uuid: EngineUUID) -> MessageID? {
    let original = shares[uuid]?.removeValue(forKey: share)
    if original != nil, shares[uuid]?.isEmpty ?? false { shares[uuid] = nil }
    return original
  }

  /// Of an engine that is not there. Without coalescing the client has noticed that itself.
  private mutating func refuse(
    _ share: MessageID, of id: MessageID, to uuid: EngineUUID, effects: inout some BroadcastEffects & ~Copyable
  ) {
    _ = end(share, of: uuid)
    let error = RemoteError.notSent(id, to: uuid)
    effects.report(share, .finished(reply: Self.unsent(error), engine: uuid, outcome: .refused))
    lose(uuid, of: id, error, effects: &effects)
  }

  private mutating func lose(
    _ uuid: EngineUUID, of id: MessageID, _ error: RemoteError, effects: inout some BroadcastEffects & ~Copyable
  ) {
    guard coalescing[id]?.waiting.remove(uuid) != nil else { return }
    coalescing[id]?.lost = error
    finishIfComplete(id, effects: &effects)
  }

  private mutating func finishIfComplete(_ id: MessageID, effects: inout some BroadcastEffects & ~Copyable) {
    guard let broadcast = coalescing[id], broadcast.waiting.isEmpty else { return }
    coalescing[id] = nil
    let replies = broadcast.targets.compactMap { broadcast.replies[$0.uuid] }
    let outcome: CombinedReply.Outcome
    if let failure = replies.first(where: { TaskReply($0)?.status != .ok }) {
      outcome = .failed(failure)
    } else if let lost = broadcast.lost {
      outcome = .lost(lost)
    } else {
      outcome = .succeeded(replies)
    }
    let combined = CombinedReply(outcome: outcome, original: id, targets: broadcast.targets)
    let reply = effects.combine(combined, to: broadcast.request)
    if combined.taskOutcome == .aborted { effects.report(id, .aborted) }
    effects.report(id, .finished(reply: reply, engine: nil, outcome: combined.taskOutcome))
    effects.answer(broadcast.request, with: reply)
  }

  /// The failure of a share that nobody is sent.
  private static func unsent(_ error: RemoteError) -> Envelope {
    Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject, content: Frame(error.content))
  }

  // MARK: tests

  /// - Returns: a sentence for each thing that is wrong.
  func checkInvariants() -> [String] {
    var wrong: [String] = []
    for (id, broadcast) in coalescing {
      if broadcast.waiting.isEmpty { wrong.append("broadcast \(id) waits for nobody") }
      if broadcast.waiting.contains(where: { shares[$0]?[Self.share(of: id, for: $0)] != id }) {
        wrong.append("broadcast \(id) waits for engines that have no share of it")
      }
      if !broadcast.waiting.isDisjoint(with: broadcast.replies.keys) {
        wrong.append("broadcast \(id) waits for engines that answered")
      }
    }
    for (uuid, ids) in shares {
      if ids.isEmpty { wrong.append("an empty list of shares of \(uuid)") }
      if !engines.contains(uuid), !Set(ids.keys).isSubset(of: owed[uuid] ?? []) {
        wrong.append("shares wait for \(uuid), which is gone")
      }
    }
    return wrong
  }
}
