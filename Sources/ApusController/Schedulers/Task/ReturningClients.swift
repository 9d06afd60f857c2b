import ApusMessaging
import Transport

/// Clients of ipyparallel after a restart. They have no names of their own: libzmq gives one to each, in the order in which they connect, and to the
/// new controller they come in another. What is for a client of before is addressed to its session, whose new name it tells with its next message.
///
/// One that keeps quiet is believed to have its former name, and then, one after the other, the names of before that nobody has spoken under. Whoever
/// has a name lets go of what he does not know: until the session has spoken, what was sent is not delivered, as far as anybody can tell, unless there
/// is one name only that it can have.
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
    /// Replies for it that were handed to the socket before it has spoken, each once.
    private(set) var handed: [MessageID] = []
    private var known: Set<MessageID> = []
    /// To whom the replies of each round went: a round ends when the name is another one.
    private(set) var rounds: [Frame?] = [nil]
    /// Replies of this round, in their order.
    private var sent: [MessageID] = []
    /// What the socket has taken for these names, and what of that has left.
    private var taken: [Frame: Set<MessageID>] = [:]
    private var left: [Frame: Set<MessageID>] = [:]

    init(address: Frame, former: Frame?) { (self.address, self.former) = (address, former) }

    var round: Int { rounds.count - 1 }

    mutating func hand(_ reply: MessageID) {
      if known.insert(reply).inserted { handed.append(reply) }
      sent.append(reply)
    }

    mutating func left(_ reply: MessageID, for name: Frame) { left[name, default: []].insert(reply) }

    /// What waits for its name goes to this one.
    mutating func believe(_ name: Frame) {
      rounds[round] = name
      guess = Guess(name: name, isSure: false)
    }

    /// - Parameter waiting: so many of the last replies are still kept here, and are forgotten.
    /// - Returns: what the next name has not got yet.
    mutating func turn(to name: Frame?, waiting: Int) -> [MessageID] {
      if let former = rounds[round] { taken[former, default: []].formUnion(sent.dropLast(waiting)) }
      sent = []
      rounds.append(name)
      guess = name.map { Guess(name: $0, isSure: false) }
      guard let name, let taken = taken[name] else { return handed }
      return handed.filter { !taken.contains($0) }
    }

    /// - Returns: what has left for it under this name already.
    mutating func spoke(_ name: Frame) -> [MessageID] {
      let delivered = left[name].map { left in handed.filter(left.contains) } ?? []
      (self.name, guess, handed, known, sent, taken, left) = (name, nil, [], [], [], [:], [:])
      return delivered
    }
  }

  private struct Guess {
    let name: Frame
    /// There is no other name that it can have.
    var isSure: Bool
  }

  private var sessions: [SessionID: Returning] = [:]
  private var addresses: [Frame: SessionID] = [:]
  /// Whose names these are now; `nil` is one of Apus's own clients.
  private var owners: [Frame: SessionID?] = [:]
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
    /// It has, or may have, another name than it was believed to have, whose owner has not got these replies; `nil` where there is none.
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
    if let session, let one = sessions[session], one.name != name { findings = spoke(session, one, under: name, waiting) }
    for (other, one) in inOrder where other != session && one.guess?.name == name {
      findings.append(turn(other, one, to: next(one, behind: name), waiting))
    }
    return findings
  }

  /// Whether this one was not heard under that name before. Else nothing is learned: nobody is believed to have it any more.
  func isNews(_ session: SessionID?, under name: Frame) -> Bool { Self.isNameless(name) && owners[name] != .some(session) }

  private mutating func spoke(
    _ session: SessionID, _ one: Returning, under name: Frame, _ waiting: (Frame) -> Int
  ) -> [Finding] {
    var findings: [Finding] = []
    if one.guess == nil {
      findings.append(.name(name, of: one.address))
    } else if one.guess?.name != name {
      findings.append(turn(session, one, to: name, waiting))
    }
    if let delivered = sessions[session]?.spoke(name), !delivered.isEmpty { findings.append(.delivered(delivered)) }
    return findings
  }

  /// The session has, or is believed to have, another name.
  private mutating func turn(_ session: SessionID, _ one: Returning, to name: Frame?, _ waiting: (Frame) -> Int) -> Finding {
    .misled(one.address, to: name, sessions[session]?.turn(to: name, waiting: waiting(one.address)) ?? [])
  }

  /// Those that keep quiet have their former names, or other ones under which nobody has spoken. Looked at again and again, each of these gets its turn:
  /// whoever does not know a result lets go of it.
  /// - Parameter waiting: as of `heard`.
  mutating func silent(waiting: (Frame) -> Int) -> [Finding] {
    var findings: [Finding] = []
    for (session, one) in inOrder where one.name == nil && one.guess?.isSure != true {
      guard let guess = one.guess else {
        guard let name = next(one, behind: nil) else { continue }
        sessions[session]?.believe(name)
        findings.append(.name(name, of: one.address))
        continue
      }
      if let name = next(one, behind: guess.name), name != guess.name { findings.append(turn(session, one, to: name, waiting)) }
    }
    let silent = sessions.values.filter { $0.name == nil }
    let isSure = silent.count == 1 && silent.allSatisfy { names(for: $0).count == 1 }
    if isSure, formerOwn.count <= owners.values.count(where: { $0 == nil }) {
      for session in sessions.keys where sessions[session]?.name == nil { sessions[session]?.guess?.isSure = true }
    }
    return findings
  }

  private var inOrder: [(SessionID, Returning)] { sessions.sorted { $0.key.text < $1.key.text }.map { ($0.key, $0.value) } }

  /// The name that it is believed to have next.
  private func next(_ one: Returning, behind name: Frame?) -> Frame? {
    let names = names(for: one)
    guard let place = name.flatMap(names.firstIndex) else { return names.first }
    return names[(place + 1) % names.count]
  }

  /// The names that it may have: its former one, and others of before, if nobody has spoken under them.
  private func names(for one: Returning) -> [Frame] {
    let former = Set(sessions.values.compactMap(\.former)).union(formerOwn)
    let free = former.filter { owners[$0] == nil }.sorted(by: Self.precedes)
    return free.filter { $0 == one.former } + free.filter { $0 != one.former }
  }

  private static func precedes(_ one: Frame, _ other: Frame) -> Bool {
    one.withUnsafeBytes { one in other.withUnsafeBytes { one.lexicographicallyPrecedes($0) } }
  }

  /// Whoever has not been heard by now is not waited for any more.
  mutating func end() { (sessions, addresses, owners, formerOwn) = ([:], [:], [:], []) }

  // MARK: replies

  /// Those who may be believed to have another name than now.
  var silentAddresses: [Frame] { sessions.values.filter { $0.name == nil }.map(\.address) }

  /// A reply for this client goes to the socket, which may keep it until the client's name is known.
  /// - Returns: what `left` is to be told.
  mutating func handed(_ reply: MessageID, to client: Frame) -> Int {
    guard let session = addresses[client], let one = sessions[session] else { return 0 }
    if one.name == nil { sessions[session]?.hand(reply) }
    return one.round
  }

  /// The reply has left.
  /// - Returns: whether it was for the client, as far as anybody can tell.
  mutating func left(_ reply: MessageID, for client: Frame, round: Int) -> Bool {
    guard let session = addresses[client], let one = sessions[session], one.rounds.indices.contains(round) else { return true }
    guard let receiver = one.rounds[round] else { return one.name != nil }
    if let name = one.name { return receiver == name }
    sessions[session]?.left(reply, for: receiver)
    return one.guess.map { $0.isSure && $0.name == receiver } ?? false
  }
}
