import ApusMessaging
import CZeroMQ
import Transport

/// A client's questions to the hub, one at a time, and what the hub announces.
final class HubQueries {
  private let query: LoadSocket
  private let notifications: LoadSocket
  private var session: Session
  private let parts = MessageParts()
  /// Engines announced and not taken back since the start.
  private(set) var announced: Set<Int> = []
  /// Engines that were announced as gone.
  private(set) var goneCount = 0

  private static let patience: Int32 = 60_000

  init(_ connection: ConnectionFile, in context: LoadContext) throws(LoadError) {
    session = Session(key: connection.key, username: "bench")
    query = try LoadSocket(.dealer, in: context)
    query.set(ZMQ_RCVTIMEO, Self.patience)
    try query.connect(connection, port: connection.registration)
    notifications = try LoadSocket(.sub, in: context)
    guard case .client(let port, _, _) = connection.side else { throw LoadError("a client's connection file is needed") }
    try notifications.connect(connection, port: port)
  }

  func ask(_ type: MessageType, _ content: JSONValue = [:]) throws(LoadError) -> JSONObject {
    let request = session.message(type, content: content)
    try query.send(request.frames)
    while parts.receive(from: query, wait: true) {
      guard let reply = Envelope(parts.frames), reply.parentID == request.messageID else { continue }
      guard let answer = try? reply.content() else { throw LoadError("the hub answers \(type) with nonsense") }
      guard answer["status"]?.stringValue == "ok" else {
        throw LoadError("the hub answers \(type) with \(JSONValue.object(answer).text)")
      }
      return answer
    }
    throw LoadError("the hub does not answer \(type) within \(Self.patience / 1000) s")
  }

  /// Ids and uuids of the engines that are registered.
  func engines() throws(LoadError) -> [String: String] {
    guard let members = try ask(.connectionRequest)["engines"]?.objectValue?.members else {
      throw LoadError("a connection_reply without engines")
    }
    return Dictionary(members.map { ($0.key, $0.value.stringValue ?? "") }) { $1 }
  }

  /// Load-balanced tasks that no engine has.
  func unassigned() throws(LoadError) -> Int {
    let answer = try ask(.queueRequest, ["targets": .null, "verbose": false])
    guard let count = answer["unassigned"]?.intValue else { throw LoadError("a queue_reply without unassigned") }
    return count
  }

  /// Takes notifications until the time is over or there is a first one.
  func watch(milliseconds: Int) {
    guard notifications.waitReadable(milliseconds: milliseconds) else { return }
    while parts.receive(from: notifications) {
      guard let message = Envelope(parts.frames), let id = try? message.content()["id"]?.intValue else { continue }
      switch message.messageType {
      case MessageType.registrationNotification?: announced.insert(id)
      case MessageType.unregistrationNotification?:
        announced.remove(id)
        goneCount += 1
      default: break
      }
    }
  }

  /// Waits for the hub to know so many engines.
  /// - Parameter isAlive: throws when there is nothing to wait for any more.
  func waitForEngines(_ count: Int, seconds: Double, isAlive: () throws(LoadError) -> Void) throws(LoadError) {
    let deadline = Clock.seconds() + seconds
    var known = try engines().count
    while known < count {
      if Clock.seconds() > deadline { throw LoadError("after \(Int(seconds)) s \(known) of \(count) engines are registered") }
      try isAlive()
      let before = announced.count
      watch(milliseconds: 20)
      // Announcements may have come before this socket's subscription: the answer counts. A crowd is asked for when it seems to be there.
      if announced.count == before || announced.count >= count || count < 16 { known = try engines().count }
    }
  }
}
