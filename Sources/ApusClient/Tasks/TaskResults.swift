import DequeModule
import Synchronization

/// The results of many tasks as they are asked for: the input is read, and its tasks submitted, only so far ahead of the reader.
///
/// Memory is bounded however long the input is. A reader that stops, or whose Swift task is cancelled, aborts what is outstanding.
public struct TaskResults<Input: Sequence>: AsyncSequence where Input.Element == TaskSubmission {
  /// How one task of the input ended.
  public struct Element: Sendable {
    /// Its position in the input.
    public let index: Int
    public let result: Result<TaskReply, any Error>
  }

  let view: LoadBalancedView
  let input: Input
  let isOrdered: Bool
  let ahead: Int

  public func makeAsyncIterator() -> Iterator {
    Iterator(view: view, input: input.makeIterator(), isOrdered: isOrdered, ahead: ahead)
  }

  public struct Iterator: AsyncIteratorProtocol {
    let view: LoadBalancedView
    var input: Input.Iterator
    let isOrdered: Bool
    let ahead: Int
    private var index = 0
    private var isExhausted = false
    private let window = TaskWindow()

    init(view: LoadBalancedView, input: Input.Iterator, isOrdered: Bool, ahead: Int) {
      self.view = view
      self.input = input
      self.isOrdered = isOrdered
      self.ahead = ahead
    }

    /// - Throws: `ClientError` where a task could not be submitted, `CancellationError`. How tasks end is in the elements.
    public mutating func next() async throws -> Element? {
      while !isExhausted, window.count < ahead {
        guard let submission = input.next() else {
          isExhausted = true
          break
        }
        let (index, window) = (index, window)
        window.began()
        var observer: (@Sendable (TaskOutcome) -> Void)?
        if !isOrdered { observer = { window.ended(index, $0) } }
        let handle = try await view.submit(submission, observer: observer)
        window.submitted(index, handle, isOrdered: isOrdered)
        self.index += 1
      }
      guard window.count > 0 else { return nil }
      guard isOrdered else {
        let (index, result) = try await window.nextArrival()
        return Element(index: index, result: result)
      }
      guard let (index, handle) = window.takeFirst() else { return nil }
      do { return Element(index: index, result: .success(try await handle.reply)) } catch let error as CancellationError {
        window.cancel()
        throw error
      } catch { return Element(index: index, result: .failure(error)) }
    }
  }
}

extension LoadBalancedView {
  /// Submits many tasks, and gives their results.
  /// - Parameters:
  ///   - isOrdered: in the order of the input; otherwise as they come.
  ///   - ahead: how many tasks may be submitted whose results were not read yet.
  public func results<Input: Sequence>(of input: Input, isOrdered: Bool = true, ahead: Int = 8192) -> TaskResults<Input>
  where Input.Element == TaskSubmission {
    TaskResults(view: self, input: input, isOrdered: isOrdered, ahead: Swift.max(1, ahead))
  }
}

/// The tasks between the input and the reader.
final class TaskWindow: Sendable {
  private struct Contents {
    var count = 0
    var ordered = Deque<(Int, TaskHandle)>()
    var unordered: [Int: TaskHandle] = [:]
    var arrivals = Deque<(Int, TaskOutcome)>()
    var waiter: CheckedContinuation<Void, any Error>?
  }

  private let contents = Mutex(Contents())

  /// Submitted, and not read.
  var count: Int { contents.withLock { $0.count } }

  func began() { contents.withLock { $0.count += 1 } }

  func submitted(_ index: Int, _ handle: TaskHandle, isOrdered: Bool) {
    contents.withLock { contents in
      if isOrdered { contents.ordered.append((index, handle)) } else { contents.unordered[index] = handle }
    }
  }

  func takeFirst() -> (Int, TaskHandle)? {
    contents.withLock { contents in
      guard let first = contents.ordered.popFirst() else { return nil }
      contents.count -= 1
      return first
    }
  }

  /// On the client's loop.
  func ended(_ index: Int, _ outcome: TaskOutcome) {
    let waiter = contents.withLock { contents in
      contents.arrivals.append((index, outcome))
      defer { contents.waiter = nil }
      return contents.waiter
    }
    waiter?.resume()
  }

  func nextArrival() async throws -> (Int, TaskOutcome) {
    while true {
      if let arrival = takeArrival() { return arrival }
      try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
          let isThere = contents.withLock { contents in
            if contents.arrivals.isEmpty { contents.waiter = continuation }
            return !contents.arrivals.isEmpty
          }
          if isThere { continuation.resume() } else if Task.isCancelled { abandon() }
        }
      } onCancel: {
        abandon()
      }
    }
  }

  private func takeArrival() -> (Int, TaskOutcome)? {
    contents.withLock { contents in
      guard let arrival = contents.arrivals.popFirst() else { return nil }
      contents.unordered[arrival.0] = nil
      contents.count -= 1
      return arrival
    }
  }

  private func abandon() {
    let waiter = contents.withLock { contents in
      defer { contents.waiter = nil }
      return contents.waiter
    }
    guard let waiter else { return }
    cancel()
    waiter.resume(throwing: CancellationError())
  }

  /// Aborts what is outstanding.
  func cancel() {
    let handles = contents.withLock { $0.ordered.map(\.1) + Array($0.unordered.values) }
    for handle in handles { handle.cancel() }
  }

  deinit {
    let handles = contents.withLock { $0.ordered.map(\.1) + Array($0.unordered.values) }
    for handle in handles { handle.cancel() }
  }
}
