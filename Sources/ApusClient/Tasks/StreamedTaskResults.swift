/// As `TaskResults` for an input that arrives over time: reading it and reading results go on side by side.
public struct StreamedTaskResults: AsyncSequence, Sendable {
  let view: LoadBalancedView
  let isOrdered: Bool
  let ahead: Int
  /// Reads the input to its end, and hands each task over.
  let feed: @Sendable (_ submit: (TaskSubmission) async throws -> Void) async throws -> Void

  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  public struct Iterator: AsyncIteratorProtocol {
    private let scope: FeederScope

    init(_ results: StreamedTaskResults) {
      let window = TaskWindow(isOrdered: results.isOrdered, ahead: results.ahead, queue: results.view.client.queue)
      scope = FeederScope(
        window,
        feeder: Task {
          var index = 0
          do {
            try await results.feed { submission in
              try await window.waitForRoom()
              try Task.checkCancellation()
              let number = index
              index += 1
              window.began()
              do {
                window.submitted(number, try await results.view.submit(submission, observer: { window.ended(number, $0) }))
              } catch {
                window.didNotBegin()
                throw error
              }
            }
            window.complete()
          } catch { window.complete(error) }
        })
    }

    /// - Throws: what the input threw, `ClientError` where a task could not be submitted, `CancellationError`.
    public func next() async throws -> TaskResult? {
      let window = scope.window
      while true {
        try window.checkCancellation()
        switch window.take() {
        case .arrival(let arrival): return TaskResult(index: arrival.index, result: arrival.result)
        case .finished(let error):
          if let error { throw error }
          return nil
        case .pending: try await window.wait()
        }
      }
    }
  }
}

extension LoadBalancedView {
  /// Submits tasks as an input gives them, and gives their results.
  /// - Parameters:
  ///   - isOrdered: in the order of the input; otherwise as they come.
  ///   - ahead: how many tasks may be submitted whose results were not read yet; the input waits for the reader then.
  public func results<Input: AsyncSequence & Sendable>(of input: Input, isOrdered: Bool = true, ahead: Int = 8192)
    -> StreamedTaskResults
  where Input.Element == TaskSubmission {
    StreamedTaskResults(view: self, isOrdered: isOrdered, ahead: Swift.max(1, ahead)) { submit in
      for try await submission in input { try await submit(submission) }
    }
  }
}

/// Ends the feeder, and aborts what is outstanding, when the iterator is gone.
private final class FeederScope: Sendable {
  let window: TaskWindow
  private let feeder: Task<Void, Never>

  init(_ window: TaskWindow, feeder: Task<Void, Never>) {
    self.window = window
    self.feeder = feeder
  }

  deinit {
    feeder.cancel()
    window.cancel()
  }
}
