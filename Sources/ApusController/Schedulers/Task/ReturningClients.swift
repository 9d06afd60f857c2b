import ApusMessaging
import Transport

/// Clients of ipyparallel after a restart. They have no names of their own: libzmq gives one to each, in the order in which they connect, and to the
/// new controller they come in another. What is for a client of before is addressed to its session, whose new name it tells with its next message.
///
/// One that keeps quiet is believed to have its former name. Somebody else may have it, who lets go of what he does not know: until the session has
/// spoken, what it was sent is not delivered, as far as anybody can tell, unless there is nobody else who could have taken the name.
struct ReturningClients {
  /// Where results go that are for the task database alone: no client is called so, and nothing is sent there.
  static let nobody = Frame("<APUS|NOBODY>")
  /// The same in journals of versions before, for which a client could be taken that called itself so.
  private static let formerNobody = Frame("nobody")
  private static let mark = "<APUS|SESSION>"

  /// In each address, and known to this controller alone: whoever connects under the name of an address would be sent what is for its client.
  private let secret: String

  private struct Returning {
    let address: Frame
    /// What it was called by a controller before.
    let former: Frame?
    /// What it is called now, as it has said itself.
    var name: Frame?
    var guess: Guess?
    /// Replies for it that were handed to the socket before it has spoken.
    var handed: [MessageID] = []
    /// How many times these were for nothing: what was handed over before the last time is not heard of any more.
    var round = 0
  }

  private struct Guess {
    let name: Frame
    /// Nobody else is known who could have the name.
    let isSure: Bool
    /// Replies that have left since.
    var left: [MessageID] = []
  }

  private var sessions: [SessionID: Returning] = [:]
  private var addresses: [Frame: SessionID] = [:]
  /// Whose names these are now; `nil` is one of Apus's own clients.
  private var owners: [Frame: SessionID?] = [:]
  /// Sessions that are believed to have these names.
  private var guesses: [Frame: [SessionID]] = [:]
  /// Names that own clients had for the controller before: they have others now, too.
  private var formerOwn: Set<Frame> = []

  init(secret: String = SessionID.random().text) { self.secret = secret }

  var isEmpty: Bool { sessions.isEmpty }

  /// Whether libzmq has given the name.
  static func isNameless(_ name: Frame) -> Bool { name.count == 5 && name.withUnsafeBytes { $0[0] == 0 } }

  // MARK: addresses

  /// Addresses what was read from the journal to sessions.
  mutating func readdress(_ tasks: inout [RestatedTask], _ results: inout [JournalResult]) {
    var own = Frame.empty
    for index in tasks.indices {
      if tasks[index].request.isFrom(Self.formerNobody) {
        tasks[index].request.reroute(to: Self.nobody)
        continue
      }
      if tasks[index].request.isOwn {
        // Many of one client follow each other.
        if !tasks[index].request.isFrom(own), let name = tasks[index].request.client {
          own = name
          if Self.isNameless(name) { formerOwn.insert(name) }
        }
        continue
      }
      guard let name = tasks[index].request.client, let session = tasks[index].message.sessionID,
        let address = address(of: session, before: name)
      else { continue }
      tasks[index].request.reroute(to: address)
    }
    for index in results.indices {
      if results[index].client == Self.formerNobody { results[index].client = Self.nobody }
      guard let name = results[index].client else { continue }
      if results[index].isOwnClient {
        if Self.isNameless(name) { formerOwn.insert(name) }
      } else if let session = results[index].reply.parentSessionID, let address = address(of: session, before: name) {
        results[index].client = address
      }
    }
  }

  /// - Returns: `nil` for a client that has a name of its own.
  private mutating func address(of session: SessionID, before name: Frame) -> Frame? {
    let isNameless = Self.isNameless(name)
    // The controller before may have waited for it in vain. A task that the hub has submitted is of its session as well, and is nobody's.
    guard isNameless || name.text.hasPrefix(Self.mark) else { return nil }
    if let one = sessions[session] { return one.address }
    let former = isNameless ? name : Self.former(in: name.text)
    let address = Frame([Self.mark + secret, session.text, former.map(Self.digits) ?? ""].joined(separator: "|"))
    sessions[session] = Returning(address: address, former: former)
    addresses[address] = session
    return address
  }

  /// The name that an address of a controller before tells: what was sent there may never have left.
  private static func former(in address: String) -> Frame? {
    let digits = Array((address.split(separator: "|", omittingEmptySubsequences: false).last ?? "").utf8)
    guard digits.count == 10 else { return nil }
    let bytes = stride(from: 0, to: 10, by: 2).compactMap { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) }
    let name = Frame(bytes)
    return isNameless(name) ? name : nil
  }

  private static func digits(_ name: Frame) -> String {
    name.withUnsafeBytes { bytes in bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
  }

  // MARK: names

  /// What is learned of a session.
  enum Finding: Equatable {
    /// What is for the address goes to the client of this name from now on.
    case name(Frame, of: Frame)
    /// Somebody else has the name that it was believed to have, and these replies; `nil` where it still keeps quiet.
    case misled(Frame, to: Frame?, [MessageID])
    /// What has left for it has come to it.
    case delivered([MessageID])
  }

  /// A message has come.
  /// - Parameter session: `nil` for one of Apus's own clients.
  mutating func heard(_ session: SessionID?, under name: Frame) -> [Finding] {
    guard Self.isNameless(name) else { return [] }
    owners[name] = .some(session)
    var findings: [Finding] = []
    for other in guesses.removeValue(forKey: name) ?? [] where other != session {
      if let finding = mislead(other, to: nil) { findings.append(finding) }
    }
    guard let session, let one = sessions[session], one.name != name else { return findings }
    if let guess = one.guess, guess.name == name {
      if !guess.isSure, !guess.left.isEmpty { findings.append(.delivered(guess.left)) }
    } else if one.guess != nil, let finding = mislead(session, to: name) {
      findings.append(finding)
    } else {
      findings.append(.name(name, of: one.address))
    }
    sessions[session]?.name = name
    sessions[session]?.guess = nil
    sessions[session]?.handed = []
    return findings
  }

  /// The session does not have the name that it was believed to have.
  private mutating func mislead(_ session: SessionID, to name: Frame?) -> Finding? {
    guard let one = sessions[session], one.guess != nil else { return nil }
    sessions[session]?.guess = nil
    sessions[session]?.handed = []
    sessions[session]?.round += 1
    return .misled(one.address, to: name, one.handed)
  }

  /// Those that keep quiet have their former names, as far as nobody else has spoken under them: one that is alone gets the same again.
  mutating func silent() -> [(address: Frame, name: Frame)] {
    let silent = sessions.filter { $0.value.name == nil }.sorted { $0.key.text < $1.key.text }
    let isSure = silent.count == 1 && formerOwn.count <= owners.values.count { $0 == nil }
    return silent.compactMap { session, one in
      guard let former = one.former, owners[former] == nil else { return nil }
      sessions[session]?.guess = Guess(name: former, isSure: isSure)
      guesses[former, default: []].append(session)
      return (one.address, former)
    }
  }

  /// Whoever has not been heard by now is not waited for any more.
  mutating func end() { (sessions, addresses, owners, guesses, formerOwn) = ([:], [:], [:], [:], []) }

  // MARK: replies

  /// A reply for this client goes to the socket, which may keep it until the client's name is known.
  /// - Returns: what `left` is to be told.
  mutating func handed(_ reply: MessageID, to client: Frame) -> Int {
    guard let session = addresses[client], let one = sessions[session] else { return 0 }
    if one.name == nil { sessions[session]?.handed.append(reply) }
    return one.round
  }

  /// The reply has left.
  /// - Returns: whether it was for the client, as far as anybody can tell.
  mutating func left(_ reply: MessageID, for client: Frame, round: Int) -> Bool {
    guard let session = addresses[client], let one = sessions[session] else { return true }
    guard one.round == round else { return false }
    guard one.name == nil, let guess = one.guess, !guess.isSure else { return true }
    sessions[session]?.guess?.left.append(reply)
    return false
  }
}
