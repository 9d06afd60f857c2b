import ApusMessaging

/// The direct requests that their engines have not answered: each of them ends once, by a reply or with its engine.
struct DirectRequests {
  private var engines: [MessageID: EngineUUID] = [:]

  var count: Int { engines.count }

  /// - Returns: false if a request of this id is under way already.
  mutating func submitted(_ id: MessageID, to engine: EngineUUID) -> Bool {
    func note(_ place: inout EngineUUID?) -> Bool {
      if place != nil { return false }
      place = engine
      return true
    }
    return note(&engines[id])
  }

  /// - Returns: false if nobody waits for this: it has ended before, or another engine was asked.
  mutating func answered(_ id: MessageID, by engine: EngineUUID) -> Bool {
    guard let index = engines.index(forKey: id), engines.values[index] == engine else { return false }
    engines.remove(at: index)
    return true
  }

  /// - Returns: what ends with the engine.
  mutating func lost(_ engine: EngineUUID) -> [MessageID] {
    let ids = engines.filter { $0.value == engine }.keys.sorted { $0.text < $1.text }
    for id in ids { engines[id] = nil }
    return ids
  }
}
