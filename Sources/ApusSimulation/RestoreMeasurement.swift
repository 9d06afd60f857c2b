import ApusMessaging
import Transport

@testable import ApusController

/// How long a controller takes to know its queued tasks again, by steps: `scripts/simulate --restore N`.
public struct RestoreMeasurement: Sendable {
  public var bytes = 0
  /// Reading and checking the journal's blocks, and making tasks of their records.
  public var reading = Duration.zero
  /// The scheduler's state takes them over.
  public var restoring = Duration.zero
  /// Until the first of them is placed, after the engine is there.
  public var placing = Duration.zero
  /// All of them again, for the new journal.
  public var restating = Duration.zero
  public var writing = Duration.zero

  /// - Parameter count: tasks without arguments to speak of, as a map submits them.
  public init(tasks count: Int) {
    let clock = ContinuousClock()
    let world = World(seed: 1)
    var block = [UInt8](repeating: 0, count: JournalBlock.headerSize)
    var segments: [[UInt8]] = []
    for number in 0..<count {
      let header: JSONValue = [
        "msg_id": .string("0123abcd-0123456789abcdef01234567_4242_\(number)"), "msg_type": "apply_request", "username": "user",
        "session": "0123abcd-0123456789abcdef01234567", "date": "2026-01-31T09:08:07.123456Z", "version": "5.3",
      ]
      let message = Envelope(
        identities: [Frame("client-0123")], signature: .empty, header: Frame(header), parentHeader: .emptyObject,
        metadata: Frame(["codec": "cloudpickle"]), content: .emptyObject, buffers: [Frame([UInt8](repeating: 7, count: 150))])
      guard let id = message.messageID else { continue }
      JournalCodec.append(
        .event(TaskEvent(id, .task, at: world.timestamp, .submitted(request: message, engine: nil))), to: &block)
      if block.count > 1 << 20 || number == count - 1 {
        JournalBlock.seal(&block)
        segments.append(block)
        block = [UInt8](repeating: 0, count: JournalBlock.headerSize)
      }
    }
    bytes = segments.reduce(0) { $0 + $1.count }

    var restorer = Restorer(expecting: bytes)
    var restored = Restorer.Restored()
    reading = clock.measure {
      for segment in segments { segment.withUnsafeBytes { restorer.read(segment: $0, name: "") } }
      restored = restorer.finish()
    }
    var state = TaskSchedulerState()
    var sink = Sink()
    restoring = clock.measure {
      state.restore(
        taking: &restored, engines: [], JournalConfiguration(), now: world.instant, wall: world.timestamp, effects: &sink)
    }
    placing = clock.measure { state.engineRegistered("e", now: world.instant, effects: &sink) }
    var entries: [JournalEntry] = []
    restating = clock.measure { entries = state.snapshot(now: world.instant, wall: world.timestamp) }
    var written: [UInt8] = []
    writing = clock.measure { for entry in entries { JournalCodec.append(entry, to: &written) } }
  }

  /// As `TaskSchedulerSockets` of what is restored.
  private struct Sink: TaskSchedulerEffects {
    var restored: [RestoredTask] = []
    var sent = 0

    mutating func send(_ request: Envelope, to engine: EngineUUID, attempt: Int?) { sent += 1 }
    mutating func relay(_ reply: Envelope, to request: Envelope) {}
    mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope { request }
    mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) {}
    mutating func reportRestored(_ task: MessageID, _ request: KeptRequest) {
      restored.append(RestoredTask(id: task, request: request))
      if restored.count >= 1 << 14 { restored = [] }
    }
    mutating func noteStockClient(_ client: Frame, of task: MessageID) {}
    mutating func note(_ outcome: JournalOutcome, of task: MessageID) {}
    mutating func noteUnwanted(_ task: MessageID) {}
  }
}
