import ApusMessaging
import Logging
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// What becomes of tasks when a line to a controller, which the test plays, breaks or is opened again.
@Suite("Client: lines that break", .timeLimit(.minutes(1 * patience))) struct BrokenLineTests {
  private func lines(_ controller: PlayedController) throws -> [LocalSocket.Lane: PlayedController.Line] {
    let lines = try [controller.line(), controller.line()]
    return Dictionary(uniqueKeysWithValues: lines.map { ($0.lane, $0) })
  }

  private func connected(to controller: PlayedController) async throws -> Client {
    let client = try Client(
      controller.connection, configuration: ClientConfiguration(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    client.loop.start()
    await client.connection.start()
    return client
  }

  private func opened(
    _ controller: PlayedController, isOwn: Bool = false, engines: [RegisteredEngine] = []
  ) async throws -> (Client, [LocalSocket.Lane: PlayedController.Line]) {
    let client = try await connected(to: controller)
    let lines = try lines(controller)
    for line in lines.values { try controller.welcome(line) }
    try controller.answer(controller.query(), isOwn: isOwn, engines: engines)
    if !engines.isEmpty { try await client.waitForEngines(engines.count, timeout: .seconds(30 * patience)) }
    return (client, lines)
  }

  private static let engine = RegisteredEngine(id: EngineID(0), uuid: EngineUUID("e0"))

  /// A client gives up a first line that is not taken within a fifth of a second; on a machine with much to do it is tried again.
  private func inTime<T>(_ body: () async throws -> T) async throws -> T {
    for _ in 0..<20 { do { return try await body() } catch is PlayedController.Missing {} }
    return try await body()
  }

  @Test("results that a restarted controller sends by the line count, however late it takes the line")
  func late() async throws {
    let folder = TemporaryDirectory()
    // Killed behind it: all that was open breaks.
    let (client, task, message) = try await inTime {
      let controller = try PlayedController(in: folder)
      try controller.beginNotifications()
      let (client, lines) = try await opened(controller)
      let task = try await client.loadBalancedView().submit(TaskSubmission())
      let line = try #require(lines[.tasks])
      let frames = try line.next().dropFirst()
      return (client, task, try #require(Envelope(Array(frames))))
    }
    let successor = try PlayedController(in: folder)
    try successor.answer(successor.query())
    let line = try successor.line()
    #expect(line.lane == .tasks)
    // Some time after these connect, the client asks again, and gives up what it does not wait for.
    try successor.beginNotifications()
    for _ in 0..<2 { _ = try successor.query() }
    try successor.welcome(line)
    successor.reply(to: message, by: line)
    #expect(try await task.reply(within: .seconds(10 * patience)).isSuccess)
    await client.close()
  }

  @Test("what says that a result is lost does not count where that result came by the line before it")
  func lost() async throws {
    let (controller, client, task, line) = try await inTime {
      let controller = try PlayedController(in: TemporaryDirectory())
      let (client, lines) = try await opened(controller)
      let task = try await client.loadBalancedView().submit(TaskSubmission())
      return (controller, client, task, try #require(lines[.tasks]))
    }
    let message = try #require(Envelope(Array(try line.next().dropFirst())))
    let answers = controller.answers(to: message)
    client.loop.execute { [connection = client.connection, socket = line.socket] in
      connection.assumeIsolated {
        // Both are here before the client looks, and it happens to look for this one first.
        #expect(socket.send(answers.byLine) == .sent)
        $0.read(answers.lost, .task, isLocal: false, now: .now)
        $0.afterEvents()
      }
    }
    #expect(try await task.reply(within: .seconds(10 * patience)).isSuccess)
    withExtendedLifetime(controller) {}
    await client.close()
  }

  @Test("of what a line that breaks may have lost, the controller is asked")
  func broken() async throws {
    // The lines are gone behind it, the controller is not.
    let (controller, client, task) = try await inTime {
      let controller = try PlayedController(in: TemporaryDirectory())
      let (client, lines) = try await opened(controller, isOwn: true)
      let task = try await client.loadBalancedView().submit(TaskSubmission())
      _ = try lines[.tasks]?.next()
      return (controller, client, task)
    }
    let request = try controller.request()
    #expect(request.messageType == .resumeRequest)
    #expect(try request.content()["msg_ids"]?.stringArrayValue == [task.id.text])
    await client.close()
  }

  @Test("requests that wait to leave by a line that breaks are not lost with it: they go by libzmq, once it is known who is there")
  func waiting() async throws {
    let engines = [Self.engine]
    let (controller, client, tasks) = try await inTime {
      let controller = try PlayedController(in: TemporaryDirectory())
      let (client, lines) = try await opened(controller, isOwn: true, engines: engines)
      // More than the system's buffer takes: nobody reads.
      let buffer = Frame([UInt8](repeating: 1, count: 50_000))
      var tasks: [TaskHandle] = []
      while tasks.count < 2000, await !client.connection.hasWaiting {
        tasks += try await client.submit(TaskSubmission(buffers: [buffer]), to: engines)
      }
      for _ in 0..<3 { tasks += try await client.submit(TaskSubmission(buffers: [buffer]), to: engines) }
      // All of them have gone where they go.
      #expect(await client.connection.hasWaiting)
      return (withExtendedLifetime(lines) { controller }, client, tasks)
    }
    // One more, before anybody has said who is there.
    let last = try await client.submit(TaskSubmission(), to: engines)[0]
    try controller.answer(controller.query(), isOwn: true, engines: engines)
    // Replies come after the client knows what it has lost.
    var requests: [Envelope] = []
    while requests.last?.messageID != last.id { requests.append(try controller.directRequest(engines)) }
    for request in requests { try controller.reply(to: request) }
    let arrived = Set(requests.compactMap(\.messageID))
    #expect(arrived.count > 1 && arrived.count <= tasks.count)
    for task in tasks {
      do {
        _ = try await task.reply(within: .seconds(10 * patience))
        #expect(arrived.contains(task.id))
      } catch let error as ClientError {
        #expect(error.code == .controllerLost && !arrived.contains(task.id), "it has failed, and is not run")
      }
    }
    await client.close()
  }

  @Test("what a controller has answered by either line before it was started again counts")
  func answered() async throws {
    let engines = [Self.engine]
    let (controller, client, lines, task, message) = try await inTime {
      let controller = try PlayedController(in: TemporaryDirectory())
      let (client, lines) = try await opened(controller, engines: engines)
      let task = try await client.submit(TaskSubmission(), to: engines)[0]
      let frames = try #require(lines[.requests]).next().dropFirst()
      return (controller, client, lines, task, try #require(Envelope(Array(frames))))
    }
    // The loop stands twice: what it has to do behind the second time is together with that, and nothing is read in between.
    let (first, second) = (Gate(), Gate())
    client.loop.execute { first.stand() }
    first.awaitStanding()
    client.loop.execute { second.stand() }
    let status = await withCheckedContinuation { continuation in
      client.loop.execute { [connection = client.connection] in
        connection.assumeIsolated { $0.reopenLine() }
        continuation.resume(returning: task.status)
      }
      first.open()
      second.awaitStanding()
      if let line = lines[.requests] { controller.reply(to: message, by: line, on: LocalSocket.Lane.mux) }
      second.open()
    }
    #expect(status == .succeeded)
    await client.close()
    withExtendedLifetime(controller) {}
  }
}

extension ClientConnection {
  fileprivate var hasWaiting: Bool { wire.lines.hasWaiting }
}
