import ApusMessaging
import Logging
import Synchronization
import Transport

/// The task database at work, on a loop of its own: whatever its disk does, the hub registers engines and answers clients.
///
/// Its loop does whatever else of the controller's waits for that disk.
actor TaskStore {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
  /// Whether anything is kept: questions about what is not are not for the loop to answer.
  nonisolated let keepsRecords: Bool

  let recorder: TaskRecorder
  private nonisolated let waiting = Atomic(0)
  private nonisolated let questions = Atomic(0)

  /// How often the database writes out what it buffers.
  private static let flushInterval = Duration.seconds(2)
  /// Bytes of messages that may wait for the database; a task's messages are in memory anyway until it ends.
  static let backlogLimit = 256 << 20
  /// Questions that may wait for it. Each is small, and so is the patience of those who ask.
  private static let questionLimit = 4096

  init(loop: EventLoop, database: sending any TaskDatabase, logger: Logger) {
    self.loop = loop
    keepsRecords = database.keepsRecords
    recorder = TaskRecorder(database, logger: logger)
  }

  func start() { if keepsRecords { scheduleFlush() } }

  private func scheduleFlush() {
    loop.schedule(after: Self.flushInterval) { [unowned self] in
      self.assumeIsolated {
        $0.recorder.flush()
        $0.scheduleFlush()
      }
    }
  }

  // MARK: called from other loops

  /// Bytes of messages that wait for the database.
  nonisolated var waitingBytes: Int { waiting.load(ordering: .relaxed) }

  /// - Parameter done: called on the store's loop.
  nonisolated func record(_ admitted: RecordingBacklog.Admitted, done: @escaping @Sendable () -> Void) {
    waiting.add(admitted.bytes, ordering: .relaxed)
    loop.execute {
      self.assumeIsolated { store in
        store.recorder.record(admitted.batch)
        if !admitted.forgotten.isEmpty { store.recorder.forget(admitted.forgotten) }
      }
      self.waiting.subtract(admitted.bytes, ordering: .relaxed)
      done()
    }
  }

  /// Notes that a task was submitted again under another id.
  nonisolated func replace(_ old: MessageID, by new: MessageID) {
    loop.execute { self.assumeIsolated { $0.recorder.replace(old, by: new) } }
  }

  /// Asks, and answers on another loop. Questions and events keep their order.
  /// - Throws: `RuntimeError` when very many wait already.
  nonisolated func ask<Answer: Sendable>(
    _ question: @escaping @Sendable (isolated TaskStore) throws -> Answer, on other: EventLoop,
    answer: @escaping @Sendable (Result<Answer, any Error>) -> Void
  ) throws(RemoteError) {
    guard questions.load(ordering: .relaxed) < Self.questionLimit else {
      throw RemoteError(
        name: "RuntimeError", value: "the task database does not answer: \(Self.questionLimit) questions wait for it")
    }
    questions.add(1, ordering: .relaxed)
    loop.execute {
      let result = Result { try self.assumeIsolated { try question($0) } }
      self.questions.subtract(1, ordering: .relaxed)
      other.execute { answer(result) }
    }
  }

  /// Writes out what there is and ends the loop, for which the caller waits.
  nonisolated func stop() {
    loop.execute { self.assumeIsolated { $0.recorder.flush() } }
    loop.stop()
  }
}
