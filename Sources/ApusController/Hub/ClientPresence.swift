import ApusMessaging

/// Which clients there are: those that have asked for the list of engines, by their connections.
struct ClientPresence {
  private var clients: [Int32: SessionID] = [:]
  /// Of this very process: no connection tells of their end.
  private var withoutConnection: Set<SessionID> = []
  private static let most = 1 << 16

  var count: Int { clients.count + withoutConnection.count }

  /// - Parameter connection: through which it asks; none is 0 or less.
  /// - Returns: whether it is new.
  mutating func asked(_ client: SessionID, by connection: Int32) -> Bool {
    guard connection > 0 else { return withoutConnection.count < Self.most && withoutConnection.insert(client).inserted }
    guard clients[connection] == nil else { return false }
    clients[connection] = client
    return true
  }

  /// - Returns: who was there.
  mutating func disconnected(_ connection: Int32) -> SessionID? { clients.removeValue(forKey: connection) }
}
