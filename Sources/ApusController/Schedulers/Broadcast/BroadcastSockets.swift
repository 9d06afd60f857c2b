import ApusMessaging
import Logging
import Transport

/// One leaf of the broadcast tree: the socket of the engines whose id has it as remainder. On the broadcast scheduler's loop only.
final class BroadcastLeaf {
  private var back: EngineSocket
  /// How libzmq calls it towards engines.
  let hop: Frame

  init(_ back: consuming EngineSocket, hop: String) {
    self.back = back
    self.hop = Frame(hop)
  }

  func use(_ lines: LocalLines?) { back.side = lines.map { LineSide(lines: $0, name: hop) } }

  var socket: Socket { _read { yield back.socket } }
  var hasWaiting: Bool { back.hasWaiting }
  func engineRegistered(_ uuid: EngineUUID, isOwn: Bool) { back.engineRegistered(uuid, isOwn: isOwn) }
  func engineLost(_ uuid: EngineUUID) { back.engineLost(uuid) }
  func send(to uuid: EngineUUID, _ second: Frame?, _ rest: ArraySlice<Frame>, inOrderOfLine: Bool) {
    back.send(to: uuid, second, rest, inOrderOfLine: inOrderOfLine)
  }
  func deliverWaiting() { back.deliverWaiting() }
  func uuid(of identity: Frame) -> EngineUUID { back.uuid(of: identity) }
}

/// The broadcast scheduler's sockets, which are also its state's effects.
struct BroadcastSockets: ~Copyable, BroadcastEffects {
  var front: BoundedRouter
  let leaves: [BroadcastLeaf]
  /// Of own peers on this host.
  let lines: LocalLines?
  var session: Session
  var rejections: DroppedMessages
  private var events: TaskEventReporter
  private var leafOf: [EngineUUID: BroadcastLeaf] = [:]
  /// They read seals.
  private var ownEngines: Set<EngineUUID> = []

  init(
    front: consuming BoundedRouter, leaves: [BroadcastLeaf], lines: LocalLines? = nil, session: Session, events: TaskEventStream,
    logger: Logger
  ) {
    self.front = front
    self.leaves = leaves
    self.lines = lines
    self.front.side = lines.map { LineSide(lines: $0, name: LocalSocket.Lane.broadcast) }
    for leaf in leaves { leaf.use(lines) }
    self.session = session
    rejections = DroppedMessages("broadcast", logger: logger)
    self.events = TaskEventReporter(events, .broadcast)
  }

  var hasWaiting: Bool { front.hasWaiting || leaves.contains { $0.hasWaiting } }
  mutating func deliverWaiting() {
    front.deliverWaiting()
    for leaf in leaves { leaf.deliverWaiting() }
  }
  func isRegistered(_ uuid: EngineUUID) -> Bool { leafOf[uuid] != nil }

  mutating func engineRegistered(_ uuid: EngineUUID, id: EngineID, isOwn: Bool) {
    if isOwn { ownEngines.insert(uuid) } else { ownEngines.remove(uuid) }
    let leaf = leaves[id.number % leaves.count]
    leafOf[uuid] = leaf
    leaf.engineRegistered(uuid, isOwn: isOwn)
  }

  mutating func engineLost(_ uuid: EngineUUID) {
    ownEngines.remove(uuid)
    leafOf.removeValue(forKey: uuid)?.engineLost(uuid)
  }

  // MARK: effects

  mutating func send(_ request: Envelope, id: MessageID, metadata: JSONObject, to engine: EngineUUID) {
    guard let leaf = leafOf[engine], case .object(var header)? = try? request.headerFrame.json() else { return }
    header["msg_id"] = .string(id.text)
    let isOwn = ownEngines.contains(engine)
    let share = session.signed(
      header: Frame(.object(header)), parentHeader: request.parentHeaderFrame, metadata: Frame(.object(metadata)),
      content: request.contentFrame, buffers: Array(request.buffers),
      sealedFor: isOwn && request.isSealed ? .request(.broadcast) : nil, buffersOf: request.signature)
    let client = request.identities.first
    leaf.send(
      to: engine, client, share.payload, inOrderOfLine: client.flatMap { lines?.hasRequestsLine(client: $0) } ?? false)
  }

  mutating func relay(_ reply: Envelope) { front.send(reply.frames[1], nil, reply.payload) }

  mutating func combine(_ combined: CombinedReply, to request: Envelope) -> Envelope {
    let additions: JSONObject = [
      "is_coalescing": true, "is_broadcast": true, "original_msg_id": .string(combined.original.text),
      "broadcast_targets": .array(combined.targets.map(\.json)),
    ]
    switch combined.outcome {
    case .succeeded(let replies):
      var additions = additions
      let outputs = replies.reduce(0) { $0 + ((try? $1.metadata())?["output"]?.intValue ?? 0) }
      if outputs > 0 { additions["output"] = .int(outputs) }
      // It has a target at least.
      return stand(replies[replies.count - 1], for: request, additions: additions, buffers: replies.flatMap(\.buffers))
    case .failed(let reply): return stand(reply, for: request, additions: additions, buffers: [])
    case .lost(let error):
      var metadata = additions
      metadata["status"] = "error"
      return session.message(.applyReply, content: error.content, parentHeader: request.headerFrame, metadata: .object(metadata))
    }
  }

  /// One engine's reply stands for all, with their buffers.
  private mutating func stand(_ reply: Envelope, for request: Envelope, additions: JSONObject, buffers: [Frame]) -> Envelope {
    var metadata = (try? reply.metadata()) ?? JSONObject()
    for (key, value) in additions.members { metadata[key] = value }
    return session.signed(
      header: reply.headerFrame, parentHeader: reply.parentHeaderFrame, metadata: Frame(.object(metadata)),
      content: reply.contentFrame, buffers: buffers, sealedFor: request.isSealed ? .reply(.broadcast) : nil)
  }

  mutating func failure(_ error: RemoteError, of id: MessageID, _ request: Envelope) -> Envelope {
    let metadata: JSONValue = [
      "original_msg_id": .string(id.text), "is_coalescing": false, "is_broadcast": true, "status": "error",
    ]
    return session.message(.applyReply, content: error.content, parentHeader: request.headerFrame, metadata: metadata)
  }

  mutating func answer(_ request: Envelope, with reply: Envelope) {
    if let client = request.identities.first { front.send(client, nil, reply.payload) }
  }

  mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) { events.report(task, kind) }
  mutating func turnEnds() { events.turnEnds() }
}
