import ApusMessaging
import Synchronization
import Transport

/// The way of task events from the schedulers' loop to their readers on the hub's: one wake-up for as many events as come together in a
/// moment.
///
/// Readers are in no hurry: the hub has the stream read to its end before it answers anybody. Waking it for every handful of events cost as
/// much as the events themselves.
final class TaskEventStream: Sendable {
  private struct Buffer {
    var batch = EventBatch()
    var spare: [TaskEvent] = []
    /// Bytes of output among them.
    var outputBytes = 0
  }

  struct ReaderID: Hashable, Sendable { fileprivate let raw: Int }

  /// In a struct: a bare closure gains two thunks each time it passes through the lock's generic value, and never loses them.
  private struct Reader {
    let id: ReaderID
    let read: @Sendable (EventBatch) -> Void
  }

  private struct Readers {
    var all: [Reader] = []
    var lastID = 0
  }

  /// What a reader keeps of the output after it has read it counts here too.
  let outputBudget: OutputBudget
  private let buffer = Mutex(Buffer())
  private let readers = Mutex(Readers())
  private let source: EventLoop
  private let loop: EventLoop
  private static let delay = Duration.milliseconds(2)
  /// So many are passed on at once.
  private static let batch = 4096

  /// - Parameters:
  ///   - source: where most events are reported.
  ///   - loop: where the readers are called.
  init(from source: EventLoop, to loop: EventLoop, outputBudget: OutputBudget = OutputBudget()) {
    self.source = source
    self.loop = loop
    self.outputBudget = outputBudget
  }

  // MARK: readers

  /// Every reader gets all events that come after this, in the same order, one reader after the other. It may hold the stream: whoever adds
  /// it removes it.
  func addReader(_ read: @escaping @Sendable ([TaskEvent]) -> Void) -> ReaderID {
    addReader(ofAll: { batch in
      let events = batch.events
      if !events.isEmpty { read(events) }
    })
  }

  /// A reader that hears of engines and clients as well.
  func addReader(ofAll read: @escaping @Sendable (EventBatch) -> Void) -> ReaderID {
    readers.withLock { readers in
      readers.lastID += 1
      let id = ReaderID(raw: readers.lastID)
      readers.all.append(Reader(id: id, read: read))
      return id
    }
  }

  /// It may still get the events that are being read at this moment.
  func removeReader(_ id: ReaderID) { readers.withLock { $0.all.removeAll { $0.id == id } } }

  func removeAllReaders() { readers.withLock { $0.all = [] } }

  // MARK: events

  /// Output, unless too much of it waits already.
  /// - Returns: false if it was left out.
  func report(output event: TaskEvent) -> Bool {
    let bytes = event.footprint
    guard outputBudget.take(bytes) else { return false }
    append(event, outputBytes: bytes)
    return true
  }

  func report(_ event: TaskEvent) { append(event, outputBytes: 0) }

  /// From any thread; it comes after the task events that were reported before.
  func report(_ notice: ClusterNotice.Kind) { report(ClusterNotice(notice)) }

  func report(_ notice: ClusterNotice) {
    let count = buffer.withLock { buffer in
      buffer.batch.append(notice)
      return buffer.batch.tasks.count + buffer.batch.notices.count
    }
    // Of many at once it may be no other turn's business to wake them: the turn goes on for a while.
    if notice.count >= Self.batch { wake() } else { wakeReaders(at: count) }
  }

  private func append(_ event: TaskEvent, outputBytes: Int) {
    let count = buffer.withLock { buffer in
      buffer.batch.tasks.append(event)
      buffer.outputBytes += outputBytes
      return buffer.batch.tasks.count + buffer.batch.notices.count
    }
    wakeReaders(at: count)
  }

  private func wakeReaders(at count: Int) {
    if count == 1, source.isOnLoop {
      source.schedule(after: Self.delay) { self.wake() }
    } else if count == 1 || count == Self.batch {
      wake()
    }
  }

  private func wake() { loop.execute { self.drain() } }

  /// Called on the readers' loop; also before an answer that must not be older than the events.
  func drain() {
    var (batch, outputBytes) = buffer.withLock { buffer in
      var taken = EventBatch()
      swap(&taken.tasks, &buffer.spare)
      swap(&taken, &buffer.batch)
      defer { buffer.outputBytes = 0 }
      return (taken, buffer.outputBytes)
    }
    if batch.count == 0 { return }
    for reader in readers.withLock({ $0.all }) { reader.read(batch) }
    outputBudget.giveBack(outputBytes)
    var events: [TaskEvent] = []
    swap(&events, &batch.tasks)
    events.removeAll(keepingCapacity: events.count <= Self.batch)
    buffer.withLock { $0.spare = events }
  }
}
