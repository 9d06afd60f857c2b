import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Events: a million tasks of the controller before", .timeLimit(.minutes(patience)))
struct RestoredHistoryTests {
  private func looked(_ log: ApusController.EventLog, on loop: EventLoop) async -> (
    count: Int, first: MessageID?, codes: Set<EventHistory.Code>
  ) {
    await withCheckedContinuation { continuation in
      log.ask(
        { history in
          var found: (count: Int, first: MessageID?, codes: Set<EventHistory.Code>) = (history.count, nil, [])
          history.forEach { _, record in
            found.codes.insert(record.code)
            if found.first == nil { found.first = record.task }
            return true
          }
          return found
        }, on: loop
      ) { continuation.resume(returning: $0) }
    }
  }

  @Test(
    "of them the last are remembered, and what comes after them; it is said that others are left out", arguments: [1_000, 200_000])
  func superfluous(tasks: Int) async {
    let loop = EventLoop(name: "events")
    loop.start()
    defer {
      loop.stop()
      loop.join()
    }
    let log = ApusController.EventLog(loop: loop, limit: 1 << 30)
    func read(_ events: [TaskEvent]) {
      var batch = EventBatch()
      batch.tasks = events
      log.read(batch)
    }
    log.expectRestored(tasks: tasks)
    for start in stride(from: 0, to: tasks, by: 1_000) {
      read(
        (start..<start + 1_000).flatMap { number in
          [TaskEvent.Kind.queued(), .restored].map { TaskEvent(MessageID("t\(number)"), .task, at: .now(), $0) }
        })
      // As many as may wait for it would be left out as well.
      if start % 50_000 == 0 { _ = await looked(log, on: loop) }
    }
    read([TaskEvent("new", .task, at: .now(), .waiting(for: 1))])
    let found = await looked(log, on: loop)
    #expect(found.codes.contains(.waiting), "what comes later is news")
    let leftOut = 2 * tasks - found.count + (found.codes.contains(.leftOut) ? 2 : 1)
    if tasks == 1_000 {
      #expect(leftOut == 0 && found.first == "t0")
    } else {
      #expect(found.codes.contains(.leftOut) && leftOut >= 2 * tasks - 1 << 18 && leftOut < 2 * tasks - 1 << 18 + 2_000)
    }
  }

  private func restored(_ numbers: Range<Int>) -> ClusterNotice {
    ClusterNotice(
      .tasksRestored(
        numbers.map { RestoredTask(id: MessageID("t\($0)"), request: .message(Messages.request(MessageID("t\($0)")))) }, .task),
      at: .now())
  }

  @Test("the same where they are told of together")
  func together() async {
    let loop = EventLoop(name: "events")
    loop.start()
    defer {
      loop.stop()
      loop.join()
    }
    let log = ApusController.EventLog(loop: loop, limit: 1 << 20)
    log.expectRestored(tasks: 100_000)
    for start in stride(from: 0, to: 100_000, by: 1_000) {
      var batch = EventBatch()
      batch.notices = [(0, restored(start..<start + 1_000))]
      log.read(batch)
      if start % 20_000 == 0 { _ = await looked(log, on: loop) }
    }
    let found = await looked(log, on: loop)
    #expect(found.codes == [.submitted, .restored], "more than there is room for, so what is left out is forgotten")
    let last = MessageID("t99999")
    let count = await withCheckedContinuation { continuation in
      log.ask(
        { history in
          var count = 0
          history.forEach { _, record in
            if record.task == last { count += 1 }
            return true
          }
          return count
        }, on: loop
      ) { continuation.resume(returning: $0) }
    }
    #expect(count == 2)
  }

  @Test("the hub counts them, and who reads tasks' events reads theirs, in their order")
  func readers() {
    var batch = EventBatch()
    batch.tasks = [
      TaskEvent("before", .task, at: .now(), .queued()), TaskEvent("t1", .task, at: .now(), .placed(engine: "e0")),
    ]
    batch.notices = [(1, restored(0..<2))]
    #expect(batch.count == 6)
    #expect(batch.events.map(\.id) == ["before", "t0", "t0", "t1", "t1", "t1"])
    #expect(batch.events.map { if case .submitted = $0.kind { true } else { false } } == [false, true, false, true, false, false])
    var hub = HubState(registrationTimeout: .seconds(30))
    hub.observe(ClusterNotice(.controllerStarted(tasks: 2)))
    hub.observe(restored(0..<2))
    #expect(hub.unassigned == ["t0", "t1"])
  }
}
