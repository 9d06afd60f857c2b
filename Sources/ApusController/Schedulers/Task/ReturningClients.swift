import ApusMessaging
import Transport

/// Clients of ipyparallel after a restart. They have no names of their own: libzmq gives one to each, in the order in which they connect, and to the
/// new controller they come in another. What is for a client of before is addressed to its session, whose new name it tells with its next message.
///
/// One that keeps quiet is believed to have its former name; where somebody else has spoken under that, the only one of before that is left, if there is
/// one. Whoever has a name lets go of what he does not know: until the session has spoken, what was sent is not delivered, as far as anybody can tell,
/// unless there is nobody else who could have taken the name.
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
    /// What it was called by a controller before, at last.
    var former: Frame?
    /// What it is called now, as it has said itself.
    private(set) var name: Frame?
    private(set) var guess: Guess?
    /// Nothing is noted any more.
    private var isOver = false
    /// Replies for it that were handed to the socket before it has spoken.
    private var handed: [MessageID] = []
    /// To whom the replies of each round went: a round ends when the name is another one.
    private var rounds: [Frame?] = [nil]
    /// Replies that have still waited when their round ended, and belong to the next one.
    private var moved: Set<MessageID> = []
    /// What has left for the name that it is believed to have.
    private var left: [MessageID] = []

    init(address: Frame, former: Frame?) { (self.address, self.former) = (address, former) }

    /// - Returns: the round.
    mutating func hand(_ reply: MessageID) -> Int {
      if name == nil, !isOver { handed.append(reply) }
      return rounds.count - 1
    }

    /// - Returns: whether it was for the client, as far as anybody can tell.
    mutating func left(_ reply: MessageID, round: Int) -> Bool {
      if isOver { return true }
      let receiver = rounds.indices.contains(round) && !moved.contains(reply) ? rounds[round] : rounds[rounds.count - 1]
      if let name { return receiver == name }
      guard let guess, guess.name == receiver else { return false }
      if guess.isSure { return true }
      left.append(reply)
      return false
    }

    /// What waits for its name goes to this one.
    mutating func believe(_ name: Frame, isSure: Bool) {
      rounds[rounds.count - 1] = name
      guess = Guess(name: name, isSure: isSure)
    }

    /// It does not have the name that it was believed to have.
    /// - Parameter waiting: so many of the last replies are still kept here.
    /// - Returns: the others, which came to somebody else.
    mutating func turn(to name: Frame?, waiting: Int) -> [MessageID] {
      let taken = Array(handed.dropLast(waiting))
      handed = handed.suffix(waiting)
      moved = Set(handed)
      left = []
      rounds.append(name)
      guess = nil
      return taken
    }

    /// - Returns: what has left for it under this name already.
    mutating func spoke(_ name: Frame) -> [MessageID] {
      let delivered = left
      // What has waited for it goes there.
      if rounds[rounds.count - 1] == nil { rounds[rounds.count - 1] = name }
      if rounds[rounds.count - 1] != name { rounds.append(name) }
      (self.name, guess, handed, left) = (name, nil, [], [])
      return delivered
    }

    mutating func end() { (isOver, handed, rounds, moved, left) = (true, [], [nil], [], []) }
  }

  private struct Guess {
    let name: Frame
    /// Nobody else is known who could have the name.
    let isSure: Bool
  }

  private var sessions: [SessionID: Returning] = [:]
  private var addresses: [Frame: SessionID] = [:]
  /// Whose names these are now; `nil` is one of Apus's own clients.
  private var owners: [Frame: SessionID?] = [:]
  /// Who has not spoken by now keeps quiet.
  private var isSilenceOver = false
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
    if let one = sessions[session] {
      // The later one counts.
      if isNameless { sessions[session]?.former = name }
      return one.address
    }
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
  /// - Parameters:
  ///   - session: `nil` for one of Apus's own clients.
  ///   - waiting: how many replies for this address are still kept here.
  mutating func heard(_ session: SessionID?, under name: Frame, waiting: (Frame) -> Int) -> [Finding] {
    guard isNews(session, under: name) else { return [] }
    owners[name] = .some(session)
    var findings: [Finding] = []
    // Before the others are believed to have other names.
    if let session, let one = sessions[session], one.name != name {
      if one.guess == nil {
        findings.append(.name(name, of: one.address))
      } else if one.guess?.name != name {
        findings.append(turn(session, to: name, waiting))
      }
      if let delivered = sessions[session]?.spoke(name), !delivered.isEmpty { findings.append(.delivered(delivered)) }
    }
    for other in inOrder where other != session && sessions[other]?.guess?.name == name {
      findings.append(turn(other, to: nil, waiting))
    }
    // There may be one name only that is left.
    if isSilenceOver { findings += silent() }
    return findings
  }

  /// Whether this one was not heard under that name before. Else nothing is learned: nobody is believed to have it any more.
  func isNews(_ session: SessionID?, under name: Frame) -> Bool { Self.isNameless(name) && owners[name] != .some(session) }

  private mutating func turn(_ session: SessionID, to name: Frame?, _ waiting: (Frame) -> Int) -> Finding {
    let address = sessions[session]?.address ?? .empty
    return .misled(address, to: name, sessions[session]?.turn(to: name, waiting: waiting(address)) ?? [])
  }

  private var inOrder: [SessionID] { sessions.keys.sorted { $0.text < $1.text } }

  /// Those that keep quiet have their former names, as far as nobody else has spoken under them: one that is alone gets the same again. Who cannot have
  /// his has the only other one that is left.
  mutating func silent() -> [Finding] {
    isSilenceOver = true
    guard sessions.values.contains(where: { $0.name == nil && $0.guess == nil }) else { return [] }
    let (last, isSure) = (onlyName, mayBeSure)
    return inOrder.compactMap { session in
      guard let one = sessions[session], one.name == nil, one.guess == nil else { return nil }
      let former = one.former.flatMap { owners[$0] == nil ? $0 : nil }
      guard let name = former ?? last else { return nil }
      sessions[session]?.believe(name, isSure: isSure)
      return .name(name, of: one.address)
    }
  }

  /// Of one session only nothing is known, and of no own client.
  private var mayBeSure: Bool {
    formerOwn.count <= owners.values.count { $0 == nil } && sessions.values.count { $0.name == nil } == 1
  }

  /// The name of before that nobody has spoken under, if one session only can have it.
  private var onlyName: Frame? {
    let free = Set(sessions.values.compactMap(\.former)).union(formerOwn).filter { owners[$0] == nil }
    return free.count == 1 && sessions.values.count { $0.name == nil } == 1 ? free.first : nil
  }

  /// Nothing is kept any more that could be sent again. Whoever has not been heard by now is still known when he speaks: his tasks may take long.
  mutating func end() {
    for (session, one) in sessions where one.name != nil {
      sessions[session] = nil
      addresses[one.address] = nil
    }
    for session in sessions.keys { sessions[session]?.end() }
    if sessions.isEmpty { (owners, formerOwn) = ([:], []) }
  }

  // MARK: replies

  /// A reply for this client goes to the socket, which may keep it until the client's name is known.
  /// - Returns: what `left` is to be told.
  mutating func handed(_ reply: MessageID, to client: Frame) -> Int {
    addresses.isEmpty ? 0 : addresses[client].flatMap { sessions[$0]?.hand(reply) } ?? 0
  }

  /// The reply has left.
  /// - Returns: whether it was for the client, as far as anybody can tell.
  mutating func left(_ reply: MessageID, for client: Frame, round: Int) -> Bool {
    addresses.isEmpty ? true : addresses[client].flatMap { sessions[$0]?.left(reply, round: round) } ?? true
  }

  /// Those of whom nobody knows what they are called.
  var silentAddresses: [Frame] { sessions.values.filter { $0.name == nil }.map(\.address) }
}
