import ApusMessaging

/// Engines that are to take no more tasks, and places in launchers' sets that one engine has after another.
extension HubState {
  /// How far an engine is on its way out.
  enum Draining: Sendable, Hashable {
    /// Next: `asked`.
    case no
    /// The task scheduler may still have given it something, or waits for it to say what it has. Next: `drained`.
    case asked(thenStop: Bool)
    /// It gets nothing more. Next: `told`, where it is to end, when it has nothing to do.
    case drained(thenStop: Bool)
    /// To end.
    case told
  }

  private static let originsKept = 65_536

  // MARK: draining

  /// - Parameters:
  ///   - thenStop: whether the engines are to end when they have nothing to do.
  ///   - atOnce: whether they are to end whatever they do.
  /// - Returns: those that drain, of those that were named.
  @discardableResult
  mutating func drain(
    _ named: [EngineID], thenStop: Bool, atOnce: Bool = false, effects: inout some HubEffects & ~Copyable
  ) -> [EngineID] {
    named.filter { id in
      // Also if its connection breaks before it has heard of it, and it comes back.
      var traits = EngineTraits(isDraining: true)
      if thenStop { traits.ending = atOnce ? .atOnce : .whenIdle }
      guard let engine = engines[id] else {
        noteEnding(ofAbsent: id, traits)
        return false
      }
      if thenStop, engine.draining != .told { retiring.insert(id) }
      engines[id]?.traits.goOnEnding(as: traits)
      defer { if thenStop, atOnce { effects.retire(engine.uuid) } }
      switch engine.draining {
      case .no:
        engines[id]?.draining = .asked(thenStop: thenStop)
        effects.engineDrains(engine.uuid)
      case .asked(let before): engines[id]?.draining = .asked(thenStop: before || thenStop)
      case .drained(let before):
        engines[id]?.draining = .drained(thenStop: before || thenStop)
        retireIfIdle(id, effects: &effects)
      case .told: break
      }
      return true
    }
  }

  /// It has lost its connection, and may be about to come back.
  private mutating func noteEnding(ofAbsent id: EngineID, _ traits: EngineTraits) {
    if let uuid = pending.first(where: { $0.value.id == id })?.key { return pending[uuid]?.traits.goOnEnding(as: traits) ?? () }
    for (uuid, absent) in lost where absent.id == id { lost[uuid]?.traits.goOnEnding(as: traits) }
  }

  /// An engine has registered that is on its way out.
  mutating func goOnEnding(_ id: EngineID, effects: inout some HubEffects & ~Copyable) {
    guard let engine = engines[id], engine.traits.isDraining || engine.draining != .no else { return }
    let ending = engine.traits.ending
    drain([id], thenStop: ending != .no, atOnce: ending == .atOnce, effects: &effects)
    // What told it may have been lost with its connection.
    if engine.draining == .told, ending != .atOnce { effects.retire(engine.uuid) }
  }

  /// The task scheduler gives it nothing more, and what it gave it before is known here.
  mutating func drained(_ uuid: EngineUUID, effects: inout some HubEffects & ~Copyable) {
    guard let id = ids[uuid], case .asked(let thenStop) = engines[id]?.draining else { return }
    engines[id]?.draining = .drained(thenStop: thenStop)
    retireIfIdle(id, effects: &effects)
  }

  /// After tasks have ended.
  mutating func retireIdle(effects: inout some HubEffects & ~Copyable) {
    for id in retiring { retireIfIdle(id, effects: &effects) }
  }

  private mutating func retireIfIdle(_ id: EngineID, effects: inout some HubEffects & ~Copyable) {
    guard let engine = engines[id], case .drained(thenStop: true) = engine.draining, engine.queue.isEmpty, engine.tasks.isEmpty
    else { return }
    engines[id]?.draining = .told
    retiring.remove(id)
    effects.retire(engine.uuid)
  }

  // MARK: places

  mutating func noteOrigin(_ traits: EngineTraits, _ id: EngineID) {
    guard let origin = traits.origin else { return }
    if origins.count >= Self.originsKept, origins[origin] == nil { origins = origins.filter { engines[$0.value] != nil } }
    origins[origin] = id
  }

  /// The id that an engine gets back which comes in another's place. That one is gone, for its launcher has started this one: whoever still
  /// believes in it, because the loss of its host was not noticed, is told.
  mutating func succession(_ uuid: EngineUUID, _ traits: EngineTraits, effects: inout some HubEffects & ~Copyable) -> EngineID? {
    guard traits.keepsID, let id = traits.origin.flatMap({ origins[$0] }) else { return nil }
    if let former = engines[id] {
      guard former.uuid != uuid, former.traits.origin == traits.origin else { return nil }
      leave(id, cause: .disconnected, effects: &effects)
    }
    return id
  }
}
