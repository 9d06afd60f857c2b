public import ApusMessaging

/// What engines are told beside their work, on a channel that they read while a task runs (protocol section 7.5).
extension Client {
  /// Takes tasks back that have not begun; they end with a `RemoteError` that `isAborted`.
  /// - Parameters:
  ///   - targets: who is told; by default all engines, and with them the scheduler.
  ///   - interruptsRunning: whether one that runs is interrupted, in Python by a `KeyboardInterrupt`. Engines of ipyparallel let it go on.
  ///   - killAfter: with that, what still runs so long after the interrupt ends with its engine's process, which starts anew.
  public func abort(
    _ ids: [MessageID], on targets: EngineSelection = .all, interruptsRunning: Bool = false, killAfter: Duration? = nil
  )
    async throws
  {
    guard !ids.isEmpty else { return }
    // Without engines there still may be tasks that wait for one.
    if targets == .all, engines.isEmpty {
      // Whoever waits for a loop that has ended waits for ever.
      if let closed = queue.closed { throw closed }
      return await connection.abortUnplaced(ids)
    }
    var content: JSONObject = ["msg_ids": JSONValue(ids.map(\.text))]
    if interruptsRunning { content["interrupt"] = true }
    if interruptsRunning, let killAfter { content["kill_after"] = .double(killAfter / .seconds(1)) }
    try await tell(.abortRequest, content, targets)
  }

  /// As above.
  public func abort(_ tasks: [TaskHandle]) async throws { try await abort(tasks.filter { $0.status == .outstanding }.map(\.id)) }

  /// Sends a signal to engines' processes.
  /// - Parameter signal: its number, `SIGINT` and so on.
  public func signal(_ signal: Int32, on targets: EngineSelection = .all) async throws {
    try await tell(.signalRequest, ["sig": .int(Int(signal))], targets)
  }

  /// Empties engines' namespaces. Waits for the task that runs.
  public func clear(_ targets: EngineSelection = .all) async throws { try await tell(.clearRequest, [:], targets) }

  /// Ends engines, and the controller if asked.
  /// - Parameter hub: the controller too; it then ends all engines' connections, and this client's.
  public func shutdown(_ targets: EngineSelection = .all, hub: Bool = false) async throws {
    do { try await tell(.shutdownRequest, ["restart": false], targets, isLossSuccess: true) } catch let error as ClientError
      where error.code == .noEngines && hub
    {}
    guard hub else { return }
    do { _ = try await ask(.shutdownRequest) } catch let error as ClientError where error.code == .controllerLost {}
  }

  /// Asks all of them at once, and waits for each.
  private func tell(_ type: MessageType, _ content: JSONObject, _ targets: EngineSelection, isLossSuccess: Bool = false)
    async throws
  {
    let engines = try targets.resolve(among: engines)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for engine in engines {
        group.addTask {
          do { _ = try await self.ask(type, content, route: .control(engine)) } catch let error as RemoteError
            where isLossSuccess && error.isEngineLoss
          {}
        }
      }
      try await group.waitForAll()
    }
  }
}
