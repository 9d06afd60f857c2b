import ApusMessaging

/// Messages that are no tasks.
extension TaskSchedulerState {
  /// A message that asks for nonsense: a task that ends at once, unless its id is another's.
  mutating func refuse(
    _ message: Envelope, id: MessageID, _ error: RemoteError, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    let isNew = tasks[id] == nil && finished[id] == nil
    if isNew { effects.report(id, .submitted(request: message, engine: nil)) }
    let reply = effects.fail(message, with: .refused(error))
    guard isNew else { return }
    noteStockClient(of: .message(message), id, effects: &effects)
    effects.report(id, .finished(reply: reply, engine: nil, outcome: .refused))
    finished.record(id, succeeded: false, engine: nil)
    recovery?.known(id)
  }

  /// Before the end of a task is reported. Apus's own clients ask for their results when they come back.
  func noteStockClient(
    of request: KeptRequest, _ id: MessageID, effects: inout some TaskSchedulerEffects & ~Copyable
  ) {
    if !request.isOwn, let client = request.client { effects.noteStockClient(client, of: id) }
  }
}
