import ApusMessaging
import Transport

/// Clients of ipyparallel after a restart. They have no names of their own: libzmq gives one to each, in the order in which they connect, and to the
/// new controller they come in another. What is for a client of before is addressed to its session, whose new name it tells with its next message.
struct ReturningClients {
  /// Where results go that are for the task database alone: no client is called so, and nothing is sent there.
  static let nobody = Frame("<APUS|NOBODY>")
  /// The same in journals of versions before, for which a client could be taken that called itself so.
  private static let formerNobody = Frame("nobody")
  private static let mark = "<APUS|SESSION>"

  /// In each address, and known to this controller alone: whoever connects under the name of an address would be sent what is for its client.
  private let secret = SessionID.random().text

  /// Sessions with their addresses and former names.
  private var sessions: [SessionID: (address: Frame, former: Frame?)] = [:]
  /// Whose names these are now; `nil` is one of Apus's own clients.
  private var owners: [Frame: SessionID?] = [:]
  private var known: Set<SessionID> = []

  var isEmpty: Bool { sessions.isEmpty }

  /// Whether libzmq has given the name.
  static func isNameless(_ name: Frame) -> Bool { name.count == 5 && name.withUnsafeBytes { $0[0] == 0 } }

  /// Addresses what was read from the journal to sessions.
  mutating func readdress(_ tasks: inout [RestatedTask], _ results: inout [JournalResult]) {
    for index in tasks.indices {
      if tasks[index].request.isFrom(Self.formerNobody) {
        tasks[index].request.reroute(to: Self.nobody)
        continue
      }
      guard !tasks[index].request.isOwn, let name = tasks[index].request.client, let session = tasks[index].message.sessionID,
        let address = address(of: session, before: name)
      else { continue }
      tasks[index].request.reroute(to: address)
    }
    for index in results.indices {
      if results[index].client == Self.formerNobody { results[index].client = Self.nobody }
      guard !results[index].isOwnClient, let name = results[index].client, let session = results[index].reply.parentSessionID else {
        continue
      }
      if let address = address(of: session, before: name) { results[index].client = address }
    }
  }

  /// - Returns: `nil` for a client that has a name of its own.
  private mutating func address(of session: SessionID, before name: Frame) -> Frame? {
    let isNameless = Self.isNameless(name)
    // The controller before may have waited for it in vain. A task that the hub has submitted is of its session as well, and is nobody's.
    guard isNameless || name.text.hasPrefix(Self.mark) else { return nil }
    if let one = sessions[session] { return one.address }
    let address = Frame(Self.mark + secret + "|" + session.text)
    sessions[session] = (address, isNameless ? name : nil)
    return address
  }

  /// Whoever has not been heard by now is not waited for any more.
  mutating func end() { (sessions, owners, known) = ([:], [:], []) }

  /// A message has come.
  /// - Parameter session: `nil` for one of Apus's own clients.
  /// - Returns: the address of a session that is known by this name from now on.
  mutating func heard(_ session: SessionID?, under name: Frame) -> Frame? {
    guard Self.isNameless(name) else { return nil }
    owners[name] = .some(session)
    guard let session, let one = sessions[session] else { return nil }
    known.insert(session)
    return one.address
  }

  /// Those that keep quiet have their former names, as far as nobody else has spoken under them: one that is alone gets the same again.
  func silent() -> [(address: Frame, name: Frame)] {
    sessions.compactMap { session, one in
      guard !known.contains(session), let former = one.former, owners[former] == nil else { return nil }
      return (one.address, former)
    }
  }
}
