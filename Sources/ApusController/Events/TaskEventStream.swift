import ApusMessaging
import Synchronization
import Transport

/// The way of task events from the schedulers' loop to the hub's: one wake-up for as many events as come together in a moment.
///
/// The hub is in no hurry: it reads the stream to its end before it answers anybody. Waking it for every handful of events cost as much as
/// the events themselves.
final class TaskEventStream: Sendable {
  private struct Buffer {
    var events: [TaskEvent] = []
    var spare: [TaskEvent] = []
    /// Bytes of output among them.
    var outputBytes = 0
  }

  /// Bytes of output that may wait for the hub. Engines print faster than a database reads; clients have it all the same.
  static let outputLimit = 64 << 20

  private let buffer = Mutex(Buffer())
  private let source: EventLoop
  private let loop: EventLoop
  private static let delay = Duration.milliseconds(2)
  /// So many are passed on at once.
  private static let batch = 4096
  /// In a struct: a bare closure gains two thunks each time it passes through the lock's generic value, and never loses them.
  private struct Reader { let read: @Sendable ([TaskEvent]) -> Void }
  private let reader = Mutex<Reader?>(nil)

  /// - Parameters:
  ///   - source: where most events are reported.
  ///   - loop: where the reader is called.
  init(from source: EventLoop, to loop: EventLoop) {
    self.source = source
    self.loop = loop
  }

  /// Set once, before the first event; `nil` at the end, for the reader may hold the stream.
  func onEvents(_ reader: (@Sendable ([TaskEvent]) -> Void)?) { self.reader.withLock { $0 = reader.map { Reader(read: $0) } } }

  /// Output for the task database, unless too much of it waits there already.
  /// - Returns: false if it was left out.
  @discardableResult
  func report(output id: MessageID, _ kind: OutputKind, _ message: Envelope) -> Bool {
    let hasRoom = buffer.withLock { buffer in
      guard buffer.outputBytes + message.byteCount <= Self.outputLimit else { return false }
      buffer.outputBytes += message.byteCount
      return true
    }
    if hasRoom { report(.output(id, kind, message)) }
    return hasRoom
  }

  func report(_ event: TaskEvent) {
    let count = buffer.withLock { buffer in
      buffer.events.append(event)
      return buffer.events.count
    }
    if count == 1, source.isOnLoop {
      source.schedule(after: Self.delay) { self.wake() }
    } else if count == 1 || count == Self.batch {
      wake()
    }
  }

  private func wake() { loop.execute { self.drain() } }

  /// Called on the reader's loop; also before an answer that must not be older than the events.
  func drain() {
    var events = buffer.withLock { buffer in
      var taken: [TaskEvent] = []
      swap(&taken, &buffer.spare)
      swap(&taken, &buffer.events)
      buffer.outputBytes = 0
      return taken
    }
    if events.isEmpty { return }
    reader.withLock { $0 }?.read(events)
    events.removeAll(keepingCapacity: events.count <= 4096)
    buffer.withLock { $0.spare = events }
  }
}
