import ApusMessaging

/// What the broadcast scheduler's state asks of the world.
protocol BroadcastEffects: ~Copyable {
  /// One engine's share of a broadcast: the same content and buffers under an id of its own.
  mutating func send(_ request: Envelope, id: MessageID, metadata: JSONObject, to engine: EngineUUID)
  /// An engine's reply, as it came, to the client.
  mutating func relay(_ reply: Envelope)
  /// All engines' replies as one.
  mutating func reply(_ combined: CombinedReply, to request: Envelope)
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
  /// What engines that were lost still owe, until `giveUp`.
  private var owed: [EngineUUID: Set<MessageID>] = [:]

  var pendingCount: Int { coalescing.count }

  // MARK: events

  mutating func engineRegistered(_ uuid: EngineUUID) { engines.insert(uuid) }

  /// From here on nothing is sent to the engine. Replies that it owes may still be on their way.
  /// - Returns: the broadcasts that it owes one, for `giveUp` when the time for that is over.
  mutating func engineLost(_ uuid: EngineUUID) -> Set<MessageID> {
    guard engines.remove(uuid) != nil else { return [] }
    let ids = Set(coalescing.filter { $0.value.waiting.contains(uuid) }.keys)
    owed[uuid, default: []].formUnion(ids)
    return ids
  }

  /// What did not come is lost, though the engine may be back: it never got those requests, or its answers went astray.
  mutating func giveUp(_ ids: Set<MessageID>, of uuid: EngineUUID, cause: String, effects: inout some BroadcastEffects & ~Copyable)
  {
    owed[uuid]?.subtract(ids)
    if owed[uuid]?.isEmpty ?? false { owed[uuid] = nil }
    for id in ids { lose(uuid, of: id, cause: cause, effects: &effects) }
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
    }
    for target in targets {
      guard engines.contains(target.uuid) else {
        // Without coalescing the client has noticed the engine's death itself.
        if isCoalescing { lose(target.uuid, of: id, cause: "it is not registered", effects: &effects) }
        continue
      }
      var share = metadata
      share["targets"] = [target.json]
      share["original_msg_id"] = .string(id.text)
      effects.send(request, id: MessageID("\(id)_\(target.uuid)"), metadata: share, to: target.uuid)
    }
  }

  mutating func completed(
    _ reply: Envelope, metadata: JSONObject, by uuid: EngineUUID, effects: inout some BroadcastEffects & ~Copyable
  ) {
    guard metadata["is_coalescing"]?.isTruthy ?? false, let original = metadata["original_msg_id"]?.stringValue else {
      return effects.relay(reply)
    }
    let id = MessageID(original)
    guard coalescing[id]?.waiting.remove(uuid) != nil else { return }
    coalescing[id]?.replies[uuid] = reply
    finishIfComplete(id, effects: &effects)
  }

  // MARK: steps

  private mutating func lose(_ uuid: EngineUUID, of id: MessageID, cause: String, effects: inout some BroadcastEffects & ~Copyable)
  {
    guard coalescing[id]?.waiting.remove(uuid) != nil else { return }
    coalescing[id]?.lost = .engineDied(uuid, running: id, cause: cause)
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
    effects.reply(CombinedReply(outcome: outcome, original: id, targets: broadcast.targets), to: broadcast.request)
  }

  // MARK: tests

  /// - Returns: a sentence for each thing that is wrong.
  func checkInvariants() -> [String] {
    coalescing.flatMap { id, broadcast -> [String] in
      var wrong: [String] = []
      if broadcast.waiting.isEmpty { wrong.append("broadcast \(id) waits for nobody") }
      if broadcast.waiting.contains(where: { !engines.contains($0) && !(owed[$0]?.contains(id) ?? false) }) {
        wrong.append("broadcast \(id) waits for engines that are gone")
      }
      if !broadcast.waiting.isDisjoint(with: broadcast.replies.keys) {
        wrong.append("broadcast \(id) waits for engines that answered")
      }
      return wrong
    }
  }
}
