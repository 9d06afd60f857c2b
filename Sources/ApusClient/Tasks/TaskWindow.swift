import DequeModule
import Transport

/// The tasks between the one who submits them and the one who reads their results: how many there are, and which are done.
///
/// One reader. Completions come from the client's loop, which wakes the reader once a turn, however many they were.
final class TaskWindow: Sendable {
  typealias Arrival = (index: Int, result: TaskOutcome)

  private struct Entry {
    var handle: TaskHandle?
    var outcome: TaskOutcome?
  }

  private struct Contents {
    /// Submitted, or about to be, and not read.
    var count = 0
    /// Of those, the ones that are not done.
    var outstanding = 0
    /// Ordered: all that were not read, beginning with number `first`.
    var entries = Deque<Entry>()
    var first = 0
    /// Unordered: those outstanding, by number; the ones that ended before their handle was known; and those done.
    var handles: [Int: TaskHandle] = [:]
    var early: Set<Int> = []
    var arrivals = Deque<Arrival>()
    /// No more will be submitted, for this reason if there is one.
    var isComplete = false
    var failure: (any Error)?
    var reader: CheckedContinuation<Void, any Error>?
    /// The reader also wants to know when so few are outstanding.
    var readerRoom = -1
    var feeder: CheckedContinuation<Void, any Error>?
    var isCancelled = false
    var isWakePending = false
  }

  private let contents = Mutex(Contents())
  private let isOrdered: Bool
  /// Limits of `count` and `outstanding`.
  private let ahead: Int
  private let queue: SubmissionQueue

  init(isOrdered: Bool, ahead: Int, queue: SubmissionQueue) {
    self.isOrdered = isOrdered
    self.ahead = ahead
    self.queue = queue
  }

  // MARK: the one who submits

  func hasRoom(outstanding limit: Int) -> Bool { contents.withLock { $0.count < ahead && $0.outstanding < limit } }

  /// Before a task is submitted.
  func began() {
    contents.withLock { contents in
      contents.count += 1
      contents.outstanding += 1
      if isOrdered { contents.entries.append(Entry()) }
    }
  }

  /// The task that began last was not submitted after all: nothing will come of it.
  func didNotBegin() {
    contents.withLock { contents in
      contents.count -= 1
      contents.outstanding -= 1
      if isOrdered { contents.entries.removeLast() }
    }
  }

  func submitted(_ index: Int, _ handle: TaskHandle) {
    let isCancelled = contents.withLock { contents in
      if isOrdered {
        let position = index - contents.first
        if contents.entries.indices.contains(position), contents.entries[position].outcome == nil {
          contents.entries[position].handle = handle
        }
      } else if contents.early.remove(index) == nil {
        contents.handles[index] = handle
      }
      return contents.isCancelled
    }
    if isCancelled { handle.cancel() }
  }

  /// No more will come.
  func complete(_ failure: (any Error)? = nil) {
    let reader = contents.withLock { contents in
      contents.isComplete = true
      contents.failure = failure
      defer { contents.reader = nil }
      return contents.reader
    }
    reader?.resume()
  }

  /// Waits until there is room for another task. For a feeder beside the reader.
  func waitForRoom() async throws {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isReady = contents.withLock { contents in
          if contents.count < ahead || contents.isCancelled { return true }
          contents.feeder = continuation
          return false
        }
        if isReady { return continuation.resume() }
        if Task.isCancelled { takeFeeder()?.resume(throwing: CancellationError()) }
      }
    } onCancel: {
      takeFeeder()?.resume(throwing: CancellationError())
    }
  }

  private func takeFeeder() -> CheckedContinuation<Void, any Error>? {
    contents.withLock { contents in
      defer { contents.feeder = nil }
      return contents.feeder
    }
  }

  // MARK: the client's loop

  func ended(_ index: Int, _ outcome: TaskOutcome) {
    let mustWake = contents.withLock { contents in
      contents.outstanding -= 1
      if isOrdered {
        let position = index - contents.first
        guard contents.entries.indices.contains(position) else { return false }
        contents.entries[position] = Entry(outcome: outcome)
      } else {
        if contents.handles.removeValue(forKey: index) == nil { contents.early.insert(index) }
        contents.arrivals.append((index, outcome))
      }
      guard contents.reader != nil, !contents.isWakePending, Self.isWorthReading(contents, isOrdered) else { return false }
      contents.isWakePending = true
      return true
    }
    if mustWake { queue.atEndOfTurn { self.wakeReader() } }
  }

  private static func isWorthReading(_ contents: Contents, _ isOrdered: Bool) -> Bool {
    isReady(contents, isOrdered) || contents.outstanding <= contents.readerRoom
  }

  private static func isReady(_ contents: Contents, _ isOrdered: Bool) -> Bool {
    isOrdered ? contents.entries.first?.outcome != nil : !contents.arrivals.isEmpty
  }

  private func wakeReader() {
    let reader = contents.withLock { contents in
      contents.isWakePending = false
      defer { contents.reader = nil }
      return contents.reader
    }
    reader?.resume()
  }

  // MARK: the reader

  enum Reading {
    case arrival(Arrival)
    /// There is none yet.
    case pending
    /// There will be none.
    case finished((any Error)?)
  }

  /// The next result, if it is there.
  func take() -> Reading {
    let (reading, feeder) = contents.withLock { contents -> (Reading, CheckedContinuation<Void, any Error>?) in
      let arrival: Arrival
      if isOrdered {
        guard let outcome = contents.entries.first?.outcome else { return (Self.withoutArrival(contents), nil) }
        arrival = (contents.first, outcome)
        contents.entries.removeFirst()
        contents.first += 1
      } else {
        guard let first = contents.arrivals.popFirst() else { return (Self.withoutArrival(contents), nil) }
        arrival = first
      }
      contents.count -= 1
      // A feeder goes on when a quarter is free: it comes back for many, not for one.
      guard contents.feeder != nil, contents.count <= ahead - max(1, ahead / 4) else { return (.arrival(arrival), nil) }
      defer { contents.feeder = nil }
      return (.arrival(arrival), contents.feeder)
    }
    feeder?.resume()
    return reading
  }

  private static func withoutArrival(_ contents: Contents) -> Reading {
    contents.isComplete && contents.count == 0 ? .finished(contents.failure) : .pending
  }

  /// Waits until `take` has something, or so few tasks are outstanding. Cancelling the waiting Swift task aborts what is outstanding.
  func wait(orOutstanding room: Int = -1) async throws {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isReady = contents.withLock { contents in
          // A full window is made room in by reading, and by nothing else.
          contents.readerRoom = contents.count < ahead ? room : -1
          if Self.isWorthReading(contents, isOrdered) || contents.isComplete && contents.count == 0 { return true }
          contents.reader = continuation
          return false
        }
        if isReady { continuation.resume() } else if Task.isCancelled { abandon() }
      }
    } onCancel: {
      abandon()
    }
  }

  /// Before each result: a reader that always finds one would never notice otherwise.
  func checkCancellation() throws {
    guard Task.isCancelled || contents.withLock({ $0.isCancelled }) else { return }
    cancel()
    throw CancellationError()
  }

  private func abandon() {
    let reader = contents.withLock { contents in
      defer { contents.reader = nil }
      return contents.reader
    }
    cancel()
    reader?.resume(throwing: CancellationError())
  }

  /// Aborts what is outstanding, and lets nothing more begin.
  func cancel() {
    let (handles, feeder) = contents.withLock { contents in
      contents.isCancelled = true
      defer { contents.feeder = nil }
      return (contents.entries.compactMap(\.handle) + Array(contents.handles.values), contents.feeder)
    }
    for handle in handles { handle.cancel() }
    feeder?.resume(throwing: CancellationError())
  }
}
