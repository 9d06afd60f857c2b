import ApusMessaging
import Testing
import ZeroMQ

@testable import ApusController

/// The scheduler on its loop, with a client's and an engine's socket.
@Suite("Task scheduler: sockets", .serialized, .timeLimit(.minutes(1))) struct TaskSchedulerTests {
  private static let key = "0123456789"
  private static let engine: EngineUUID = "engine-0"

  /// - Parameter body: gets the scheduler, not yet started, the client's socket and the engine's.
  private func with(
    byteLimit: Int, _ log: LogLines = LogLines(), _ body: (TaskScheduler, borrowing Socket, borrowing Socket) async throws -> Void
  ) async throws {
    let context = try Context()
    let front = try Socket(.router, in: context)
    try front.bind("inproc://front")
    let back = try EngineSocket("back", in: context, curve: nil)
    try back.socket.bind("inproc://back")
    let loop = EventLoop(name: "schedulers")
    let scheduler = TaskScheduler(
      loop: loop, state: TaskSchedulerState(),
      wire: TaskSchedulerSockets(
        front: front, back: back, session: Session(key: Self.key), rejections: DroppedMessages("task", logger: log.logger),
        events: TaskEventStream(from: loop, to: loop)),
      byteLimit: byteLimit, logger: log.logger)
    let client = try Socket(.dealer, in: context)
    try client.connect("inproc://front")
    let engine = try Socket(.dealer, in: context)
    try engine.set(.identity, Array(Self.engine.text.utf8))
    try engine.connect("inproc://back")
    loop.start()
    defer {
      loop.stop()
      loop.join()
    }
    try await body(scheduler, client, engine)
  }

  @Test("an engine may register before the scheduler starts") func earlyEngine() async throws {
    try await with(byteLimit: .max) { scheduler, client, engine in
      await scheduler.engineRegistered(Self.engine, takesBatches: false)
      await scheduler.start()
      var session = Session(key: Self.key)
      let task = session.message(.applyRequest)
      try client.send(task.frames)
      let request = try engine.next()
      #expect(request?.messageID == task.messageID)
    }
  }

  @Test("a full queue lets clients wait, and goes on when there is room") func fullQueue() async throws {
    let log = LogLines()
    let (size, count) = (100_000, 64)
    try await with(byteLimit: 4 * size, log) { scheduler, client, engine in
      await scheduler.start()
      var session = Session(key: Self.key)
      let tasks = (0..<count).map { _ in session.message(.applyRequest, buffers: [Frame([UInt8](repeating: 1, count: size))]) }
      for task in tasks { try client.send(task.frames) }
      await scheduler.engineRegistered(Self.engine, takesBatches: false)
      for task in tasks {
        let request = try #require(try engine.next())
        #expect(request.messageID == task.messageID)
        let answer = session.message(
          .applyReply, content: ["status": "ok"], parentHeader: request.headerFrame, identities: Array(request.identities))
        try engine.send(answer.frames)
        let reply = try client.next()
        #expect(reply?.parentID == task.messageID)
      }
    }
    let told = log.all
    #expect(
      told.contains("warning the queue is full: clients wait") && told.contains("warning the queue has room again"), "\(told)")
  }
}
