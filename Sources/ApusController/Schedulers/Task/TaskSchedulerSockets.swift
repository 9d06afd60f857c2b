import ApusMessaging
import Logging
import Transport

/// The task scheduler's sockets, which are also its state's effects: a decision becomes a message here.
///
/// Messages leave together, when a turn has read what there was: libzmq's thread is woken once for all of them and puts many
/// into one packet. Sent one by one, each would wake it, and cost it and the receiver a system call. Engines and clients that
/// take batches get the small ones in one message.
struct TaskSchedulerSockets: ~Copyable, TaskSchedulerEffects {
  var front: BoundedRouter
  var back: EngineSocket
  let lines: LocalLines?
  var session: Session
  var rejections: DroppedMessages
  private var events: TaskEventReporter
  /// Tasks that are told of together.
  private var restored: [RestoredTask] = []
  private(set) var outbox: [OutgoingMessage] = []
  /// `nil` without a journal.
  private let journal: JournalFeed?
  /// Replies that have left for stock clients.
  let departed = DepartedReplies()
  /// Clients of the controller before that have no names of their own.
  var returning = ReturningClients()
  /// While tasks are restored the journal has what is said of them, but for what ends at once.
  var isRestoring = false
  /// Of the task whose end is reported next.
  private var stockClient: (task: MessageID, client: Frame)?
  /// Facts of this turn, for the journal.
  private var facts = JournalFacts()
  /// Empty unless the journal asks for that.
  private var held = HeldMessages<OutgoingMessage>()

  enum OutgoingMessage {
    case request(Envelope, EngineUUID)
    /// - Parameter isOwn: the client is one of Apus's, and asks for what it misses.
    case reply(Envelope, client: Frame, isOwn: Bool)
    /// Speaks of what may be on its way, and goes behind that.
    case lateReply(Envelope, client: Frame)
  }

  private var batches = OutgoingBatches()
  /// How libzmq calls the scheduler towards engines.
  static let hop = Frame("task_out")

  init(
    front: consuming BoundedRouter, back: consuming EngineSocket, lines: LocalLines?, session: Session,
    rejections: DroppedMessages,
    events: TaskEventStream, journal: JournalFeed? = nil
  ) {
    self.front = front
    self.back = back
    self.lines = lines
    self.front.side = lines.map { LineSide(lines: $0, name: LocalSocket.Lane.task) }
    self.session = session
    self.rejections = rejections
    self.events = TaskEventReporter(events, .task)
    self.journal = journal
  }

  mutating func engineRegistered(_ uuid: EngineUUID, takesBatches: Bool) {
    back.engineRegistered(uuid)
    if takesBatches { batches.add(uuid) } else { batches.remove(uuid) }
  }

  mutating func engineLost(_ uuid: EngineUUID) {
    back.engineLost(uuid)
    batches.remove(uuid)
  }

  /// Who sends batches reads them.
  mutating func clientTakesBatches(_ client: Frame) { batches.add(client: client) }

  /// So many do not wait for the end of the turn: the others' work can begin.
  private static let fullOutbox = 32
  private static let restoredAtOnce = 1 << 14

  mutating func send(_ request: Envelope, to engine: EngineUUID, attempt: Int?) {
    post(.request(attempt.map { again(request, attempt: $0) } ?? request, engine))
  }

  /// A task that is tried again may come to an engine that has had it, which takes no signature twice, be it of the message or of a batch
  /// of it alone: its metadata says which attempt it is, and of which controller, so that no two are equal. The engine's reply repeats the attempt.
  private func again(_ request: Envelope, attempt: Int) -> Envelope {
    var metadata = (try? request.metadata()) ?? JSONObject()
    metadata["attempt"] = .int(attempt)
    metadata["scheduler"] = .string(session.id.text)
    return session.signed(
      identities: Array(request.identities), header: request.headerFrame, parentHeader: request.parentHeaderFrame,
      metadata: Frame(.object(metadata)), content: request.contentFrame, buffers: Array(request.buffers),
      sealedFor: request.isSealed ? .request(.task) : nil, buffersOf: request.signature)
  }

  mutating func relay(_ reply: Envelope, to request: Envelope) { send(reply, to: request) }

  /// What a client of the controller before has not got.
  mutating func relay(_ reply: Envelope, toStockClient client: Frame) { post(.reply(reply, client: client, isOwn: false)) }

  mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope {
    let reply = self.reply(to: request, failure)
    // Not sent at once, however much there is: the end of the task is reported next, and the report comes before the answer.
    if let letter = letter(reply, to: request) { outbox.append(letter) }
    return reply
  }

  /// The answer to a task that has ended, and whose result is not kept: it may all the same be waiting for its client, or be under way to it.
  mutating func miss(_ request: Envelope, _ error: RemoteError) {
    let reply = self.reply(to: request, .refused(error))
    if let client = request.identities.first { outbox.append(.lateReply(reply, client: client)) }
  }

  private mutating func reply(to request: Envelope, _ failure: TaskFailure) -> Envelope {
    let error = failure.error
    let content = error?.content ?? ["status": "aborted"]
    let metadata: JSONValue = error == nil ? ["status": "aborted"] : [:]
    // ipyparallel's clients accept an `apply_reply` for any request; an execute_request deserves its own kind.
    let type = request.messageType == .executeRequest ? MessageType.executeReply : .applyReply
    return session.message(type, content: content, parentHeader: request.headerFrame, metadata: metadata)
  }

  mutating func reportRestored(_ task: MessageID, _ request: KeptRequest) {
    restored.append(RestoredTask(id: task, request: request))
    if restored.count >= Self.restoredAtOnce { tellRestored() }
  }

  private mutating func tellRestored() {
    var told: [RestoredTask] = []
    swap(&told, &restored)
    events.report(restored: told)
  }

  mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) {
    if !restored.isEmpty { tellRestored() }
    let event = events.report(task, kind)
    guard journal != nil, JournalEntry.keeps(kind), !isRestoring || JournalEntry.isNews(kind) else { return }
    facts.append(JournalEntry(event, of: stockClient))
    stockClient = nil
  }

  /// Whether anybody wants to know what has left.
  var notesDepartures: Bool { journal != nil }

  /// As of `DepartedReplies.look`.
  mutating func noteDeparted() -> (ids: [MessageID], isToBeContinued: Bool) {
    let (replies, isToBeContinued) = departed.look()
    var ids: [MessageID] = []
    for reply in replies where returning.left(reply.id, for: reply.client, round: reply.round) { ids.append(reply.id) }
    noteDelivered(ids)
    return (ids, isToBeContinued)
  }

  mutating func noteDelivered(_ ids: [MessageID]) { if journal != nil, !ids.isEmpty { facts.append(.delivered(ids)) } }

  mutating func noteMissed(_ ids: [MessageID]) { if journal != nil, !ids.isEmpty { facts.append(.missed(ids)) } }

  mutating func noteStockClient(_ client: Frame, of task: MessageID) { if journal != nil { stockClient = (task, client) } }

  mutating func note(_ outcome: JournalOutcome, of task: MessageID) {
    if journal != nil { facts.append(.outcome(task, outcome)) }
  }

  mutating func noteUnwanted(_ task: MessageID) {
    if journal != nil { facts.append(.unwanted(task)) }
  }

  /// Of the scheduler's own.
  /// - Parameter isLate: it goes behind all that is on its way.
  mutating func reply(to request: Envelope, _ type: MessageType, _ content: JSONValue, isLate: Bool = false) {
    let reply = session.message(
      type, content: content, parentHeader: request.headerFrame, sealedFor: request.isSealed ? .reply(.task) : nil)
    guard isLate else { return send(reply, to: request) }
    if let client = request.identities.first { outbox.append(.lateReply(reply, client: client)) }
  }

  private mutating func send(_ reply: Envelope, to request: Envelope) {
    if let letter = letter(reply, to: request) { post(letter) }
  }

  private func letter(_ reply: Envelope, to request: Envelope) -> OutgoingMessage? {
    guard let client = request.identities.first, client != ReturningClients.nobody else { return nil }
    return .reply(reply, client: client, isOwn: KeptRequest.message(request).isOwn)
  }

  private mutating func post(_ letter: OutgoingMessage) {
    outbox.append(letter)
    if outbox.count >= Self.fullOutbox { deliver() }
  }

  // MARK: the journal

  /// As of `ReturningClients`.
  mutating func heard(_ session: SessionID?, under name: Frame) -> [ReturningClients.Finding] {
    guard returning.isNews(session, under: name) else { return [] }
    let waiting = front.counts(of: returning.silentAddresses)
    return returning.heard(session, under: name) { waiting[$0] ?? 0 }
  }

  /// What is learned of a client without a name. What waits for it stays.
  mutating func know(_ address: Frame, as name: Frame?) { front.know(address, as: name) }

  /// Whether the disk is so much slower than the tasks that no more of them should come for now.
  var isJournalBehind: Bool { journal?.isBehind ?? false }

  mutating func openJournal() { journal?.open() }

  /// A snapshot takes the place of all that was said before, and of what was not said while the journal was suspended.
  mutating func restate(_ entries: [JournalEntry]) {
    journal?.open()
    facts.append(contentsOf: entries)
  }

  /// An engine is to hear that these replies need not be kept. Some ends may be of this very turn: behind what is written of them.
  /// - Returns: false if nothing is written.
  mutating func owes(_ engine: EngineUUID, _ ids: [MessageID]) -> Bool {
    guard let journal, journal.isOpen else { return false }
    facts.append(.accounted(engine, ids))
    return true
  }

  /// - Parameter ticket: what was handed over up to this is written; the largest says that nothing is going to be.
  mutating func written(_ ticket: Int) { for messages in held.release(ticket) { leave(messages) } }

  // MARK: the end of a turn

  /// At the end of each turn.
  mutating func deliver() {
    if !restored.isEmpty { tellRestored() }
    events.turnEnds()
    if let journal {
      let ticket = journal.handOver(&facts)
      if journal.holdsMessages, held.hold(&outbox, until: ticket) { return }
    }
    if outbox.isEmpty { return }
    var messages: [OutgoingMessage] = []
    swap(&messages, &outbox)
    leave(messages)
    messages.removeAll(keepingCapacity: true)
    swap(&messages, &outbox)
  }

  private mutating func leave(_ messages: [OutgoingMessage]) {
    // Behind everything of the same turn: the answer itself may be in it, and waits for others of its batch.
    var late: [(reply: Envelope, client: Frame)] = []
    for letter in messages {
      switch letter {
      case .request(let request, let engine): send(request, behind: request.identities.first, to: .engine(engine))
      case .reply(let reply, let client, let isOwn): send(reply, behind: nil, to: .client(client), isForStock: !isOwn)
      case .lateReply(let reply, let client): late.append((reply, client))
      }
    }
    while let (receiver, batch) = batches.next(signedBy: session.signer) { send(batch: batch, to: receiver) }
    for (reply, client) in late { front.send(client, nil, reply.payload(signedBy: session.signer), isLate: true) }
  }

  private mutating func send(
    _ message: Envelope, behind identity: Frame?, to receiver: OutgoingBatches.Receiver, isForStock: Bool = false
  ) {
    switch batches.place(identity, message.payload, for: receiver, session.signer) {
    case .collected: return
    case .full(let batch): send(batch: batch, to: receiver)
    case .alone(let before):
      if let before { send(batch: before, to: receiver) }
      let takesBatches = batches.takesBatches(receiver)
      let isForOwn = message.isSealed && takesBatches
      let payload = isForOwn ? message.payload : message.payload(signedBy: session.signer)
      guard journal != nil, isForStock, case .client(let client) = receiver, let id = message.parentID else {
        return send(identity, payload, to: receiver)
      }
      let reply = DepartedReplies.Reply(id: id, client: client, round: returning.handed(id, to: client))
      // Of a large one nobody knows how much has left, and it would be lost; twice is better.
      let size = payload.reduce(0) { $0 + $1.count }
      var whenLeft: Departure.Action?
      if size < BoundedRouter.largeMessage { whenLeft = { [departed] in departed.left(reply) } }
      front.send(client, identity, payload, whenLeft: whenLeft)
    }
  }

  private mutating func send(batch: [Frame], to receiver: OutgoingBatches.Receiver) { send(nil, batch[...], to: receiver) }

  private mutating func send(_ identity: Frame?, _ frames: ArraySlice<Frame>, to receiver: OutgoingBatches.Receiver) {
    switch receiver {
    case .engine(let uuid):
      if let lines, lines.hasLine(uuid), lines.send((identity.map { [Self.hop, $0] } ?? [Self.hop]) + frames, to: uuid) { return }
      back.send(to: uuid, identity, frames)
    case .client(let client): front.send(client, identity, frames)
    }
  }
}
