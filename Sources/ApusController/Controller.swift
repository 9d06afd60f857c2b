public import ApusMessaging
public import Logging
public import ServiceLifecycle
import Synchronization
import Transport

/// A controller: the whole topology. Hub and heart monitor live on one loop, the schedulers and relays on
/// another, the task database on a third.
///
/// ```
/// clients ── task ───► TaskScheduler ───► engines      schedulers' loop
///         ── mux ────► RequestRelay ────►
///         ── control ► RequestRelay ────►
///         ── broadcast ► BroadcastScheduler ► leaves
///         ◄─ iopub ─── OutputRelay ◄─────
///                          │ TaskEvent
///         ── registration ► Hub ◄──────── engines      hub's loop
///         ◄─ notification ─ Hub        HeartMonitor ◄► hearts
///                          │ TaskEvent
///                       TaskStore                      its own loop: it waits for the disk
///                       EventLog                       its own loop: it looks through all there is
///             TaskScheduler ► Journal                  its own loop, where there is one
/// ```
public final class Controller: Service {
  public let configuration: ControllerConfiguration
  /// What clients and engines need to know; also in the files.
  public let clientConnection: ConnectionFile
  public let engineConnection: ConnectionFile

  private let hubLoop: EventLoop
  let schedulerLoop: EventLoop
  private let storeLoop: EventLoop
  private let logLoop: EventLoop
  private let journalLoop: EventLoop?
  private let journal: Journal?
  /// What the controller before has left; taken at the start, for its messages are not to live here.
  private let former: Mutex<Former?>
  let store: TaskStore
  private let hub: Hub
  private let heart: HeartMonitor
  private let tasks: TaskScheduler
  private let mux: RequestRelay
  private let control: RequestRelay
  private let output: OutputRelay
  private let broadcast: BroadcastScheduler
  /// `nil` where there are no local sockets.
  private let lines: LocalLines?
  private let stopped: AsyncStream<Void>
  private let stop: AsyncStream<Void>.Continuation
  private let logger: Logger
  private let files: ConnectionFiles
  private let lock: ControllerLock
  /// Kept as long as the sockets in it.
  private let local: LocalDirectory?
  private let guards: [PortGuard]
  private let reference: HubReference
  let events: TaskEventStream
  let log: EventLog

  /// Signatures remembered, at least: as many as eight sockets of ipyparallel's do.
  private static let replayCapacity = 1 << 19

  /// Binds all sockets. Nobody is served before `run`.
  public init(_ configuration: ControllerConfiguration, logger: Logger) throws(ControllerError) {
    var configuration = configuration
    if configuration.restoreEngines { configuration.reuseFiles = true }
    let plan = try Plan(configuration, logger: logger)
    self.configuration = configuration
    self.logger = logger
    let (stopped, stop) = AsyncStream<Void>.makeStream()
    self.stopped = stopped
    self.stop = stop
    hubLoop = EventLoop(name: "hub")
    schedulerLoop = EventLoop(name: "schedulers", looksBeforeSleeping: true)
    storeLoop = EventLoop(name: "tasks")
    let (hubLoop, schedulerLoop) = (hubLoop, schedulerLoop)
    let events = TaskEventStream(from: schedulerLoop, to: hubLoop)
    let reference = HubReference()
    self.events = events
    self.reference = reference

    local = plan.local
    lock = plan.lock
    let journalParts = try JournalParts(configuration, schedulerLoop: schedulerLoop)
    journalLoop = journalParts?.loop
    var sockets: Plan.Sockets
    do { sockets = try Plan.Sockets(plan, logger: logger) } catch let error as ControllerError { throw error } catch {
      throw ControllerError(.messaging, "\(error)")
    }
    guards = sockets.guards
    let files = sockets.files(plan)
    self.files = files
    clientConnection = files.client
    engineConnection = files.engine

    let key = files.client.key
    // One for all sockets: what came by one of them is not taken from another.
    let replays = SharedReplays(capacity: Self.replayCapacity)
    func session(_ id: SessionID = .random()) -> Session {
      Session(id: id, key: key, username: configuration.username, replays: replays)
    }
    let state = TaskSchedulerState(
      policy: configuration.scheme, highWaterMark: configuration.highWaterMark, lookAhead: configuration.lookAhead,
      finishedCapacity: max(1, configuration.finishedTasks), seed: .random(in: 0...UInt64.max))
    let lines = plan.local.flatMap { LocalListener(path: LocalSocket.linesPath(in: $0.path)) }
      .map { LocalLines(loop: schedulerLoop, listener: $0, session: session(), logger: logger) }
    self.lines = lines
    let tasks = TaskScheduler(
      loop: schedulerLoop, state: state,
      wire: TaskSchedulerSockets(
        front: sockets.clients.task.take(), back: sockets.engines.task.take(), lines: lines, session: session(),
        rejections: DroppedMessages("task", logger: logger),
        events: events, journal: journalParts?.feed),
      byteLimit: configuration.queueByteLimit, logger: logger)
    let mux = RequestRelay(
      .mux, loop: schedulerLoop, front: sockets.clients.mux.take(), back: sockets.engines.mux.take(), session: session(),
      events: events, lines: lines,
      logger: logger)
    let control = RequestRelay(
      .control, loop: schedulerLoop, front: sockets.clients.control.take(), back: sockets.engines.control.take(),
      session: session(),
      events: events,
      logger: logger, onAbort: { ids in tasks.assumeIsolated { $0.abort(ids) } })
    let output = OutputRelay(
      loop: schedulerLoop, front: sockets.clients.output.take(), back: sockets.engines.output.take(), session: session(),
      events: events,
      logger: logger, onShutdown: { uuid in reference.post { $0.engineShutDown(uuid) } })
    let broadcast = BroadcastScheduler(
      loop: schedulerLoop,
      wire: BroadcastSockets(
        front: sockets.clients.broadcast.take(), leaves: sockets.leaves.take(), lines: lines, session: session(), events: events,
        logger: logger))
    let heart = HeartMonitor(
      loop: hubLoop,
      wire: HeartMonitor.Sockets(
        ping: sockets.heart.ping.take(), pong: sockets.heart.pong.take(), logger: logger,
        onStart: { uuid in reference.post { $0.heartStarted(uuid) } }, onStop: { uuid in reference.post { $0.heartStopped(uuid) } }),
      period: configuration.heartbeatPeriod, maximumMisses: configuration.maximumHeartbeatMisses)
    var hubState = HubState(
      registrationTimeout: configuration.effectiveRegistrationTimeout, graceAfterSilence: configuration.graceAfterSilence)
    if configuration.restoreEngines || plan.isResuming || plan.setAside != nil {
      Self.restore(&hubState, from: configuration.engineStatePath, logger: logger)
    }
    // What can refuse the start comes before the journal is read: that one is not the reason then.
    let database = try Self.database(configuration)
    if plan.isResuming {
      let restored = Self.resumeJournal(
        configuration.journalDirectory, outcomeLimit: max(1, configuration.finishedTasks), logger: logger)
      former = Mutex(Former(restored, engines: Array(hubState.lost.keys)))
    } else {
      former = Mutex(nil)
    }
    if let setAside = plan.setAside { Self.note(setAside, in: configuration.journalDirectory, logger: logger) }
    let damaged = former.withLock { $0?.restored.damaged }
    journal = journalParts?.journal(for: tasks, on: schedulerLoop, tellEngine: control, damaged: damaged, logger: logger)
    let store = TaskStore(loop: storeLoop, database: database, logger: logger)
    self.store = store
    logLoop = EventLoop(name: "events")
    let log = EventLog(loop: logLoop, limit: configuration.historyLimit)
    self.log = log
    let hub = Hub(
      loop: hubLoop, state: hubState,
      wire: HubSockets(
        query: sockets.query.take(), monitor: sockets.monitor.take(), notifier: sockets.clients.notifier.take(),
        session: session(configuration.identity ?? .random()),
        audience: EngineAudience(
          loop: schedulerLoop, tasks: tasks, mux: mux, control: control, broadcast: broadcast, output: output, events: events),
        events: events,
        logger: logger, heartbeatPeriod: configuration.heartbeatPeriod, connectionInfo: Self.connectionInfo(files.engine),
        journal: journalParts?.id,
        drained: { uuid in reference.post { $0.engineDrained(uuid) } },
        announce: { type, uuid, id in reference.post { $0.announce(type, uuid, id) } }),
      store: store, log: log,
      settings: Hub.Settings(
        engineStatePath: configuration.engineStatePath, python: configuration.python, pythonPath: configuration.pythonPath,
        onShutdown: { stop.yield() }),
      logger: logger)
    reference.set(hub)
    _ = events.addReader(ofAll: { batch in hub.assumeIsolated { $0.observe(batch) } })
    if log.isKept { _ = events.addReader(ofAll: { batch in log.read(batch) }) }
    if store.keepsRecords {
      let recording = TaskRecording(store, on: hubLoop, outputBudget: events.outputBudget, logger: logger)
      _ = events.addReader(ofAll: { batch in recording.assumeIsolated { $0.read(batch) } })
    }
    self.hub = hub
    self.heart = heart
    self.tasks = tasks
    self.mux = mux
    self.control = control
    self.output = output
    self.broadcast = broadcast
  }

  /// Parties know each other in circles: with these two cut, all of them go, and their sockets close.
  deinit {
    reference.set(nil)
    events.removeAllReaders()
  }

  /// Serves until the service group shuts down, or a client shuts the hub down.
  public func run() async throws { try await run {} }

  /// - Parameter onReady: called when the connection files are there.
  public func run(onReady: @Sendable () -> Void) async throws(ControllerError) {
    hubLoop.start()
    schedulerLoop.start()
    storeLoop.start()
    logLoop.start()
    journalLoop?.start()
    // First: where that fails, the journal is as the controller before has left it.
    do { try files.write(configuration) } catch {
      // The journal was read well.
      if configuration.journal != nil { JournalFiles.endAttempts(configuration.journalDirectory) }
      // What a controller before has left is for the next one: this one never served.
      if !configuration.reuseFiles, !former.withLock({ $0 != nil }) { files.remove(configuration) }
      await close(keepsJournal: true)
      throw error
    }
    await start()
    logger.info(
      "the controller is ready", metadata: ["registration": "\(clientConnection.endpoint(port: clientConnection.registration))"])
    warnOfWeakness()
    onReady()
    await withGracefulShutdownHandler {
      await withTaskCancellationHandler {
        for await _ in stopped { break }
      } onCancel: {
        stop.yield()
      }
    } onGracefulShutdown: {
      self.stop.yield()
    }
    if !configuration.reuseFiles {
      files.remove(configuration)
      files.removeSecret(configuration)
    }
    await close()
    logger.info("the controller has stopped")
  }

  /// In one line each.
  private func warnOfWeakness() {
    if !configuration.enableCurve {
      logger.warning(
        configuration.allowsInsecure
          ? "connections are not encrypted: whoever is on the network can read and change what is sent"
          : "connections are not encrypted: other users of this host are kept out, its administrator could listen")
    }
    if clientConnection.key.isEmpty {
      logger.warning("messages are not signed: whoever can connect can run code as you")
    }
  }

  private func start() async {
    let (tasksOfBefore, goesOn, bytes) = former.withLock { former in
      guard let former else { return (Int?.none, false, (all: 0, tasks: 0)) }
      return (former.restored.tasks.count, JournalLimits().goOn(with: former.restored), former.restored.bytes)
    }
    events.report(.controllerStarted(tasks: tasksOfBefore))
    log.expectRestored(tasks: tasksOfBefore ?? 0)
    await store.start()
    if let journal = configuration.journal {
      if goesOn {
        await tasks.openJournal()
        await self.journal?.goOn(behind: bytes)
      }
      // Engines of before wait at the door: none of them is to come to a scheduler that does not expect it, so this is the first of what its loop has to
      // do. The hub need not wait for it: later it is busy with a million tasks for as long again.
      schedulerLoop.execute { [self] in
        tasks.assumeIsolated { $0.restore(journal) { former.withLock { $0.take() } } }
        // It is none of those that no controller survives.
        JournalFiles.endAttempts(configuration.journalDirectory)
      }
    }
    await heart.start()
    await hub.start(heart: heart)
    await tasks.onWritten { [weak control] uuid, ids in control?.assumeIsolated { $0.repliesWritten(ids, by: uuid) } }
    if !goesOn { await journal?.start() }
    await tasks.start()
    await mux.start()
    await control.start()
    await output.start()
    await broadcast.start()
    // Last: whoever comes by a line finds all of them.
    if let lines { schedulerLoop.execute { lines.start() } }
  }

  private func close(keepsJournal: Bool = false) async {
    await hub.close()
    store.stop()
    schedulerLoop.stop()
    hubLoop.stop()
    schedulerLoop.join()
    if let journal, let journalLoop {
      journalLoop.execute { journal.assumeIsolated { keepsJournal ? $0.abandon() : $0.end() } }
      journalLoop.stop()
      journalLoop.join()
    }
    hubLoop.join()
    logLoop.stop()
    logLoop.join()
    storeLoop.join()
  }
}

/// The hub for parties that are made before it; what they post runs on the hub's loop.
private final class HubReference: Sendable {
  private let hub = Mutex<Hub?>(nil)
  func set(_ hub: Hub?) { self.hub.withLock { $0 = hub } }

  func post(_ body: @escaping @Sendable (isolated Hub) -> Void) {
    guard let hub = hub.withLock({ $0 }) else { return }
    hub.loop.execute { hub.assumeIsolated { body($0) } }
  }
}
