import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// Clients of ipyparallel after a restart: what is for which of them.
@Suite("Journal: clients without names")
struct ReturningClientsTests {
  private static let name = Frame([0, 1, 2, 3, 4])

  /// Tasks of one session, as a stock client signs them.
  private func tasks(_ clients: Frame...) -> [RestatedTask] {
    var session = Session(key: "0123456789")
    return clients.enumerated().map { number, client in
      RestatedTask(id: MessageID("t\(number)"), message: session.message(.applyRequest, identities: [client]))
    }
  }

  private func addresses(_ clients: inout ReturningClients, _ tasks: [RestatedTask]) -> [Frame?] {
    var (tasks, results) = (tasks, [JournalResult]())
    clients.readdress(&tasks, &results)
    return tasks.map(\.request.client)
  }

  @Test("a task that the hub has submitted in a client's name is nobody's, whichever of the client's comes first")
  func nobody() {
    for order in [[Self.name, ReturningClients.nobody], [ReturningClients.nobody, Self.name]] {
      var clients = ReturningClients()
      let found = addresses(&clients, tasks(order[0], order[1]))
      #expect(zip(order, found).allSatisfy { ($0 == ReturningClients.nobody) == ($1 == ReturningClients.nobody) })
      #expect(!found.contains(Self.name))
    }
  }

  @Test("the same of a task that a version before has called nobody's") func formerNobody() {
    let former = Frame("nobody")
    var tasks = tasks(former, Self.name)
    let reply = tasks[0].message
    var results = [
      JournalResult(
        id: "t2", reply: reply, time: Timestamp(microseconds: 0), outcome: .ok, engine: nil, client: former, isOwnClient: false)
    ]
    var clients = ReturningClients()
    clients.readdress(&tasks, &results)
    #expect(tasks[0].request.client == ReturningClients.nobody && tasks[1].request.client != ReturningClients.nobody)
    #expect(results[0].client == ReturningClients.nobody)
  }

  @Test("nobody can guess an address, and the next controller knows it as one all the same")
  func secret() throws {
    let tasks = tasks(Self.name)
    var (first, second, third) = (ReturningClients(), ReturningClients(), ReturningClients())
    let addresses = [addresses(&first, tasks), addresses(&second, tasks)].map { $0[0] }
    #expect(addresses[0] != addresses[1])
    let session = try #require(tasks[0].message.sessionID)
    var again = tasks
    again[0].request.reroute(to: try #require(addresses[0]))
    let address = try #require(self.addresses(&third, again)[0])
    #expect(!addresses.contains(address))
    let findings = third.heard(session, under: Self.name) { _ in 0 }
    #expect(findings == [.name(Self.name, of: address)])
  }

  // MARK: names

  private static let other = Frame([0, 1, 2, 3, 5])

  /// One task of each of so many sessions, and what they are addressed to, as the controller behind so many others reads it.
  private func addressed(_ names: Frame..., own: [Frame] = [], lives: Int = 1) throws -> (
    clients: ReturningClients, sessions: [SessionID], addresses: [Frame]
  ) {
    var tasks = names.flatMap { self.tasks($0) }
    let sessions = try tasks.map { try #require($0.message.sessionID) }
    for (number, name) in own.enumerated() {
      let id = MessageID("own\(number)")
      tasks.append(RestatedTask(id: id, message: Messages.request(id).routed(to: [name])))
    }
    var clients = ReturningClients()
    for life in 0..<lives {
      if life > 0 { clients = ReturningClients() }
      var results: [JournalResult] = []
      clients.readdress(&tasks, &results)
    }
    return (clients, sessions, try tasks.prefix(names.count).map { try #require($0.request.client) })
  }

  /// A reply that is handed to the socket and leaves at once.
  private func leaves(_ id: MessageID, for address: Frame, _ clients: inout ReturningClients) -> Bool {
    let round = clients.handed(id, to: address)
    return clients.left(id, for: address, round: round)
  }

  /// As `ReturningClients.heard`; nothing waits here.
  private func heard(_ session: SessionID?, under name: Frame, _ clients: inout ReturningClients) -> [ReturningClients.Finding] {
    clients.heard(session, under: name) { _ in 0 }
  }

  @Test("one that keeps quiet and is alone has its former name, also later, and what leaves is delivered", arguments: 1...3)
  func alone(lives: Int) throws {
    var (clients, _, addresses) = try addressed(Self.name, lives: lives)
    let round = clients.handed("waits", to: addresses[0])
    var findings = clients.silent()
    #expect(findings == [.name(Self.name, of: addresses[0])])
    findings = clients.silent()
    #expect(findings.isEmpty)
    var isDelivered = clients.left("waits", for: addresses[0], round: round)
    #expect(isDelivered)
    isDelivered = leaves("t", for: addresses[0], &clients)
    #expect(isDelivered)
  }

  @Test("where others keep quiet too, what leaves is delivered when the session has spoken under that name")
  func confirmed() throws {
    var (clients, sessions, addresses) = try addressed(Self.name, Self.other)
    let round = clients.handed("waits", to: addresses[0])
    let findings = clients.silent()
    #expect(findings.count == 2)
    #expect(findings.contains(.name(Self.name, of: addresses[0])) && findings.contains(.name(Self.other, of: addresses[1])))
    var isDelivered = clients.left("waits", for: addresses[0], round: round)
    #expect(!isDelivered)
    isDelivered = leaves("t", for: addresses[0], &clients)
    #expect(!isDelivered)
    var heard = heard(sessions[0], under: Self.name, &clients)
    #expect(heard == [.delivered(["waits", "t"])])
    isDelivered = leaves("u", for: addresses[0], &clients)
    #expect(isDelivered)
    heard = self.heard(sessions[0], under: Self.name, &clients)
    #expect(heard.isEmpty)
  }

  @Test("what somebody else got is sent again as soon as that is known, and does not count as delivered")
  func swapped() throws {
    var (clients, sessions, addresses) = try addressed(Self.name, Self.other)
    _ = clients.silent()
    let rounds = [clients.handed("a", to: addresses[0]), clients.handed("b", to: addresses[1])]
    // The first speaks under the other's name: both were misled, and there is one name only that is left for the second.
    let findings = heard(sessions[0], under: Self.other, &clients)
    #expect(
      findings == [
        .misled(addresses[0], to: Self.other, ["a"]), .misled(addresses[1], to: nil, ["b"]), .name(Self.name, of: addresses[1]),
      ])
    // These had left before.
    var isDelivered = clients.left("a", for: addresses[0], round: rounds[0])
    #expect(!isDelivered)
    isDelivered = clients.left("b", for: addresses[1], round: rounds[1])
    #expect(!isDelivered)
    isDelivered = leaves("a", for: addresses[0], &clients)
    #expect(isDelivered)
    isDelivered = leaves("b", for: addresses[1], &clients)
    #expect(isDelivered)
  }

  @Test("what still waits when its name turns out to be another one stays, and is not sent twice") func waits() throws {
    var (clients, sessions, addresses) = try addressed(Self.name, Self.other)
    _ = clients.silent()
    let rounds = (["a", "b"] as [MessageID]).map { clients.handed($0, to: addresses[0]) }
    // One of them has not been taken by the socket.
    let findings = clients.heard(sessions[0], under: Self.other) { _ in 1 }
    #expect(findings.first == .misled(addresses[0], to: Self.other, ["a"]))
    var isDelivered = clients.left("a", for: addresses[0], round: rounds[0])
    #expect(!isDelivered)
    isDelivered = clients.left("b", for: addresses[0], round: rounds[1])
    #expect(isDelivered)
  }

  @Test("of several names of before the latest counts") func latest() throws {
    var tasks = tasks(Self.name)
    tasks.append(RestatedTask(id: "later", message: tasks[0].message.routed(to: [Self.other])))
    var clients = ReturningClients()
    let address = try #require(addresses(&clients, tasks).last ?? nil)
    let findings = clients.silent()
    #expect(findings == [.name(Self.other, of: address)])
  }

  @Test("who keeps quiet for longer than results are kept is known when he speaks") func late() throws {
    var (clients, sessions, addresses) = try addressed(Self.name, Self.other)
    _ = clients.silent()
    _ = clients.handed("a", to: addresses[0])
    clients.end()
    let findings = heard(sessions[0], under: Self.other, &clients)
    #expect(findings.first == .misled(addresses[0], to: Self.other, []))
    clients.end()
    #expect(!clients.isEmpty, "the other one has not spoken")
    _ = heard(sessions[1], under: Self.name, &clients)
    clients.end()
    #expect(clients.isEmpty)
  }

  @Test("an own client without a name of its own may have it, too, until it has spoken")
  func own() throws {
    var (clients, sessions, addresses) = try addressed(Self.name, own: [Self.other])
    var findings = clients.silent()
    #expect(findings == [.name(Self.name, of: addresses[0])])
    var isDelivered = leaves("t", for: addresses[0], &clients)
    #expect(!isDelivered)
    // The other name is the only one that is left.
    findings = heard(nil, under: Self.name, &clients)
    #expect(findings == [.misled(addresses[0], to: nil, ["t"]), .name(Self.other, of: addresses[0])])
    isDelivered = leaves("t", for: addresses[0], &clients)
    #expect(isDelivered)
    findings = heard(sessions[0], under: Self.other, &clients)
    #expect(findings.isEmpty)
    // It has spoken first.
    (clients, sessions, addresses) = try addressed(Self.name, own: [Self.other])
    findings = heard(nil, under: Self.other, &clients)
    #expect(findings.isEmpty)
    findings = clients.silent()
    #expect(findings == [.name(Self.name, of: addresses[0])])
    isDelivered = leaves("t", for: addresses[0], &clients)
    #expect(isDelivered)
    // Or under the session's.
    (clients, sessions, addresses) = try addressed(Self.name, own: [Self.other])
    findings = heard(nil, under: Self.name, &clients)
    #expect(findings.isEmpty)
    findings = clients.silent()
    #expect(findings == [.name(Self.other, of: addresses[0])])
  }

  @Test("nobody is believed to have the name under which somebody else has spoken")
  func taken() throws {
    var (clients, sessions, addresses) = try addressed(Self.name)
    var findings = heard(nil, under: Self.name, &clients)
    #expect(findings.isEmpty)
    findings = clients.silent()
    #expect(findings.isEmpty)
    let round = clients.handed("waits", to: addresses[0])
    findings = heard(sessions[0], under: Self.other, &clients)
    #expect(findings == [.name(Self.other, of: addresses[0])])
    var isDelivered = clients.left("waits", for: addresses[0], round: round)
    #expect(isDelivered)
    // By another connection it has another name.
    findings = heard(sessions[0], under: Self.name, &clients)
    #expect(findings == [.name(Self.name, of: addresses[0])])
    isDelivered = leaves("t", for: addresses[0], &clients)
    #expect(isDelivered)
  }
}
