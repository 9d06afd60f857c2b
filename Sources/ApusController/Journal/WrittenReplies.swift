import ApusMessaging

/// The replies of engines from which everything is written that follows, until the engines hear of it.
struct WrittenReplies: Sendable {
  private var all: [EngineUUID: [MessageID]] = [:]
  /// Those of one engine come together: they are counted for it when another one's follow.
  private var engine: EngineUUID?
  private var ids: [MessageID] = []
  private(set) var count = 0
  /// That the engines keep for them, as far as is known.
  private(set) var bytes = 0

  mutating func append(_ id: MessageID, of engine: EngineUUID, bytes: Int = 0) {
    if engine != self.engine {
      flush()
      self.engine = engine
    }
    ids.append(id)
    count += 1
    self.bytes += bytes
  }

  mutating func append(_ ids: [MessageID], of engine: EngineUUID) { for id in ids { append(id, of: engine) } }

  /// Leaves nothing behind.
  mutating func take() -> [EngineUUID: [MessageID]] {
    flush()
    var taken: [EngineUUID: [MessageID]] = [:]
    swap(&taken, &all)
    (count, bytes) = (0, 0)
    return taken
  }

  private mutating func flush() {
    guard let engine, !ids.isEmpty else { return }
    all[engine, default: []] += ids
    ids.removeAll(keepingCapacity: true)
  }
}
