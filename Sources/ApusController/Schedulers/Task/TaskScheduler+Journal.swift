import ApusMessaging
import Logging
import Transport

/// The task scheduler and its journal: what is read at the start, written from then on, and asked of engines and clients that come back.
extension TaskScheduler {
  /// Before the start; also where nothing was read: engines may have what the journal does not, and nobody may have heard of the engines.
  /// - Parameter take: gives what the controller before has left, and keeps nothing of it: a million messages are moved, not copied.
  func restore(_ configuration: JournalConfiguration, _ take: () -> Controller.Former?) {
    guard let former = take() else { return }
    let engines = former.engines
    var restored = (consume former).restored
    let (resultCount, latest) = (restored.results.count, restored.results.last?.time ?? Timestamp(microseconds: 0))
    wire.returning.readdress(&restored.tasks, &restored.results)
    var clients = Self.clients(of: restored.tasks)
    wire.isRestoring = true
    state.restore(taking: &restored, engines: engines, configuration, now: .now, wall: .now(), effects: &wire)
    wire.isRestoring = false
    let results = state.resultsForStockClients(since: latest.advanced(by: .zero - JournalLimits.lastMoments))
    // They come back without a word, and under the same name.
    clients.formUnion(results.compactMap(\.client))
    clients.remove(ReturningClients.nobody)
    wire.front.expect(clients, until: .now + configuration.resultTime)
    for result in results { sendAgain(result) }
    logger.notice(
      "the tasks of the controller before are here again",
      metadata: ["tasks": "\(state.tasks.count)", "engines": "\(engines.count)", "results": "\(resultCount)"])
    if !wire.returning.isEmpty {
      believeSilentLater()
      loop.schedule(after: configuration.resultTime) { [unowned self] in self.assumeIsolated { $0.wire.returning.end() } }
    }
    afterEvents()
  }

  /// To a stock client.
  private func sendAgain(_ result: JournalResult) {
    guard let client = result.client, client != ReturningClients.nobody else { return }
    // Under a new header: stock clients raise an error for a signature that they have seen.
    let reply = wire.session.signed(
      header: wire.session.header(result.reply.messageType ?? .applyReply, id: wire.session.nextID()),
      parentHeader: result.reply.parentHeaderFrame, metadata: result.reply.metadataFrame, content: result.reply.contentFrame,
      buffers: Array(result.reply.buffers))
    wire.relay(reply, toStockClient: client)
  }

  private func believeSilentLater() {
    loop.schedule(after: Self.silence) { [unowned self] in
      self.assumeIsolated {
        // Nobody is heard while there is no room.
        if $0.isPaused { return $0.believeSilentLater() }
        $0.follow($0.wire.returning.silent())
        $0.afterEvents()
      }
    }
  }

  /// How long a client without a name of its own may take until it is believed to have the same as before.
  private static let silence = Duration.seconds(1)

  /// A client may be one of before, under another name.
  func hear(_ message: Envelope) {
    guard let name = message.identities.first else { return }
    hear(KeptRequest.message(message).isOwn ? nil : message.sessionID, under: name)
  }

  /// - Parameter session: as of `ReturningClients.heard`.
  func hear(_ session: SessionID?, under name: Frame) {
    follow(wire.heard(session, under: name))
  }

  private func follow(_ findings: [ReturningClients.Finding]) {
    for finding in findings {
      switch finding {
      case .name(let name, let address): wire.know(address, as: name)
      case .misled(let address, let name, let replies):
        wire.know(address, as: name)
        // For the next controller, which would believe it as well.
        wire.noteMissed(replies)
        for result in state.takeBack(replies) { sendAgain(result) }
      case .delivered(let replies):
        wire.noteDelivered(replies)
        state.delivered(replies)
      }
    }
  }

  private static func clients(of tasks: [RestatedTask]) -> Set<Frame> {
    var clients: Set<Frame> = []
    var last = Frame.empty
    var stored: StoredRequest?
    for index in tasks.indices {
      // Many of one client follow each other, and share its name.
      if case .stored(let request) = tasks[index].request {
        defer { stored = request }
        if let stored, stored.sharesClient(with: request) || request.isFrom(last) { continue }
      }
      guard let client = tasks[index].request.client, !client.isIdentical(to: last) else { continue }
      clients.insert(client)
      last = client
    }
    return clients
  }

  /// What happens is written behind what was read, from the restoring on.
  func openJournal() { wire.openJournal() }

  /// All tasks again, for a journal that begins anew.
  func restate() {
    wire.restate(state.snapshot(now: .now, wall: .now()))
    afterEvents()
  }

  func written(_ ticket: Int) {
    wire.written(ticket)
    afterEvents()
  }

  /// An engine that has come back says what it has.
  func account(_ message: Envelope, now: ContinuousClock.Instant) {
    let uuid = wire.back.uuid(of: message.frames[0])
    guard let ids = Self.ids(of: message) else { return wire.rejections.note("an engine that does not say which tasks it has") }
    let ended = state.accounted(
      ids, waiting: Self.attempts("waiting", of: message), failed: Self.attempts("failed", of: message), by: uuid, now: now,
      effects: &wire)
    if !ended.isEmpty, !wire.owes(uuid, ended) { tellEngine?(uuid, ended) }
  }

  /// What clients say that have come back is answered when what they had sent before is read, by connections that have broken since and by their
  /// lines: a task among that is not lost.
  /// - Parameter isDrained: the clients' socket was found empty.
  func answerResumptions(isDrained: Bool) {
    if resumptions.isEmpty { return }
    turnsBeforeResuming += 1
    // Where there is always more, it is newer by then.
    guard isDrained || turnsBeforeResuming >= Self.mostTurnsBeforeResuming else { return }
    turnsBeforeResuming = 0
    let asked = resumptions
    resumptions = []
    for message in asked {
      if let client = message.identities.first { wire.lines?.readRest(ofClient: client) }
      resume(message)
    }
  }

  /// Of each connection libzmq has ten thousand messages, and the system some more, and others get their turn between them.
  private static let mostTurnsBeforeResuming = 512

  /// A client that has come back says what it waits for.
  func resume(_ message: Envelope) {
    guard let client = message.identities.first, let content = try? message.content(),
      content["msg_ids"] != nil || content["ranges"] != nil
    else { return wire.rejections.note("a client that does not say what it waits for") }
    let resumption = state.resumed(TaskRanges(content).ids, by: client, effects: &wire)
    for id in resumption.gone {
      let request = Envelope(
        identities: [client], signature: .empty, header: Frame(["msg_id": .string(id.text)]), parentHeader: .emptyObject,
        metadata: .emptyObject, content: .emptyObject)
      let reason = "task \(id) has ended, and its result was lost: with a connection that broke, or a controller that was restarted"
      wire.miss(request, RemoteError(name: RemoteError.resultLost, value: reason, traceback: [reason]))
    }
    // Unknown is also what ended before the last ends that are kept in mind. Its result may be on its way still: nobody is to send it again before that.
    wire.reply(
      to: message, .resumeReply, ["status": "ok", "unknown": JSONValue(resumption.unknown.map(\.text))],
      isLate: !resumption.unknown.isEmpty)
  }

  /// Tasks, and how many times each had come back.
  private static func attempts(_ key: String, of message: Envelope) -> [MessageID: Int] {
    let members = (try? message.content())?[key]?.objectValue?.members ?? []
    return Dictionary(members.map { (MessageID($0.key), $0.value.intValue ?? 0) }) { $1 }
  }

  private static func ids(of message: Envelope) -> [MessageID]? {
    (try? message.content())?["msg_ids"]?.stringArrayValue?.map { MessageID($0) }
  }
}
