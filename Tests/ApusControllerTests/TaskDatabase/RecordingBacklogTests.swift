import ApusMessaging
import Testing

@testable import ApusController

@Suite("Tasks that wait to be recorded")
struct RecordingBacklogTests {
  private var backlog = RecordingBacklog(limit: 20_000, outputLimit: 10_000)

  private func submitted(_ number: Int, size: Int = 10) -> TaskEvent {
    .submitted(TaskSamples.id(number), request: TaskSamples.request(number, size: size), queue: .task, engine: nil)
  }
  private func placed(_ number: Int) -> TaskEvent { .placed(TaskSamples.id(number), engine: "e") }
  private func finished(_ number: Int) -> TaskEvent {
    .finished(TaskSamples.id(number), reply: TaskSamples.reply(to: number, at: 1, engine: "e"), engine: "e")
  }

  /// What passes, in short.
  private func names(_ events: [TaskEvent]) -> [String] {
    events.map {
      switch $0 {
      case .submitted(let id, _, _, _): "submitted \(id.text.suffix(1))"
      case .placed(let id, _): "placed \(id.text.suffix(1))"
      case .output(let id, _, _): "output \(id.text.suffix(1))"
      case .retried(let id, _, _): "retried \(id.text.suffix(1))"
      case .finished(let id, _, _): "finished \(id.text.suffix(1))"
      }
    }
  }

  @Test("as long as there is room everything passes, and is counted")
  mutating func room() {
    let admitted = backlog.admit([submitted(1), placed(1), finished(1)], waiting: 0)
    #expect(names(admitted.events) == ["submitted 1", "placed 1", "finished 1"])
    #expect(admitted.forgotten.isEmpty && admitted.bytes > 2000 && admitted.bytes < 6000)
    #expect(backlog.takeUnrecorded() == .init())
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
    #expect(backlog.takeUnrecorded() == .init(tasks: 2))
    #expect(backlog.takeUnrecorded() == .init())
    // Its id means nothing any more.
    #expect(names(backlog.admit([finished(2)], waiting: 0).events) == ["finished 2"])
  }

  @Test("output is left out earlier than tasks, and counted")
  mutating func output() {
    let printed = TaskEvent.output(TaskSamples.id(1), .stream, TaskSamples.output(["name": "stdout", "text": "hello"]))
    #expect(names(backlog.admit([submitted(1), printed], waiting: 0).events) == ["submitted 1", "output 1"])
    #expect(names(backlog.admit([printed, finished(1)], waiting: 12_000).events) == ["finished 1"])
    let unrecorded = backlog.takeUnrecorded()
    #expect(unrecorded.tasks == 0 && unrecorded.outputBytes > 5)
  }

  @Test("one large task that does not fit keeps the small ones from nothing")
  mutating func large() {
    let admitted = backlog.admit([submitted(1, size: 30_000), submitted(2), finished(1), finished(2)], waiting: 0)
    #expect(names(admitted.events) == ["submitted 2", "finished 2"])
  }
}
