import ApusMessaging

/// What becomes of tasks under way when their connection breaks, or the controller is restarted.
extension ClientState {
  /// Balanced tasks are in its journal. What was sent to certain engines is known to nobody now: whether it ran, they alone could tell.
  mutating func controllerWasRestarted(journal: String?, effects: inout some ClientEffects & ~Copyable) {
    let isSame = journal != nil && journal == self.journal
    let error = ClientError(
      .controllerLost,
      isSame
        ? "the controller was restarted while the task was under way: its engine may have run it"
        : "the controller was restarted while the task was under way",
      advice: isSame
        ? "Submit it again if that does no harm, or to a load-balanced view, whose tasks survive." : "Submit the task again.")
    failOutstanding(error, effects: &effects, sparingBalanced: isSame)
    let waiting = entries.filter { $0.value.isOutstanding && $0.value.route == .balanced }.keys.sorted { $0.raw < $1.raw }
    // Whoever was asked before is gone.
    (resumption, asked) = (nil, [])
    if isSame { ask(for: waiting, effects: &effects) }
  }

  /// - Parameter tasks: in their order.
  private mutating func ask(for tasks: [TaskNumber], effects: inout some ClientEffects & ~Copyable) {
    // What has not been sent yet is known to nobody.
    let sent = tasks.filter { held[$0] == nil }
    guard !sent.isEmpty else { return }
    asked = Set(sent)
    resumption = effects.resume(sent)
  }

  /// What a restarted controller says to `resume`: it names tasks that it never had, or that were not written down in time.
  mutating func resumed(_ reply: TaskReply, effects: inout some ClientEffects & ~Copyable) {
    for id in reply.content["unknown"]?.stringArrayValue ?? [] {
      guard let number = outstanding(id), let entry = entries[number] else { continue }
      if let request = entry.request?.request {
        effects.send(request)
      } else {
        let error = ClientError(
          .controllerLost, "the connection to the controller broke, and the task was lost on its way",
          advice: "Submit the task again.")
        finishUnanswered(number, with: error, effects: &effects)
      }
    }
    // That nobody wants them the scheduler may have forgotten, or never heard.
    abortAgain(asked, effects: &effects)
    (resumption, asked) = (nil, [])
    releaseHeld(effects: &effects)
  }

  private func abortAgain(_ tasks: some Collection<TaskNumber>, effects: inout some ClientEffects & ~Copyable) {
    guard !unwanted.isEmpty else { return }
    var ids: [Cancellation: [MessageID]] = [:]
    for number in tasks.sorted(by: { $0.raw < $1.raw }) {
      guard let cancellation = unwanted[number], let entry = entries[number], entry.isOutstanding else { continue }
      ids[cancellation, default: []].append(entry.handle.id)
    }
    let engines = sortedEngines
    // In an order, so that the same history has the same end.
    for (cancellation, ids) in ids.sorted(by: { "\($0.key)" < "\($1.key)" }) { effects.abort(ids, on: engines, cancellation) }
  }

  /// - Returns: the number of a task that waits for its answer.
  private func outstanding(_ id: String) -> TaskNumber? {
    let digits = id.utf8.reversed().prefix { (48...57).contains($0) }.count
    guard let number = Int(id.suffix(digits)).map({ TaskNumber(raw: $0) }), let entry = entries[number], entry.isOutstanding,
      entry.handle.id.text == id
    else { return nil }
    return number
  }

  // MARK: doubt

  /// The connection to the hub broke. By another one it may be heard before it has answered who comes to it, and whether it is the same.
  mutating func beginDoubt() {
    guard failure == nil else { return }
    // An answer that is under way is of the controller before.
    beginAnew()
    doubt = (serial, doubt?.news ?? EngineNews())
  }

  /// Whether it is not known to be the hub that answered last: it may be one of before, whose words come late, or one that has not answered yet.
  func isForeign(_ session: SessionID?) -> Bool { session != nil && session != hub && (hub != nil || doubt != nil) }

  /// It counts if that hub is the one that answers next.
  mutating func keep(_ news: EngineNews.Item, effects: inout some ClientEffects & ~Copyable) {
    guard failure == nil else { return }
    if doubt == nil {
      beginDoubt()
      askForEngines(effects: &effects)
    }
    doubt?.news.keep(news)
  }

  /// A hub says that an engine has gone.
  mutating func engineLeft(_ engine: RegisteredEngine, by session: SessionID?, effects: inout some ClientEffects & ~Copyable) {
    if isForeign(session) { return keep(EngineNews.Item(session: session, engine: engine, isThere: false), effects: &effects) }
    if let session { doubt?.news.forget(engine.uuid, of: session) }
    leave(engine, effects: &effects)
  }

  mutating func leave(_ engine: RegisteredEngine, effects: inout some ClientEffects & ~Copyable) {
    // It is here again, and that is known already.
    if let stay = engine.arrival, let known = engines[engine.uuid]?.engine.arrival, stay < known { return }
    engineLost(engine.uuid, effects: &effects)
  }

  /// - Parameter session: of the hub that has answered.
  /// - Returns: what counts now of what was announced: what the hub's answer has, too, and news that are behind it.
  mutating func endDoubt(asOf asked: Int, by session: SessionID?) -> [EngineNews.Item] {
    guard let ended = doubt, asked >= ended.since else { return [] }
    doubt = nil
    return ended.news.items(of: session)
  }

  // MARK: dependencies

  /// Whether the task depends on others of which the scheduler may know nothing yet: it would be told that there are none.
  func namesDoubtful(_ request: Request) -> Bool {
    guard request.route == .balanced, !cutOff.isEmpty || !asked.isEmpty, let metadata = try? request.metadata.json() else {
      return false
    }
    return ["after", "follow"].contains { key in
      (Dependency(metadata[key])?.ids ?? []).contains { id in
        outstanding(id.text).map { cutOff.contains($0) || asked.contains($0) || held[$0] != nil } ?? false
      }
    }
  }

  /// Nothing is in doubt any more: what was lost is on its way again, before what depends on it.
  private mutating func releaseHeld(effects: inout some ClientEffects & ~Copyable) {
    guard !held.isEmpty, cutOff.isEmpty, resumption == nil else { return }
    for request in held.values.sorted(by: { $0.number.raw < $1.number.raw }) { effects.send(request) }
    abortAgain(held.keys, effects: &effects)
    held = [:]
  }

  // MARK: connections

  /// By which way replies come.
  enum Channel { case balanced, direct, broadcast }

  /// A connection broke by which requests go and replies come: what was on its way is lost, in both directions. Which controller is at the
  /// other end now, the hub tells.
  /// - Parameters:
  ///   - unsent: what had not left yet. It is given back here.
  ///   - waiting: what waits to leave by another way, which is there.
  mutating func connectionBroke(
    _ channel: Channel, taking unsent: [Request] = [], sparing waiting: [Request] = [],
    effects: inout some ClientEffects & ~Copyable
  ) {
    guard failure == nil else { return }
    for request in unsent where request.route.channel == channel && isAwaited(request) { self.unsent.insert(request) }
    let spared = Set(waiting.flatMap { $0.handles.map(\.number) })
    let before = cutOff.count
    for (number, entry) in entries
    where entry.isOutstanding && entry.route.channel == channel && !spared.contains(number) && !isUnsent(number, entry) {
      cutOff.insert(number)
    }
    guard channel == .balanced else {
      // An answer that is under way is of the controller before.
      beginAnew()
      broken.channels.insert(channel)
      broken.since = serial
      return askForEngines(effects: &effects)
    }
    if cutOff.count > before { askForEngines(effects: &effects) }
  }

  /// The controller is the same: its scheduler knows what became of balanced tasks, and learns who waits for them. Of the others nobody keeps the
  /// results.
  mutating func settleCutOff(effects: inout some ClientEffects & ~Copyable) {
    var balanced: [TaskNumber] = []
    for number in cutOff.sorted(by: { $0.raw < $1.raw }) {
      guard let entry = entries[number], entry.isOutstanding else { continue }
      if entry.route == .balanced {
        balanced.append(number)
      } else {
        let error = ClientError(
          .controllerLost, "the connection to the controller broke while the task was under way: its engine may have run it",
          advice: "Submit it again if that does no harm, or to a load-balanced view, whose tasks survive.")
        finishUnanswered(number, with: error, effects: &effects)
      }
    }
    // What was asked before went by the connection that has broken.
    if !balanced.isEmpty { (resumption, asked) = (nil, []) }
    ask(for: balanced, effects: &effects)
  }

  /// The hub has answered: whoever was cut off is asked for, or gone.
  mutating func endCutOff(effects: inout some ClientEffects & ~Copyable) {
    cutOff = []
    releaseHeld(effects: &effects)
  }
}

extension Request.Route {
  var channel: ClientState.Channel? {
    switch self {
    case .balanced: .balanced
    case .direct: .direct
    case .coalescing, .broadcast: .broadcast
    case .hub, .control: nil
    }
  }
}
