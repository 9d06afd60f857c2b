@testable import ApusController
import ApusMessaging
import Transport

/// What the task scheduler's socket towards clients does, and `TaskScheduler` for those that come back.
extension ControllerProcess {
  enum Client {
    case own(ClientProcess)
    case stock(StockClientProcess)
  }

  /// As libzmq calls who has no name of its own: the same ones for each controller, in the order in which they connect.
  func nextName() -> Frame {
    defer { lastName += 1 }
    return withUnsafeBytes(of: lastName.bigEndian) { Frame([0] + $0) }
  }

  func connected(_ name: Frame, by link: Link, _ party: Client) {
    clients[name] = (link, party)
    for client in waitingReplies.keys.sorted(by: { $0.text < $1.text }) where (names[client] ?? client) == name {
      deliverWaiting(for: client)
    }
  }

  private func deliverWaiting(for client: Frame) {
    for (reply, round) in waitingReplies.removeValue(forKey: client) ?? [] { send(reply, to: client, round) }
  }

  // MARK: replies

  func send(_ reply: Envelope, to client: Frame) {
    send(reply, to: client, reply.parentID.map { returning.handed($0, to: client) } ?? 0)
  }

  private func send(_ reply: Envelope, to client: Frame, _ round: Int) {
    guard let (link, party) = clients[names[client] ?? client], link.isOpen else {
      if expected.clients.contains(client), world.now < expected.until {
        waitingReplies[client, default: []].append((reply, round))
      }
      return
    }
    let text = "reply to \(reply.parentID?.text ?? "?")"
    let arrival =
      switch party {
      case .own(let receiver):
        link.toDialer(text) { [weak receiver, self] in
          guard let receiver else { return }
          if let id = reply.parentID, cluster.ledger.tasks[id]?.client == receiver.name {
            if isAlive { checkWritten(id) } else { cluster.ledger.isLastWord(of: id) }
          }
          receiver.replied(reply)
        }
      case .stock(let receiver): link.toDialer(text) { [weak receiver, weak self] in receiver?.replied(reply, by: self) }
      }
    if let id = reply.parentID, cluster.ledger.tasks[id]?.isStock ?? false { noteLeft(id, for: client, round, at: arrival) }
  }

  /// As `DepartedReplies`.
  private func noteLeft(_ id: MessageID, for client: Frame, _ round: Int, at time: Int) {
    after(time - world.now + world.pick(5_000...10_000)) { [self] in
      scheduler {
        let isDelivered = returning.left(id, for: client, round: round)
        if isDelivered || cluster.scenario.mutation == .trustsNames { noteDelivered([id]) }
      }
    }
  }

  private func noteDelivered(_ ids: [MessageID]) {
    sink.facts.append(.delivered(ids))
    tasks.delivered(ids)
  }

  // MARK: clients that come back

  /// As `TaskScheduler.restore`.
  func welcome(_ restored: Restorer.Restored) {
    let latest = restored.results.last?.time ?? Timestamp(microseconds: 0)
    let last = latest.advanced(by: .zero - JournalLimits.lastMoments)
    let results = tasks.resultsForStockClients(since: last)
    expected = (
      Set(restored.tasks.compactMap(\.request.client) + results.compactMap(\.client)),
      world.now + configuration.resultTime.microseconds
    )
    for result in results { if let client = result.client { send(result.reply, to: client) } }
    guard !returning.isEmpty else { return }
    after(1_000_000) { [self] in scheduler { follow(returning.silent()) } }
    after(configuration.resultTime.microseconds) { [self] in returning.end() }
  }

  private func know(_ address: Frame, as name: Frame?) {
    names[address] = name
    deliverWaiting(for: address)
  }

  /// As `TaskScheduler.hear`.
  func hear(_ session: SessionID?, under name: Frame) {
    if returning.isEmpty { return }
    follow(returning.heard(session, under: name) { waitingReplies[$0]?.count ?? 0 })
  }

  private func follow(_ findings: [ReturningClients.Finding]) {
    for finding in findings {
      switch finding {
      case .name(let name, let address):
        world.note("\(self.name) knows a name")
        know(address, as: name)
      case .misled(let address, let name, let replies):
        world.note("\(self.name) was wrong")
        know(address, as: name)
        if !replies.isEmpty { sink.facts.append(.missed(replies)) }
        for result in tasks.takeBack(replies) { send(result.reply, to: address) }
      case .delivered(let replies): noteDelivered(replies)
      }
    }
  }
}
