import ApusMessaging
import Transport

/// Clients that come back after a restart.
extension TaskSchedulerState {
  /// What a client that has come back waits for.
  struct Resumption: Equatable {
    /// Tasks that nobody knows: the client sends them again.
    var unknown: [MessageID] = []
    /// Tasks that have ended and whose results are not kept any more.
    var gone: [MessageID] = []
  }

  /// More than clients have under way; those of clients that have gone since are among them.
  private static let unknownLimit = 1 << 20

  /// - Parameter client: the identity that it has now.
  mutating func resumed(_ ids: [MessageID], by client: Frame, effects: inout some TaskSchedulerEffects & ~Copyable) -> Resumption {
    var resumption = Resumption()
    for id in ids {
      if let task = tasks[id] {
        messageBytes -= task.request.byteCount
        task.reroute(to: client)
        messageBytes += task.request.byteCount
      } else if rerouteDeferred(id, to: client) {
        // It waits for what other clients are about to send.
      } else if let result = recovery?.results[id] {
        // It stays: a client may ask again while this is on its way.
        let request = Envelope(
          identities: [client], signature: .empty, header: Frame(["msg_id": .string(id.text)]), parentHeader: .emptyObject,
          metadata: .emptyObject, content: .emptyObject)
        effects.relay(result.reply, to: request)
      } else if hasEnded(id) {
        resumption.gone.append(id)
      } else {
        resumption.unknown.append(id)
        if unknown.count < Self.unknownLimit { unknown.insert(id) }
      }
    }
    return resumption
  }

  /// Results that have been handed to the system on their way to stock clients.
  mutating func delivered(_ ids: [MessageID]) { recovery?.delivered(ids) }

  /// Results that have been sent to somebody else than their clients.
  /// - Returns: those that are still kept.
  mutating func takeBack(_ ids: [MessageID]) -> [JournalResult] { recovery?.takeBack(ids) ?? [] }

  /// Results for clients that do not ask, of which it is not known that they have left: the small ones, and large ones of the last moments before the
  /// end, of which nothing is ever known.
  func resultsForStockClients(since moment: Timestamp) -> [JournalResult] {
    let results = (recovery?.results.values).map(Array.init) ?? []
    let missing = results.filter {
      !$0.isOwnClient && !$0.isDelivered && $0.client != nil
        && ($0.time >= moment || $0.reply.byteCount < JournalLimits.smallResult)
    }
    // In an order, so that the same history sends the same.
    return missing.sorted { ($0.time, $0.id.text) < ($1.time, $1.id.text) }
  }
}
