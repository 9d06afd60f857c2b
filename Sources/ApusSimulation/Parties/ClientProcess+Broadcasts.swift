@testable import ApusClient
import ApusMessaging
import Transport

/// Requests to several engines, by a way of their own.
extension ClientProcess {
  func dialBroadcast() {
    cluster.dial("\(name).broadcast", from: self) { [self] link, controller in
      broadcast = (link, controller)
      link.onBroken = (
        { [weak self] in
          guard let self, broadcast?.link === link else { return }
          broadcast = nil
          dialBroadcast()
          decide { $0.connectionBroke(.broadcast, effects: &$1) }
        }, {}
      )
      let identity = Frame(name)
      link.toListener("") { [unowned controller] in controller.broadcastClients[identity] = link }
      let queued = unsentBroadcasts
      unsentBroadcasts = []
      for send in queued { send() }
    }
  }

  func submitBroadcast() {
    let engines = state.sortedEngines.filter { _ in world.chance(70) }
    guard !engines.isEmpty else { return }
    let number = ids.next()
    let isCoalescing = world.chance(50)
    let handles =
      isCoalescing
      ? [TaskHandle(number, cost: 1, engine: nil, label: nil, queue: queue)]
      : engines.map { TaskHandle(ids.next(), shareOf: number, cost: 1, engine: $0, label: nil, queue: queue) }
    let account = BroadcastAccount(
      ids.id(of: number), client: name, length: Int(1e6 * world.logarithmic(cluster.scenario.length)), fails: world.chance(10),
      targets: engines.map(\.uuid))
    // It may not know yet that its controller or its connection is another one, and gives up all that it has sent before.
    account.mayBeLost =
      heard !== cluster.controller || heard?.isAlive != true || world.now - cluster.ledger.lastCut < 1_000_000
    cluster.ledger.submitted(account, handles: handles.map(\.id))
    let targets = JSONValue.array(engines.map { [.string($0.uuid.text), .int($0.id.number)] })
    let request = Request(
      number: number, route: isCoalescing ? .coalescing(engines) : .broadcast(engines), type: .applyRequest, content: .emptyObject,
      metadata: Frame(["targets": targets, "is_broadcast": true, "is_coalescing": .bool(isCoalescing)]), handles: handles, cost: 1)
    world.note("\(name) broadcasts \(account.id)")
    decide { $0.submit(request, effects: &$1) }
  }

  func sendBroadcast(_ request: Request) {
    guard let (link, controller) = broadcast, link.isOpen else {
      unsentBroadcasts.append { [weak self] in self?.sendBroadcast(request) }
      return
    }
    let id = ids.id(of: request.number)
    let message = Envelope(
      identities: [Frame(name)], signature: .empty, header: Frame(["msg_id": .string(id.text), "msg_type": "apply_request"]),
      parentHeader: .emptyObject, metadata: request.metadata, content: request.content)
    link.toListener("broadcast \(id)") { [unowned controller] in controller.broadcast(message, id) }
  }
}
