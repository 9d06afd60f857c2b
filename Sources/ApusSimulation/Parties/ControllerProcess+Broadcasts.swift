@testable import ApusController
import ApusMessaging
import Transport

/// What `BroadcastScheduler` does.
extension ControllerProcess {
  private struct Sink: BroadcastEffects {
    enum Action {
      case send(Envelope, EngineUUID)
      case reply(Envelope, Frame?)
    }
    let world: World
    var actions: [Action] = []

    mutating func send(_ request: Envelope, id: MessageID, metadata: JSONObject, to engine: EngineUUID) {
      let share = Envelope(
        identities: Array(request.identities), signature: .empty,
        header: Frame(["msg_id": .string(id.text), "msg_type": "apply_request"]), parentHeader: request.parentHeaderFrame,
        metadata: Frame(.object(metadata)), content: request.contentFrame)
      actions.append(.send(share, engine))
    }
    mutating func relay(_ reply: Envelope) { actions.append(.reply(reply, reply.identities.dropFirst().first)) }
    mutating func combine(_ replies: CombinedReply, to request: Envelope) -> Envelope {
      switch replies.outcome {
      case .succeeded(let all): all[all.count - 1]
      case .failed(let reply): reply
      case .lost(let error): Self.reply(error, to: request)
      }
    }
    mutating func failure(_ error: RemoteError, of id: MessageID, _ request: Envelope) -> Envelope {
      Self.reply(error, to: request)
    }
    private static func reply(_ error: RemoteError, to request: Envelope) -> Envelope {
      Envelope(
        signature: .empty, header: Frame(["msg_id": "scheduler", "msg_type": "apply_reply"]), parentHeader: request.headerFrame,
        metadata: Frame(["status": "error"]), content: Frame(error.content))
    }
    mutating func answer(_ request: Envelope, with reply: Envelope) { actions.append(.reply(reply, request.identities.first)) }
    mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) {
      world.note("  \(task), a broadcast, \(TaskEvent(task, .broadcast, at: world.timestamp, kind).word)")
    }
  }

  private func decide(_ event: (inout BroadcastState, inout Sink) -> Void) {
    var effects = Sink(world: world)
    event(&broadcasts, &effects)
    for action in effects.actions {
      switch action {
      case .send(let share, let uuid): leave([.request(share, uuid)])
      case .reply(let reply, let client):
        guard let client, let link = broadcastClients[client], link.isOpen,
          let receiver = cluster.clients.first(where: { $0.name == client.text })
        else { continue }
        link.toDialer("reply to \(reply.parentID?.text ?? "?")") { [weak receiver] in receiver?.replied(reply) }
      }
    }
    for wrong in broadcasts.checkInvariants().sorted() { world.fail("\(name): \(wrong)") }
  }

  func broadcast(_ message: Envelope, _ id: MessageID) {
    decide { state, effects in
      do {
        try state.submit(message, id: id, metadata: message.metadata(), effects: &effects)
      } catch { world.fail("\(name) refuses \(id): \(error)") }
    }
  }

  func completedShare(_ reply: Envelope, by uuid: EngineUUID) {
    decide { state, effects in
      guard let metadata = try? reply.metadata() else { return world.fail("a reply of \(uuid) without metadata") }
      state.completed(reply, metadata: metadata, by: uuid, effects: &effects)
    }
  }

  func loseShares(of uuid: EngineUUID, cause: EngineLoss, grace: Duration) {
    if cluster.scenario.mutation == .hidesLossesFromBroadcasts { return }
    let owed = broadcasts.engineLost(uuid)
    guard !owed.isEmpty else { return }
    after(grace.microseconds) { [self] in decide { $0.giveUp(owed, of: uuid, cause: cause, effects: &$1) } }
  }
}
