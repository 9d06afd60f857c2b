import ApusMessaging
import Transport

/// Clients that wait for events: each of them is answered once, when there is something for it, when its time is over, or never, because it is
/// gone.
struct EventWaits {
  struct Wait {
    let filter: StoryFilter
    let limit: Int
    let deadline: ContinuousClock.Instant
    /// Who asked, and by which connection.
    let client: Frame
    let connection: Int32
    /// What came before is looked through.
    var number: Int
    /// Events that were gone when it asked.
    var lost = 0
  }

  struct ID: Hashable, Sendable { fileprivate let raw: Int }

  private(set) var waits: [ID: Wait] = [:]
  private var perClient: [Frame: Int] = [:]
  private var lastID = 0

  /// So many questions of a client may wait at once, and of all clients together.
  static let mostOfClient = 16
  static let most = 4096

  /// - Throws: a `RuntimeError` for the client when too many wait.
  mutating func add(_ wait: Wait) throws(RemoteError) -> ID {
    guard perClient[wait.client, default: 0] < Self.mostOfClient else {
      throw RemoteError(name: "RuntimeError", value: "this client waits for events \(Self.mostOfClient) times already")
    }
    guard waits.count < Self.most else {
      throw RemoteError(name: "RuntimeError", value: "too many clients wait for events: \(Self.most)")
    }
    lastID += 1
    let id = ID(raw: lastID)
    waits[id] = wait
    perClient[wait.client, default: 0] += 1
    return id
  }

  mutating func remove(_ id: ID) {
    guard let wait = waits.removeValue(forKey: id) else { return }
    let left = perClient[wait.client, default: 1] - 1
    perClient[wait.client] = left > 0 ? left : nil
  }

  /// The connection has ended, and with it whoever waits there.
  /// - Returns: those waits, which nobody is to answer.
  mutating func gone(_ connection: Int32) -> [ID] {
    let ids = waits.filter { $0.value.connection == connection }.map(\.key)
    for id in ids { remove(id) }
    return ids
  }

  var nextDeadline: ContinuousClock.Instant? { waits.values.map(\.deadline).min() }

  /// New events are there, or time has passed.
  /// - Returns: who is to be answered now, and with what; the others have looked through what there is.
  mutating func due(_ history: EventHistory, now: ContinuousClock.Instant, byteLimit: Int) -> [(id: ID, page: EventHistory.Page)] {
    var answers: [(ID, EventHistory.Page)] = []
    for (id, wait) in waits {
      var page = history.page(from: wait.number, wait.filter, limit: wait.limit, byteLimit: byteLimit)
      page.lost += wait.lost
      if page.events.isEmpty, !page.isFull, page.lost == 0, wait.deadline > now {
        waits[id]?.number = page.next
        continue
      }
      answers.append((id, page))
      remove(id)
    }
    return answers
  }
}
