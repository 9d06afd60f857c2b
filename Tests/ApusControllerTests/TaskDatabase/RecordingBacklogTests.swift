import ApusMessaging
import Testing

@testable import ApusController

@Suite("Tasks that wait to be recorded")
struct RecordingBacklogTests {
  private var backlog = RecordingBacklog(limit: 20_000)

  private func event(_ number: Int, _ kind: TaskEvent.Kind, _ queue: TaskQueue? = .task) -> TaskEvent {
    TaskEvent(TaskSamples.id(number), queue, at: TaskSamples.base, kind)
  }
  private func submitted(_ number: Int, size: Int = 10, _ queue: TaskQueue = .task) -> TaskEvent {
    event(number, .submitted(request: TaskSamples.request(number, size: size), engine: nil), queue)
  }
  private func placed(_ number: Int) -> TaskEvent { event(number, .placed(engine: "e")) }
  private func finished(_ number: Int, _ queue: TaskQueue = .task) -> TaskEvent {
    event(number, .finished(reply: TaskSamples.reply(to: number, at: 1, engine: "e"), engine: "e", outcome: .ok), queue)
  }

  /// What passes, in short.
  private func names(_ events: [TaskEvent]) -> [String] {
    events.map { event in
      "\(event.kind.text(of: event.id).prefix { $0 != " " }) \(event.id.text.suffix(1))"
    }
  }

  @Test("as long as there is room everything passes, and is counted")
  mutating func room() {
    let admitted = backlog.admit([submitted(1), placed(1), finished(1)], waiting: 0)
    #expect(names(admitted.events) == ["submitted 1", "placed 1", "finished 1"])
    #expect(admitted.forgotten.isEmpty && admitted.bytes > 2000 && admitted.bytes < 6000)
    #expect(backlog.takeUnrecorded() == 0)
  }

  @Test("at the bound a new task is not recorded, to its end; one that was recorded is forgotten when it ends")
  mutating func bound() {
    _ = backlog.admit([submitted(1), placed(1)], waiting: 0)
    let full = backlog.admit([submitted(2), placed(2), finished(1)], waiting: 19_900)
    #expect(names(full.events) == [])
    #expect(full.forgotten == [TaskSamples.id(1)])
    // There is room again: the second task is still nobody's business.
    let later = backlog.admit([submitted(3), finished(2), finished(3)], waiting: 0)
    #expect(names(later.events) == ["submitted 3", "finished 3"])
    #expect(backlog.takeUnrecorded() == 2)
    #expect(backlog.takeUnrecorded() == 0)
    // Its id means nothing any more.
    #expect(names(backlog.admit([finished(2)], waiting: 0).events) == ["finished 2"])
  }

  @Test("output passes with its task, and its bytes are told apart")
  mutating func output() {
    let printed = event(1, .output(.stream, TaskSamples.output(["name": "stdout", "text": "hello"])), nil)
    let admitted = backlog.admit([submitted(1), printed], waiting: 0)
    #expect(names(admitted.events) == ["submitted 1", "output 1"])
    #expect(admitted.outputBytes == printed.footprint && admitted.bytes > printed.footprint)
    let skipped = backlog.admit([submitted(2), event(2, .output(.stream, TaskSamples.output([:])), nil)], waiting: 20_000)
    #expect(skipped.events.isEmpty && skipped.outputBytes == 0)
  }

  @Test("broadcasts are nobody's records: none of them is missed")
  mutating func broadcasts() {
    let admitted = backlog.admit([submitted(1, .broadcast), finished(1, .broadcast)], waiting: 20_000)
    #expect(admitted.events.isEmpty && admitted.forgotten.isEmpty)
    #expect(backlog.takeUnrecorded() == 0)
  }

  @Test("one large task that does not fit keeps the small ones from nothing")
  mutating func large() {
    let admitted = backlog.admit([submitted(1, size: 30_000), submitted(2), finished(1), finished(2)], waiting: 0)
    #expect(names(admitted.events) == ["submitted 2", "finished 2"])
  }
}
