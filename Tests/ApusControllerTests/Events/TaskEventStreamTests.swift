import ApusMessaging
import Synchronization
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Task events: the stream", .timeLimit(.minutes(1 * patience)))
struct TaskEventStreamTests {
  private final class Notes: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func note(_ line: String) { lines.withLock { $0.append(line) } }
    func take() -> [String] {
      lines.withLock { lines in
        defer { lines = [] }
        return lines
      }
    }
  }

  private func event(_ id: MessageID, _ kind: TaskEvent.Kind = .queued()) -> TaskEvent {
    TaskEvent(id, .task, at: TaskSamples.base, kind)
  }

  /// A stream whose loops do not turn: it is drained by hand.
  private func stream(outputLimit: Int = 1 << 20) -> TaskEventStream {
    let loop = EventLoop(name: "events")
    return TaskEventStream(from: loop, to: loop, outputBudget: OutputBudget(limit: outputLimit))
  }

  @Test("every reader gets every event, in order; one that came later what came later, one that is removed nothing more")
  func readers() {
    let stream = stream()
    let notes = Notes()
    func reader(_ name: String) -> TaskEventStream.ReaderID {
      stream.addReader { events in for event in events { notes.note("\(name) \(event.id)") } }
    }
    _ = reader("1")
    let second = reader("2")
    stream.report(event("a"))
    stream.report(event("b"))
    stream.drain()
    #expect(notes.take() == ["1 a", "1 b", "2 a", "2 b"])
    stream.drain()
    #expect(notes.take() == [])
    _ = reader("3")
    stream.report(event("c"))
    stream.drain()
    #expect(notes.take() == ["1 c", "2 c", "3 c"])
    stream.removeReader(second)
    stream.report(event("d"))
    stream.drain()
    #expect(notes.take() == ["1 d", "3 d"])
    stream.removeAllReaders()
    stream.report(event("e"))
    stream.drain()
    #expect(notes.take() == [])
  }

  @Test("engines and clients come to those who want to hear of them, between the events where they happened")
  func notices() {
    let stream = stream()
    let (all, tasks) = (Notes(), Notes())
    _ = stream.addReader(ofAll: { batch in
      batch.forEach { event in
        switch event {
        case .task(let event): all.note("\(event.id)")
        case .notice(let notice): all.note("\(notice.kind)")
        }
      }
    })
    _ = stream.addReader { events in tasks.note(events.map(\.id.text).joined()) }
    stream.report(.controllerStarted(tasks: 3))
    stream.drain()
    #expect(all.take() == ["controllerStarted(tasks: Optional(3))"])
    // Nothing for those who read of tasks alone.
    #expect(tasks.take() == [])
    stream.report(event("a"))
    stream.report(.clientGone(SessionID("me")))
    stream.report(event("b"))
    stream.drain()
    #expect(all.take() == ["a", "clientGone(me)", "b"])
    #expect(tasks.take() == ["ab"])
    stream.drain()
    #expect(all.take() == [] && tasks.take() == [])
  }

  @Test("a reader may report: that is read next time")
  func reportsWhileReading() {
    let stream = stream()
    let notes = Notes()
    _ = stream.addReader { events in
      for event in events {
        notes.note("\(event.id)")
        if event.id == "a" { stream.report(self.event("b")) }
      }
    }
    stream.report(event("a"))
    stream.drain()
    #expect(notes.take() == ["a"])
    stream.drain()
    #expect(notes.take() == ["b"])
    stream.removeAllReaders()
  }

  @Test("events come by themselves, from another thread and from the source's loop", arguments: [true, false])
  func wakes(onLoop: Bool) async {
    let (source, target) = (EventLoop(name: "source"), EventLoop(name: "target"))
    source.start()
    target.start()
    defer {
      for loop in [source, target] {
        loop.stop()
        loop.join()
      }
    }
    let stream = TaskEventStream(from: source, to: target)
    let (read, isRead) = AsyncStream<[MessageID]>.makeStream()
    _ = stream.addReader { events in
      #expect(target.isOnLoop)
      isRead.yield(events.map(\.id))
    }
    if onLoop {
      source.execute { for number in 0..<10 { stream.report(self.event(MessageID("\(number)"))) } }
    } else {
      for number in 0..<10 { stream.report(event(MessageID("\(number)"))) }
    }
    var ids: [MessageID] = []
    for await more in read {
      ids += more
      if ids.count == 10 { break }
    }
    #expect(ids == (0..<10).map { MessageID("\($0)") })
    stream.removeAllReaders()
  }

  @Test("output has a bound until it is read, and longer where a reader keeps it")
  func output() {
    let printed = event("a", .output(.stream, TaskSamples.output(["text": "hello"])))
    let size = printed.footprint
    let stream = stream(outputLimit: 2 * size)
    let budget = stream.outputBudget
    // It keeps the output of the tasks that it knows.
    _ = stream.addReader { events in for event in events where event.id == "kept" { budget.keep(size) } }
    #expect(stream.report(output: printed))
    #expect(stream.report(output: printed))
    #expect(!stream.report(output: printed))
    #expect(budget.bytes == 2 * size)
    // Everything else passes.
    stream.report(event("a"))
    stream.drain()
    #expect(budget.bytes == 0)
    #expect(stream.report(output: event("kept", printed.kind)))
    stream.drain()
    #expect(budget.bytes == size)
    #expect(stream.report(output: printed))
    #expect(!stream.report(output: printed))
    budget.giveBack(size)
    #expect(stream.report(output: printed))
  }

  @Test("the events of one turn have one time, and those of the next a later one")
  func times() {
    let stream = stream()
    let times = Mutex<[Timestamp]>([])
    _ = stream.addReader { events in times.withLock { $0 += events.map(\.time) } }
    var reporter = TaskEventReporter(stream, .task)
    let before = Timestamp.now()
    reporter.report("a", .queued())
    while Timestamp.now().microseconds < before.microseconds + 100 {}
    reporter.report("a", .placed(engine: "e"))
    reporter.turnEnds()
    reporter.report("b", .queued())
    stream.drain()
    let all = times.withLock { $0 }
    #expect(all[0] >= before && all[0] == all[1] && all[2].microseconds >= before.microseconds + 100)
    stream.removeAllReaders()
  }

  @Test("events are small: many thousands a second pass")
  func size() { #expect(MemoryLayout<TaskEvent>.stride <= 80) }
}

@Suite("Task events: outcomes")
struct TaskOutcomeTests {
  @Test(
    "as replies say it",
    arguments: [
      ("apply_reply", ["status": "ok"], ["status": "ok"], .ok), ("apply_reply", ["status": "error"], ["status": "error"], .error),
      ("execute_reply", ["status": "aborted"], [:], .aborted), ("execute_reply", [:], [:], .error),
      ("is_complete_reply", [:], ["status": "incomplete"], .ok), ("comm_info_reply", [:], ["status": "error"], .error),
      ("history_reply", [:], [:], .ok),
    ] as [(String, JSONValue, JSONValue, TaskOutcome)])
  func replies(type: String, metadata: JSONValue, content: JSONValue, outcome: TaskOutcome) {
    let reply = Envelope(
      signature: .empty, header: Frame(["msg_type": .string(type)]), parentHeader: .emptyObject, metadata: Frame(metadata),
      content: Frame(content))
    #expect(TaskOutcome(of: reply) == outcome)
  }
}
