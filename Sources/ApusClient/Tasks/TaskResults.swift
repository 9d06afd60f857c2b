/// The results of many tasks as they are asked for: the input is read, and its tasks submitted, only so far ahead of the reader.
///
/// Memory is bounded however long the input is. A reader that stops, or whose Swift task is cancelled, aborts what is outstanding.
public struct TaskResults<Input: Sequence>: AsyncSequence where Input.Element == TaskSubmission {
  let view: LoadBalancedView
  let input: Input
  let isOrdered: Bool
  let ahead: Int
  /// How many may be outstanding, beside those that were not read.
  let limit: Int

  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  public struct Iterator: AsyncIteratorProtocol {
    private let view: LoadBalancedView
    private var input: Input.Iterator
    private let limit: Int
    private var index = 0
    private var isExhausted = false
    private let scope: WindowScope
    private var window: TaskWindow { scope.window }

    init(_ results: TaskResults) {
      view = results.view
      input = results.input.makeIterator()
      limit = results.limit
      scope = WindowScope(TaskWindow(isOrdered: results.isOrdered, ahead: results.ahead, queue: results.view.client.queue))
    }

    /// - Throws: `ClientError` where a task could not be submitted, `CancellationError`. How tasks end is in the elements.
    public mutating func next() async throws -> TaskResult? {
      while true {
        try window.checkCancellation()
        while !isExhausted, window.hasRoom(outstanding: limit) {
          guard let submission = input.next() else {
            isExhausted = true
            window.complete()
            break
          }
          try await submit(submission)
        }
        switch window.take() {
        case .arrival(let arrival): return TaskResult(index: arrival.index, result: arrival.result)
        case .finished: return nil
        case .pending: try await window.wait(orOutstanding: isExhausted || limit == .max ? -1 : limit - Swift.max(1, limit / 4))
        }
      }
    }

    private mutating func submit(_ submission: TaskSubmission) async throws {
      let (index, window) = (index, window)
      window.began()
      self.index += 1
      window.submitted(index, try await view.submit(submission, observer: { window.ended(index, $0) }))
    }
  }
}

/// How one of many tasks ended.
public struct TaskResult: Sendable {
  /// Its position in the input.
  public let index: Int
  public let result: Result<TaskReply, any Error>
}

extension LoadBalancedView {
  /// Submits many tasks, and gives their results.
  /// - Parameters:
  ///   - isOrdered: in the order of the input; otherwise as they come.
  ///   - ahead: how many tasks may be submitted whose results were not read yet.
  public func results<Input: Sequence>(of input: Input, isOrdered: Bool = true, ahead: Int = 8192) -> TaskResults<Input>
  where Input.Element == TaskSubmission {
    results(of: input, isOrdered: isOrdered, ahead: ahead, limit: .max)
  }

  /// As above.
  /// - Parameter limit: how many may be outstanding.
  package func results<Input: Sequence>(
    of input: Input, isOrdered: Bool, ahead: Int, limit: Int
  ) -> TaskResults<Input> where Input.Element == TaskSubmission {
    TaskResults(view: self, input: input, isOrdered: isOrdered, ahead: Swift.max(1, ahead), limit: limit)
  }
}

/// Aborts what is outstanding when the iterator is gone.
final class WindowScope: Sendable {
  let window: TaskWindow
  init(_ window: TaskWindow) { self.window = window }
  deinit { window.cancel() }
}
