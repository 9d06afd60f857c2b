import Synchronization
import ZeroMQ

/// The way of task events from the schedulers' loop to the hub's: one wake-up for as many events as have come together.
final class TaskEventStream: Sendable {
  private struct Buffer {
    var events: [TaskEvent] = []
    var spare: [TaskEvent] = []
  }

  private let buffer = Mutex(Buffer())
  private let loop: EventLoop
  /// In a struct: a bare closure gains two thunks each time it passes through the lock's generic value, and never loses them.
  private struct Reader { let read: @Sendable ([TaskEvent]) -> Void }
  private let reader = Mutex<Reader?>(nil)

  /// - Parameter loop: where the reader is called.
  init(to loop: EventLoop) { self.loop = loop }

  /// Set once, before the first event; `nil` at the end, for the reader may hold the stream.
  func onEvents(_ reader: (@Sendable ([TaskEvent]) -> Void)?) { self.reader.withLock { $0 = reader.map { Reader(read: $0) } } }

  func report(_ event: TaskEvent) {
    let isFirst = buffer.withLock { buffer in
      buffer.events.append(event)
      return buffer.events.count == 1
    }
    if isFirst { loop.execute { self.drain() } }
  }

  /// Called on the reader's loop; also before an answer that must not be older than the events.
  func drain() {
    var events = buffer.withLock { buffer in
      var taken: [TaskEvent] = []
      swap(&taken, &buffer.spare)
      swap(&taken, &buffer.events)
      return taken
    }
    if events.isEmpty { return }
    reader.withLock { $0 }?.read(events)
    events.removeAll(keepingCapacity: events.count <= 4096)
    buffer.withLock { $0.spare = events }
  }
}
