import ApusController
import ApusMessaging
import Foundation
import Synchronization
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// Callers who hold a thread each, against a real controller.
@Suite(.timeLimit(.minutes(1 * patience)))
struct BlockingClientTests {
  static let hang = TaskSubmission(content: ["do": "hang"])

  /// The test's own threads are few, and must not be held.
  private func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
    }
  }

  private func withClient(
    engines: Int = 2, _ configuration: ClientConfiguration = ClientConfiguration(),
    _ body: @escaping @Sendable (BlockingClient, TestCluster) throws -> Void
  ) async throws {
    let cluster = try await TestCluster.start(engines: engines)
    do {
      try await onThread { [configuration] in
        let client = try BlockingClient.connect(cluster.controller.clientConnection, configuration: configuration) {}
        defer { client.close() }
        try client.waitForEngines(engines)
        try body(client, cluster)
      }
    } catch {
      await cluster.stop()
      throw error
    }
    await cluster.stop()
  }

  @Test func everyRouteAnswers() async throws {
    try await withClient(engines: 2) { client, _ in
      let submission = TaskSubmission(buffers: [Frame("one")])
      let both = client.engines.map(\.id)
      var expected: [Int: Int] = [:]
      func send(_ route: BlockingClient.Route, frames: Int) throws {
        for number in try client.submit(submission, route, onSignal: {}) { expected[number] = frames }
      }
      try send(.direct(both), frames: 1)
      try send(.balanced, frames: 1)
      try send(.broadcast(both), frames: 1)
      try send(.coalescing(both), frames: 2)
      let query = try client.submit(TaskSubmission(.connectionRequest), .hub, onSignal: {})
      #expect(query.count == 1)
      for number in query { expected[number] = 0 }
      let first = try client.submit(TaskSubmission(), buffers: (0..<600).map { [Frame("\($0)")] }) {}
      for number in first..<first + 600 { expected[number] = 1 }
      let found = client.replies(expected.count)
      #expect(found.mapValues(\.buffers.count) == expected)
      for index in 0..<600 { #expect(found[first + index]?.buffers.first?.text == "\(index)") }
      #expect(client.inFlight.tasks == 0)
    }
  }

  @Test func aShareIsNamedAfterTheWhole() async throws {
    try await withClient(engines: 2) { client, _ in
      let numbers = try client.submit(TaskSubmission(), .broadcast(client.engines.map(\.id)), onSignal: {})
      let found = client.replies(2)
      for (number, engine) in zip(numbers, client.engines) {
        let parent = found[number]?.parentID
        #expect(parent == "\(client.idPrefix)\(numbers[0] - 1)_\(engine.uuid)")
      }
    }
  }

  @Test func senderWaitsForRoom() async throws {
    var configuration = ClientConfiguration()
    configuration.maximumInFlight = InFlightLimit(tasks: 2)
    try await withClient(engines: 1, configuration) { client, _ in
      let hanging =
        try client.submit(Self.hang, .direct([EngineID(0)]), onSignal: {}) + client.submit(Self.hang, .balanced, onSignal: {})
      // Another thread makes room once this one waits.
      let isSent = Atomic(false)
      let (started, done) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
      Thread.detachNewThread {
        started.signal()
        _ = try? client.submit(TaskSubmission(), .balanced, onSignal: {})
        isSent.store(true, ordering: .releasing)
        done.signal()
      }
      started.wait()
      while client.client.queue.roomWaiterCount == 0 { sched_yield() }
      let wasSent = isSent.load(ordering: .acquiring)
      #expect(!wasSent)
      client.abort(hanging, .interrupting)
      done.wait()
      #expect(client.replies(3).count == 3)
    }
  }

  @Test func closingEndsEverythingAndComesLast() async throws {
    try await withClient(engines: 1) { client, _ in
      let numbers = try (0..<3).flatMap { _ in try client.submit(Self.hang, .balanced, onSignal: {}) }
      client.close()
      var failed: [Int] = []
      var last: CompletionQueue.Event?
      while case .events = client.completions.waitInBackground() {
        for event in client.completions.take() {
          if case .failed(let number, let error as ClientError) = event, error.code == .closed { failed.append(number) }
          last = event
        }
      }
      #expect(failed.sorted() == numbers)
      let isClosed = if case .closed? = last { true } else { false }
      #expect(isClosed)
      #expect(throws: ClientError.self) { try client.submit(TaskSubmission(), .balanced, onSignal: {}) }
      #expect(throws: ClientError.self) { try client.submit(TaskSubmission(.connectionRequest), .hub, onSignal: {}) }
    }
  }

  @Test func oneLeadsAndTheBackgroundFollows() async throws {
    try await withClient(engines: 1) { client, _ in
      #expect(client.completions.lead())
      #expect(!client.completions.lead())
      _ = try client.submit(TaskSubmission(), .balanced, onSignal: {})
      let found = client.completions.waitLeading(milliseconds: 20_000 * patience)
      let isThere = if case .events = found { true } else { false }
      #expect(isThere)
      // Nothing was taken: whoever comes next has it.
      client.completions.stopLeading()
      let next = client.completions.waitInBackground()
      let isLeft = if case .events = next { true } else { false }
      #expect(isLeft)
      #expect(client.completions.lead())
      _ = client.completions.take()
      let late = client.completions.waitLeading(milliseconds: 1)
      let isOver = if case .timedOut = late { true } else { false }
      #expect(isOver || !client.completions.take().isEmpty)
    }
  }

  @Test func lentMemoryIsReportedOnce() async throws {
    try await withClient(engines: 1) { client, _ in
      let buffers = [Frame([UInt8](repeating: 1, count: 1 << 20)), Frame("two")]
      let numbers = try client.submit(TaskSubmission(buffers: buffers), .direct([EngineID(0)]), isTracked: true, onSignal: {})
      var sent: [Int] = []
      var ended = false
      while !ended || sent.isEmpty {
        _ = client.completions.lead()
        _ = client.completions.waitLeading(milliseconds: -1)
        for event in client.completions.take() {
          if case .sent(let number) = event { sent.append(number) }
          if case .replied = event { ended = true }
        }
        client.completions.stopLeading()
      }
      #expect(sent == numbers)
    }
  }

  @Test func nobodyThereIsSaid() async throws {
    let file = try await connectionOfAStoppedController()
    var configuration = ClientConfiguration()
    configuration.connectTimeout = .milliseconds(200 * patience)
    let code = try await onThread { [configuration] () -> ClientError.Code? in
      do {
        try BlockingClient.connect(file, configuration: configuration) {}.close()
        return nil
      } catch let error as ClientError { return error.code }
    }
    #expect(code == .controllerNotFound)
  }
}

/// Its sockets close with the last reference to it.
private func connectionOfAStoppedController() async throws -> ConnectionFile {
  let cluster = try await TestCluster.start(engines: 0)
  let file = cluster.controller.clientConnection
  await cluster.stop()
  return file
}

extension BlockingClient {
  fileprivate struct Answer {
    let buffers: [Frame]
    let parentID: String?
  }

  /// Waits until so many tasks have ended by a reply, or one has failed.
  fileprivate func replies(_ count: Int) -> [Int: Answer] {
    var found: [Int: Answer] = [:]
    #expect(completions.lead())
    defer { completions.stopLeading() }
    while found.count < count {
      guard case .events = completions.waitLeading(milliseconds: -1) else { return found }
      for event in completions.take() {
        switch event {
        case .replied(let number, let reply):
          found[number] = Answer(buffers: Array(reply.buffers), parentID: reply.envelope.parentID?.text)
        case .failed(let number, let error):
          Issue.record("\(number) failed: \(error)")
          return found
        default: break
        }
      }
    }
    return found
  }

  fileprivate func waitForEngines(_ count: Int) throws {
    _ = completions.lead()
    defer { completions.stopLeading() }
    while engines.count < count {
      _ = completions.waitLeading(milliseconds: -1)
      _ = completions.take()
    }
  }
}
