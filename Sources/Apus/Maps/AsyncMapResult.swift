import ApusClient
import Synchronization

/// A map that is under way: its results as an array, or one by one in the order of the items.
///
/// ```swift
/// let squares = try await view.mapAsync(0..<1000) { $0 * $0 }
/// for try await square in squares { … }        // as they come, in order
/// let all = try await squares.value
/// ```
///
/// Dropping it lets the map go on.
public final class AsyncMapResult<Output: Sendable>: AsyncSequence, Sendable {
  public typealias Element = Output

  /// How far the map is.
  public struct Progress: Hashable, Sendable {
    /// Items whose results are here, in order.
    public var done: Int
    /// Of all items; `nil` where the input does not know.
    public var total: Int?
    public var isFinished: Bool

    public init(done: Int, total: Int?, isFinished: Bool) {
      self.done = done
      self.total = total
      self.isFinished = isFinished
    }
  }

  private struct State: Sendable {
    var values: [Output] = []
    var failure: (any Error)?
    var isFinished = false
    /// Who waits, and for how many values (`Int.max` is the end).
    var waiters: [Int: (needed: Int, continuation: CheckedContinuation<Void, any Error>)] = [:]
    var lastWaiter = 0
    var collector: Task<Void, Never>?
  }

  private let state = Mutex(State())
  private let total: Int?

  /// - Parameter chunks: makes the reader of the map's parts, in order; called once, in the collecting task.
  init(total: Int?, display: ProgressDisplay, chunks: @escaping @Sendable () -> () async throws -> MapChunk<Output>?) {
    self.total = total
    let bar = display.bar(total: total)
    let collector = Task { [self] in
      let next = chunks()
      do {
        while let chunk = try await next() {
          add(try chunk.values.get())
          bar?.update(progress.done)
        }
        finish(nil)
      } catch { finish(error) }
      bar?.finish()
    }
    state.withLock { $0.collector = collector }
  }

  // MARK: the collector

  private func add(_ values: [Output]) {
    let ready = state.withLock { state in
      state.values += values
      return Self.takeWaiters(&state)
    }
    for continuation in ready { continuation.resume() }
  }

  private func finish(_ failure: (any Error)?) {
    let ready = state.withLock { state in
      state.isFinished = true
      state.failure = failure
      state.collector = nil
      return Self.takeWaiters(&state)
    }
    for continuation in ready { continuation.resume() }
  }

  private static func takeWaiters(_ state: inout State) -> [CheckedContinuation<Void, any Error>] {
    guard !state.waiters.isEmpty else { return [] }
    var ready: [CheckedContinuation<Void, any Error>] = []
    for (id, waiter) in state.waiters where state.isFinished || waiter.needed <= state.values.count {
      ready.append(waiter.continuation)
      state.waiters[id] = nil
    }
    return ready
  }

  // MARK: results

  /// All results in the order of the items.
  /// - Throws: what the first failed item threw; the rest of the map is then aborted. Cancelling the waiting Swift task aborts the map.
  public var value: [Output] {
    get async throws {
      do { try await wait(for: .max) } catch {
        cancel()
        throw error
      }
      return try state.withLock { state in
        if let failure = state.failure { throw failure }
        return state.values
      }
    }
  }

  /// As `value`, for at most so long; the map goes on after that.
  /// - Throws: `ClientError` `timeout`.
  public func value(within timeout: Duration) async throws -> [Output] {
    try await withThrowingTaskGroup(of: [Output]?.self) { group in
      group.addTask {
        try await self.wait(for: .max)
        return try await self.value
      }
      group.addTask {
        try await Task.sleep(for: timeout)
        return nil
      }
      defer { group.cancelAll() }
      guard let first = try await group.next(), let values = first else {
        throw ClientError(
          .timeout, "the map was not done after \(timeout): \(progress.done) of \(total.map(String.init) ?? "its") items are",
          advice: "It goes on: wait again, or cancel it.")
      }
      return values
    }
  }

  public var progress: Progress {
    state.withLock { Progress(done: $0.values.count, total: total, isFinished: $0.isFinished) }
  }

  /// Aborts what has not been done.
  public func cancel() { state.withLock { $0.collector }?.cancel() }

  public func makeAsyncIterator() -> Iterator { Iterator(map: self) }

  public struct Iterator: AsyncIteratorProtocol {
    let map: AsyncMapResult
    private var index = 0

    init(map: AsyncMapResult) { self.map = map }

    public mutating func next() async throws -> Output? {
      try await map.wait(for: index + 1)
      guard let value = try map.value(at: index) else { return nil }
      index += 1
      return value
    }
  }

  private func value(at index: Int) throws -> Output? {
    try state.withLock { state in
      if index < state.values.count { return state.values[index] }
      if let failure = state.failure { throw failure }
      return nil
    }
  }

  /// Waits until there are so many values, or there will be no more.
  private func wait(for count: Int) async throws {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isReady = state.withLock { state in
          if state.isFinished || state.values.count >= count { return true }
          state.waiters[id] = (count, continuation)
          return false
        }
        if isReady { continuation.resume() } else if Task.isCancelled { abandon(id) }
      }
    } onCancel: {
      abandon(id)
    }
  }

  private func abandon(_ id: Int) {
    state.withLock { $0.waiters.removeValue(forKey: id) }?.continuation.resume(throwing: CancellationError())
  }
}
