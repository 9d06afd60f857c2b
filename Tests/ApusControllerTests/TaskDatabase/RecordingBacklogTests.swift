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

  private mutating func admit(_ events: [TaskEvent], waiting: Int = 0) -> RecordingBacklog.Admitted {
    var batch = EventBatch()
    batch.tasks = events
    return backlog.admit(batch, waiting: waiting)
  }

  /// What passes, in short.
  private func names(_ events: [TaskEvent]) -> [String] {
    events.map { event in
      "\(event.kind.text(of: event.id).prefix { $0 != " " }) \(event.id.text.suffix(1))"
    }
  }

  @Test("as long as there is room everything passes, and is counted")
  mutating func room() {
    let admitted = admit([submitted(1), placed(1), finished(1)])
    #expect(names(admitted.batch.tasks) == ["submitted 1", "placed 1", "finished 1"])
    #expect(admitted.forgotten.isEmpty && admitted.bytes > 2000 && admitted.bytes < 6000)
    #expect(backlog.takeUnrecorded() == 0)
  }

  @Test("at the bound a new task is not recorded, to its end; one that was recorded is forgotten when it ends")
  mutating func bound() {
    _ = admit([submitted(1), placed(1)])
    let full = admit([submitted(2), placed(2), finished(1)], waiting: 19_900)
    #expect(names(full.batch.tasks) == [])
    #expect(full.forgotten == [TaskSamples.id(1)])
    // There is room again: the second task is still nobody's business.
    let later = admit([submitted(3), finished(2), finished(3)])
    #expect(names(later.batch.tasks) == ["submitted 3", "finished 3"])
    #expect(backlog.takeUnrecorded() == 2)
    #expect(backlog.takeUnrecorded() == 0)
    // Its id means nothing any more.
    #expect(names(admit([finished(2)]).batch.tasks) == ["finished 2"])
  }

  @Test("output passes with its task, and its bytes are told apart")
  mutating func output() {
    let printed = event(1, .output(.stream, TaskSamples.output(["name": "stdout", "text": "hello"])), nil)
    let admitted = admit([submitted(1), printed])
    #expect(names(admitted.batch.tasks) == ["submitted 1", "output 1"])
    #expect(admitted.outputBytes == printed.footprint && admitted.bytes > printed.footprint)
    let skipped = admit([submitted(2), event(2, .output(.stream, TaskSamples.output([:])), nil)], waiting: 20_000)
    #expect(skipped.batch.tasks.isEmpty && skipped.outputBytes == 0)
  }

  @Test("broadcasts are nobody's records: none of them is missed")
  mutating func broadcasts() {
    let admitted = admit([submitted(1, .broadcast), finished(1, .broadcast)], waiting: 20_000)
    #expect(admitted.batch.tasks.isEmpty && admitted.forgotten.isEmpty)
    #expect(backlog.takeUnrecorded() == 0)
  }

  @Test("one large task that does not fit keeps the small ones from nothing")
  mutating func large() {
    let admitted = admit([submitted(1, size: 30_000), submitted(2), finished(1), finished(2)])
    #expect(names(admitted.batch.tasks) == ["submitted 2", "finished 2"])
  }

  @Test("restored tasks pass together, in their place among the others, and cost little as they are stored")
  mutating func restored() {
    let tasks = TaskSamples.restored(1...20, size: 10_000)
    var batch = EventBatch()
    batch.tasks = [submitted(21), placed(1)]
    batch.notices = [
      (0, ClusterNotice(.controllerStarted(tasks: 20), at: TaskSamples.base)),
      (1, ClusterNotice(.tasksRestored(tasks, .task), at: TaskSamples.base)),
    ]
    let admitted = backlog.admit(batch, waiting: 0)
    #expect(admitted.batch.count == 1 + 1 + 40 + 1 && admitted.bytes < 20_000)
    #expect(backlog.takeUnrecorded() == 0)
  }

  @Test("of restored tasks those that there is no room for are not recorded, to their end")
  mutating func tooManyRestored() {
    var batch = EventBatch()
    batch.tasks = [submitted(21)]
    batch.notices = [(0, ClusterNotice(.tasksRestored(TaskSamples.restored(1...20), .task), at: TaskSamples.base))]
    let footprint = TaskSamples.restored(1...1)[0].footprint
    let admitted = backlog.admit(batch, waiting: 20_000 - 5 * footprint)
    guard case .tasksRestored(let passed, .task) = admitted.batch.notices.first?.notice.kind else {
      Issue.record("none has passed")
      return
    }
    #expect(passed.map(\.id) == (1...5).map { TaskSamples.id($0) } && admitted.bytes == 5 * footprint)
    #expect(admitted.batch.tasks.isEmpty && admitted.batch.notices.count == 1)
    #expect(backlog.takeUnrecorded() == 16)
    #expect(names(admit([finished(5), finished(6), finished(21)]).batch.tasks) == ["finished 5"])
  }
}
