import ApusMessaging
import Synchronization
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// Many tasks, read one by one.
@Suite(.timeLimit(.minutes(1 * patience)))
struct ResultsTests {
  @Test(arguments: [true, false])
  func everyTaskOfTheInputIsReadOnce(isOrdered: Bool) async throws {
    try await withTestCluster(engines: 2) { _, client in
      let made = Mutex(0)
      let input = (0..<3000).lazy.map { index in
        made.withLock { $0 = max($0, index + 1) }
        return index % 100 == 7 ? TaskTests.fail : TaskSubmission(buffers: [Frame("\(index)")])
      }
      var seen: [Int] = []
      var failures = 0
      for try await element in client.loadBalancedView().results(of: input, isOrdered: isOrdered, ahead: 64) {
        seen.append(element.index)
        switch element.result {
        case .success(let reply): #expect(reply.buffers.first?.text == "\(element.index)")
        case .failure: failures += 1
        }
        #expect(made.withLock { $0 } - seen.count <= 64)
      }
      #expect(isOrdered ? seen == Array(0..<3000) : seen.sorted() == Array(0..<3000))
      #expect(failures == 30)
    }
  }

  @Test(arguments: [true, false])
  func cancellingAbortsWhatIsOutstanding(isOrdered: Bool) async throws {
    try await withTestCluster(engines: 1) { _, client in
      let reading = Task {
        for try await _ in client.loadBalancedView().results(
          of: repeatElement(TaskTests.hang, count: 50), isOrdered: isOrdered, ahead: 10)
        {}
      }
      while client.inFlight.tasks < 10 { try await Task.sleep(for: .milliseconds(5)) }
      reading.cancel()
      await #expect(throws: CancellationError.self) { try await reading.value }
      for _ in 0..<500 * patience where client.inFlight.tasks > 0 { try await Task.sleep(for: .milliseconds(10)) }
      #expect(client.inFlight == (0, 0))
    }
  }
}
