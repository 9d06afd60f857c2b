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
    #expect(third.heard(session, under: Self.name) == address)
  }
}
