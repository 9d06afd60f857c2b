import ApusMessaging

/// What is known of a broadcast. Its shares run at most once each, and nobody keeps their results.
final class BroadcastAccount {
  let id: MessageID
  let client: String
  /// Microseconds.
  let length: Int
  let fails: Bool
  let targets: [EngineUUID]
  var runs: [MessageID: Int] = [:]
  /// Shares that have run to their end.
  var done: Set<MessageID> = []
  var ends: [MessageID: String] = [:]
  /// A controller died, an engine was lost, or a connection broke, while it was under way.
  var mayBeLost = false

  init(_ id: MessageID, client: String, length: Int, fails: Bool, targets: [EngineUUID]) {
    self.id = id
    self.client = client
    self.length = length
    self.fails = fails
    self.targets = targets
  }
}

extension Ledger {
  /// - Parameter handles: what its client waits for.
  func submitted(_ broadcast: BroadcastAccount, handles: [MessageID]) {
    for handle in handles { broadcasts[handle] = broadcast }
    for uuid in broadcast.targets { broadcasts[MessageID("\(broadcast.id)_\(uuid)")] = broadcast }
    openShares.formUnion(handles)
    if broadcast.targets.contains(where: { lostEngines.contains($0.text) }) { broadcast.mayBeLost = true }
  }

  /// - Returns: the broadcast that this is a share of; `nil` for tasks.
  func began(share id: MessageID) -> BroadcastAccount? {
    guard let broadcast = broadcasts[id] else { return nil }
    runs += 1
    broadcast.runs[id, default: 0] += 1
    if broadcast.runs[id] != 1 { world.fail("\(id) of a broadcast runs twice") }
    return broadcast
  }

  func ended(_ broadcast: BroadcastAccount, _ id: MessageID, _ how: String) {
    openShares.remove(id)
    ended += 1
    count("broadcasts: \(how)")
    if let before = broadcast.ends.updateValue(how, forKey: id) { return world.fail("\(id) ends twice: \(before), \(how)") }
    if let wrong = objection(broadcast, id, how) { world.fail("\(id) of a broadcast ends with \(how): \(wrong)") }
  }

  private func objection(_ broadcast: BroadcastAccount, _ id: MessageID, _ how: String) -> String? {
    let isWhole = id == broadcast.id
    let shares = isWhole ? broadcast.targets.map { MessageID("\(id)_\($0)") } : [id]
    switch how {
    case "ok":
      if broadcast.fails { return "it fails" }
      return shares.allSatisfy { broadcast.done.contains($0) } ? nil : "not all have done it"
    case "ValueError":
      if !broadcast.fails { return "it does not fail" }
      return shares.contains { broadcast.done.contains($0) } ? nil : "nobody has done it"
    case "EngineError", "controllerLost": return broadcast.mayBeLost ? nil : "nothing was lost"
    default: return "that is no reason"
    }
  }
}
