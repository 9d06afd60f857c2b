import ApusMessaging
import Logging
import Transport

/// The reader of task events that has them recorded, on the hub's loop: it decides what the task database has room for and passes it on.
actor TaskRecording {
  private nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  private let store: TaskStore
  private let outputBudget: OutputBudget
  private let logger: Logger
  private var backlog = RecordingBacklog(limit: TaskStore.backlogLimit)
  private var nextReport: EventLoop.TimerID?

  /// Between two lines about a task database that is too slow.
  private static let reportInterval = Duration.seconds(10)

  init(_ store: TaskStore, on loop: EventLoop, outputBudget: OutputBudget, logger: Logger) {
    self.store = store
    self.loop = loop
    self.outputBudget = outputBudget
    self.logger = logger
  }

  func read(_ batch: EventBatch) {
    let admitted = backlog.admit(batch, waiting: store.waitingBytes)
    outputBudget.keep(admitted.outputBytes)
    let bytes = admitted.outputBytes
    store.record(admitted) { [outputBudget] in outputBudget.giveBack(bytes) }
    if backlog.leavesOut { report() }
  }

  /// Of the database, which is slow: at once, and as long as it lasts from time to time.
  private func report() {
    guard nextReport == nil else { return }
    let tasks = backlog.takeUnrecorded()
    if tasks == 0 { return }
    logger.warning(
      "the task database is slower than the tasks: not all is recorded; clients get it all the same",
      metadata: ["tasks": "\(tasks)", "waiting_mb": "\(store.waitingBytes >> 20)"])
    nextReport = loop.schedule(after: Self.reportInterval) { [weak self] in
      self?.assumeIsolated {
        $0.nextReport = nil
        $0.report()
      }
    }
  }
}
