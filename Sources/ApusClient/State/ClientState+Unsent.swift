import ApusMessaging

/// Requests for certain engines that have not left: nobody has them, and they are lost with nobody. They leave when it is known who is at the other
/// end of the connection, and when their engines are there.
extension ClientState {
  func isAwaited(_ request: Request) -> Bool {
    entries[request.number]?.isOutstanding ?? (shares[request.number] != nil)
  }

  /// Whether it has not left: whatever becomes of the controller, no engine has it.
  func isUnsent(_ number: TaskNumber, _ entry: Entry) -> Bool {
    !unsent.isEmpty && unsent.contains(entry.share?.original ?? number)
  }

  /// What is sent while nobody knows who is at the other end would be run for a client that has been told that it is lost.
  mutating func sendOrKeep(_ request: Request, effects: inout some ClientEffects & ~Copyable) {
    if let channel = request.route.channel, broken.channels.contains(channel) || isForAbsent(request) || isBehindUnsent(request) {
      unsent.insert(request)
    } else {
      effects.send(request)
    }
  }

  /// It is known who is there, and which engines.
  mutating func sendUnsent(effects: inout some ClientEffects & ~Copyable) {
    broken.channels = []
    sendUnsentToPresent(effects: &effects)
  }

  /// In their order, which those that wait for an engine keep with those behind them that have an engine in common with them.
  mutating func sendUnsentToPresent(effects: inout some ClientEffects & ~Copyable) {
    guard !unsent.isEmpty else { return }
    let (broken, absent) = (broken.channels, absent)
    var waiting: [Channel: Set<EngineUUID>] = [:]
    let sent = unsent.take { request in
      guard let channel = request.route.channel, !broken.contains(channel) else { return false }
      if absent.isEmpty { return true }
      let targets = request.route.targets
      let waits = targets.contains { absent[$0] != nil || waiting[channel]?.contains($0) ?? false }
      if waits { waiting[channel, default: []].formUnion(targets) }
      return !waits
    }
    for request in sent { effects.send(request) }
    guard !unwanted.isEmpty else { return }
    for number in sent.flatMap({ $0.handles.map(\.number) }) {
      if let cancellation = unwanted[number] { abort([number], cancellation, effects: &effects) }
    }
  }

  // MARK: engines that have not come back

  /// Whether the engine is there, or may come back: a restarted controller does not name an engine of before that only needs longer than this client
  /// to find it. Control requests do not wait.
  func mayTake(_ engine: RegisteredEngine, _ route: Request.Route) -> Bool {
    engines[engine.uuid] != nil || absent[engine.uuid] != nil && route.channel != nil
  }

  private func isForAbsent(_ request: Request) -> Bool {
    !absent.isEmpty && request.route.targets.contains { absent[$0] != nil }
  }

  /// Whether others wait for an engine that it has in common with them: a broadcast to several may wait for another one of them.
  private func isBehindUnsent(_ request: Request) -> Bool {
    !absent.isEmpty && request.route.channel == .broadcast && unsent.hasBroadcast(to: request.route.targets)
  }

  /// Why a request for an engine that is not there ends without having left.
  func notSent(to engine: RegisteredEngine, task: MessageID) -> RemoteError {
    absent[engine.uuid] == nil ? .engineGone(engine, task: task) : .engineAbsent(engine, task: task)
  }

  /// A restarted controller does not name these engines of before.
  mutating func beginAbsence(of engines: [RegisteredEngine], effects: inout some ClientEffects & ~Copyable) {
    guard !engines.isEmpty else { return }
    for engine in engines { absent[engine.uuid] = engine }
    effects.awaits(engines)
  }

  /// It has been announced. What waits for it leaves when all are known that have come back at the same time.
  mutating func engineIsBack(_ uuid: EngineUUID) {
    guard absent.removeValue(forKey: uuid) != nil else { return }
    if absent.isEmpty { absenceDeadline = nil }
    haveEnginesReturned = true
  }

  mutating func sendUnsentToReturned(effects: inout some ClientEffects & ~Copyable) {
    guard haveEnginesReturned else { return }
    haveEnginesReturned = false
    sendUnsentToPresent(effects: &effects)
  }

  /// They will not come: `nil` is all of them.
  mutating func endAbsence(of uuid: EngineUUID? = nil, effects: inout some ClientEffects & ~Copyable) {
    let gone = uuid.map { absent[$0].map { [$0] } ?? [] } ?? absent.values.sorted()
    guard !gone.isEmpty else { return }
    for engine in gone { absent[engine.uuid] = nil }
    if absent.isEmpty { absenceDeadline = nil }
    effects.givesUp(gone)
    for engine in gone {
      for (number, entry) in entries.sorted(by: { $0.key.raw < $1.key.raw }) where entry.owed(by: engine.uuid) {
        finishUnanswered(number, with: RemoteError.engineAbsent(engine, task: entry.handle.id), effects: &effects)
      }
    }
    sendUnsentToPresent(effects: &effects)
  }
}
