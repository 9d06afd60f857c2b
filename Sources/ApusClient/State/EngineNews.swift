import ApusMessaging

/// What hubs have announced while it was not known which of them is the one that is there: the last word of each on each engine.
struct EngineNews {
  struct Item: Equatable {
    /// Of the hub that says so; `nil` where the message had none.
    let session: SessionID?
    let engine: RegisteredEngine
    let isThere: Bool
  }

  private struct Key: Hashable {
    let session: SessionID?
    let engine: EngineUUID
  }

  private var items: [Key: (place: Int, item: Item)] = [:]
  private var lastPlace = 0

  /// More than clusters have engines.
  private static let limit = 1 << 16

  init() {}

  /// Beyond the limit nothing is taken: the hub's next list has all of it.
  mutating func keep(_ item: Item) {
    let key = Key(session: item.session, engine: item.engine.uuid)
    guard items.count < Self.limit || items[key] != nil else { return }
    lastPlace += 1
    items[key] = (lastPlace, item)
  }

  mutating func forget(_ engine: EngineUUID, of session: SessionID?) { items[Key(session: session, engine: engine)] = nil }

  /// In their order. Those without a session may be anybody's.
  func items(of session: SessionID?) -> [Item] {
    items.values.filter { $0.item.session == nil || session == nil || $0.item.session == session }
      .sorted { $0.place < $1.place }.map(\.item)
  }
}
