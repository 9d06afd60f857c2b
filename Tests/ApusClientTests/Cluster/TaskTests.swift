import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// Against a real controller, over real sockets.
@Suite(.timeLimit(.minutes(1 * patience)))
struct TaskTests {
  static let hang = TaskSubmission(content: ["do": "hang"])
  static let fail = TaskSubmission(content: ["do": "fail"])

  @Test func everyViewEchoes() async throws {
    try await withTestCluster(engines: 3) { cluster, client in
      #expect(client.ids == [0, 1, 2].map { EngineID($0) })
      let submission = TaskSubmission(buffers: [Frame("one"), Frame([UInt8](repeating: 7, count: 100_000))])

      let direct = try await client.directView().submit(submission)
      let replies = try await direct.replies
      #expect(replies.map { Array($0.buffers) } == Array(repeating: submission.buffers, count: 3))
      #expect(replies.map(\.engine) == client.engines.map(\.uuid))
      #expect(direct.isDone)

      let balanced = try await client.loadBalancedView().submit(submission).reply
      #expect(Array(balanced.buffers) == submission.buffers)
      #expect(balanced.type == .applyReply)

      let broadcast = try await client.broadcastView().submit(submission)
      #expect(broadcast.count == 3)
      #expect(try await broadcast.replies.map { Array($0.buffers) } == Array(repeating: submission.buffers, count: 3))
      #expect(broadcast[1].id.text.hasSuffix(client.engines[1].uuid.text))

      let coalesced = try await client.broadcastView(isCoalescing: true).submit(submission)
      #expect(coalesced.count == 1)
      #expect(try await coalesced[0].reply.buffers.count == 6)
      #expect(client.inFlight == (0, 0))
    }
  }

  @Test func remoteErrorsArrive() async throws {
    try await withTestCluster(engines: 2) { _, client in
      let task = try await client[0].submit(Self.fail)
      let error = await #expect(throws: RemoteError.self) { try await task.replies }
      #expect(error?.name == "ValueError")
      #expect(error?.engine?.id == EngineID(0))
      await #expect(throws: RemoteError.self) { try await client.loadBalancedView().submit(Self.fail).reply }
      await #expect(throws: RemoteError.self) { try await client.broadcastView(isCoalescing: true).submit(Self.fail)[0].reply }
      let results = await (try client.broadcastView().submit(Self.fail)).results
      #expect(results.allSatisfy { if case .failure = $0 { true } else { false } })
    }
  }

  @Test func manyTasksComeBackEachToItsOwn() async throws {
    var configuration = ClientConfiguration()
    configuration.maximumInFlight = InFlightLimit(tasks: 100)
    try await withTestCluster(engines: 2, configuration) { _, client in
      let view = client.loadBalancedView()
      var handles: [TaskHandle] = []
      for index in 0..<2000 {
        handles.append(try await view.submit(TaskSubmission(buffers: [Frame("\(index)")])))
        #expect(client.inFlight.tasks <= 100)
      }
      for (index, handle) in handles.enumerated() { #expect(try await handle.reply.buffers.first?.text == "\(index)") }
    }
  }

  @Test func submittingWaitsForRoomAndCanBeCancelled() async throws {
    var configuration = ClientConfiguration()
    configuration.maximumInFlight = InFlightLimit(tasks: 2)
    try await withTestCluster(engines: 1, configuration) { _, client in
      let view = client[0]
      let first = try await view.submit(Self.hang)
      let second = try await view.submit(Self.hang)
      let third = Task { try await view.submit(TaskSubmission()) }
      let fourth = Task { try await view.submit(TaskSubmission()) }
      try await Task.sleep(for: .milliseconds(100))
      #expect(client.inFlight.tasks == 2)
      third.cancel()
      await #expect(throws: CancellationError.self) { try await third.value }
      first.cancel()
      await #expect(throws: RemoteError.self) { try await first.replies }
      _ = try await fourth.value.replies
      second.cancel()
      let error = await #expect(throws: RemoteError.self) { try await second.replies }
      #expect(error?.isAborted == true)
      #expect(client.inFlight == (0, 0))
    }
  }

  /// A large task waits at the head, small ones behind it; it is cancelled, and they go.
  @Test func aCancelledHeadLetsTheOthersGo() async throws {
    var configuration = ClientConfiguration()
    configuration.maximumInFlight = InFlightLimit(tasks: 100, bytes: 100_000)
    try await withTestCluster(engines: 1, configuration) { _, client in
      let first = try await client[0].submit(Self.hang)
      let large = Task { try await client[0].submit(TaskSubmission(buffers: [Frame([UInt8](repeating: 0, count: 200_000))])) }
      while client.queue.waitingCount < 1 { try await Task.sleep(for: .milliseconds(1)) }
      let small = Task { try await client[0].submit(TaskSubmission()) }
      while client.queue.waitingCount < 2 { try await Task.sleep(for: .milliseconds(1)) }
      large.cancel()
      await #expect(throws: CancellationError.self) { try await large.value }
      _ = try await small.value
      first.cancel()
    }
  }

  /// The input gives one more while the client is closed: the reader ends, and does not wait for what was never sent.
  @Test func aTaskThatCouldNotBeSentIsNotWaitedFor() async throws {
    for isOrdered in [true, false] {
      try await withTestCluster(engines: 1) { _, client in
        let (input, feed) = AsyncStream<TaskSubmission>.makeStream()
        feed.yield(TaskSubmission(buffers: [Frame("one")]))
        let results = client.loadBalancedView().results(of: input, isOrdered: isOrdered).makeAsyncIterator()
        let first = try await results.next()
        #expect(first?.index == 0)
        await client.close()
        feed.yield(TaskSubmission(buffers: [Frame("two")]))
        let error = await #expect(throws: ClientError.self) { try await results.next() }
        #expect(error?.code == .closed)
        // Nor is what is asked of a closed client.
        await #expect(throws: ClientError.self) { try await client.abort(["x"]) }
      }
    }
  }

  @Test func cancellingTheSwiftTaskAbortsTheRemoteOne() async throws {
    try await withTestCluster(engines: 2) { cluster, client in
      let direct = try await client[1].submit(Self.hang)
      let waiting = Task { try await direct[0].reply }
      try await Task.sleep(for: .milliseconds(50))
      #expect(direct[0].status == .outstanding)
      waiting.cancel()
      await #expect(throws: CancellationError.self) { try await waiting.value }
      let error = await #expect(throws: RemoteError.self) { try await direct[0].reply(within: .seconds(10)) }
      #expect(error?.isAborted == true)
      #expect(await cluster.engine(client.engines[1].uuid)?.aborted == [direct[0].id.text])

      let balanced = try await client.loadBalancedView().submit(Self.hang)
      try await Task.sleep(for: .milliseconds(50))
      try await client.abort([balanced])
      let end = await #expect(throws: RemoteError.self) { try await balanced.reply(within: .seconds(10)) }
      #expect(end?.isAborted == true)
    }
  }

  @Test func queuedTasksAreAbortedWithoutEngines() async throws {
    try await withTestCluster(engines: 0) { _, client in
      let task = try await client.loadBalancedView().submit(TaskSubmission())
      try await Task.sleep(for: .milliseconds(50))
      task.cancel()
      let error = await #expect(throws: RemoteError.self) { try await task.reply(within: .seconds(10)) }
      #expect(error?.isAborted == true)
      await #expect(throws: ClientError.self) { try await client.directView().submit(TaskSubmission()) }
      await #expect(throws: ClientError.self) { try await client[0].submit(TaskSubmission()) }
    }
  }

  @Test func waitingHasATimeout() async throws {
    try await withTestCluster(engines: 1) { _, client in
      let task = try await client[0].submit(TaskSubmission(content: ["do": "slow", "milliseconds": 300]))[0]
      let error = await #expect(throws: ClientError.self) { try await task.reply(within: .milliseconds(30)) }
      #expect(error?.code == .timeout)
      #expect(try await task.reply(within: .seconds(10)).engine == client.engines[0].uuid)
    }
  }

  @Test func dependenciesRetriesAndTimeoutsAreTheSchedulers() async throws {
    try await withTestCluster(engines: 2) { cluster, client in
      let view = client.loadBalancedView()
      let first = try await view.submit(TaskSubmission(content: ["do": "slow", "milliseconds": 100]))
      let second = try await view.after([first]).submit(TaskSubmission())
      let third = try await view.following([first]).submit(TaskSubmission())
      _ = try await second.reply
      #expect(first.status == .succeeded)
      #expect(try await third.reply.engine == first.reply.engine)

      let failing = try await view.with { $0.retries = 1 }.submit(Self.fail)
      await #expect(throws: RemoteError.self) { try await failing.reply }
      var tries = 0
      for engine in cluster.engines { tries += await engine.seen["fail"] ?? 0 }
      #expect(tries == 2)

      let lost = try await view.with { $0.after = Dependency(["nobody_knows"]) }.submit(TaskSubmission())
      let invalid = await #expect(throws: RemoteError.self) { try await lost.reply }
      #expect(invalid?.name == "InvalidDependency")

      let blocker = try await client.loadBalancedView().submit(TaskSubmission(content: ["do": "slow", "milliseconds": 500]))
      let late = try await view.after([blocker]).with { $0.timeout = .milliseconds(50) }.submit(TaskSubmission())
      let timedOut = await #expect(throws: RemoteError.self) { try await late.reply }
      #expect(timedOut?.name == "TaskTimeout")

      var chosen = view
      try chosen.setTargets(.engine(1))
      for _ in 0..<4 { #expect(try await chosen.submit(TaskSubmission()).reply.engine == client.engines[1].uuid) }
    }
  }

  @Test func outputBelongsToItsTask() async throws {
    try await withTestCluster(engines: 2) { _, client in
      let tasks = try await client.directView().execute("say\n")
      var live = ""
      for await (_, event) in tasks.outputEvents { if case .stdout(let text) = event { live += text } }
      #expect(live == "say\nsay\n")
      for task in tasks {
        let output = await task.completeOutput()
        #expect(output.stdout == "say\n")
        #expect(output.stderr == "oh")
        #expect(output.displays == [["text/plain": "shown"]])
      }
      let shares = try await client.broadcastView(isCoalescing: true).execute("b")
      #expect(shares.count == 2)
      for share in shares { #expect(await share.completeOutput().stdout == "b") }
      let silent = try await client[0].submit(TaskSubmission())[0]
      _ = try await silent.reply
      #expect(await silent.completeOutput() == TaskOutput())
    }
  }
}
