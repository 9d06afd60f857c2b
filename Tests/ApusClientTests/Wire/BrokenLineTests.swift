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

  @Test("results that a restarted controller sends by the line count, however late it takes the line")
  func late() async throws {
    let folder = TemporaryDirectory()
    var controller: PlayedController? = try PlayedController(in: folder)
    let (client, request) = try await {
      let controller = try #require(controller)
      try controller.beginNotifications()
      let client = try await connected(to: controller)
      let lines = try lines(controller)
      for line in lines.values { controller.welcome(line) }
      try controller.answer(controller.query())
      return (client, try #require(lines[.tasks]))
    }()
    let task = try await client.loadBalancedView().submit(TaskSubmission())
    let message = try #require(Envelope(Array(try request.next().dropFirst())))
    // Killed: all that was open breaks.
    controller = nil
    _ = consume request
    let successor = try PlayedController(in: folder)
    try successor.answer(successor.query())
    let line = try successor.line()
    #expect(line.lane == .tasks)
    // Some time after these connect, the client asks again, and gives up what it does not wait for.
    try successor.beginNotifications()
    for _ in 0..<2 { _ = try successor.query() }
    successor.welcome(line)
    successor.reply(to: message, by: line)
    #expect(try await task.reply(within: .seconds(10 * patience)).isSuccess)
    await client.close()
  }

  @Test("of what a line that breaks may have lost, the controller is asked")
  func broken() async throws {
    let controller = try PlayedController(in: TemporaryDirectory())
    let client = try await connected(to: controller)
    let task = try await {
      let lines = try lines(controller)
      for line in lines.values { controller.welcome(line) }
      try controller.answer(controller.query())
      let task = try await client.loadBalancedView().submit(TaskSubmission())
      _ = try lines[.tasks]?.next()
      return task
    }()
    // The lines are gone, the controller is not.
    for _ in 0..<3 { try controller.answer(controller.query(), isOwn: true) }
    let request = try controller.request()
    #expect(request.messageType == .resumeRequest)
    #expect(try request.content()["msg_ids"]?.stringArrayValue == [task.id.text])
    await client.close()
  }
}
