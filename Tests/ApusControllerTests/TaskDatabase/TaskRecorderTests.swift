import ApusMessaging
import Logging
import Testing

@testable import ApusController

@Suite("Recording of tasks") struct TaskRecorderTests {
  private func event(_ number: Int, _ kind: TaskEvent.Kind, _ queue: TaskQueue? = .task) -> TaskEvent {
    TaskEvent(TaskSamples.id(number), queue, at: TaskSamples.base, kind)
  }
  private func submitted(_ number: Int) -> TaskEvent {
    event(number, .submitted(request: TaskSamples.request(number), engine: nil))
  }
  private func finished(_ number: Int) -> TaskEvent {
    event(number, .finished(reply: TaskSamples.reply(to: number, at: 1, engine: "e"), engine: "e", outcome: .ok))
  }
  private func printed(_ number: Int, _ text: String) -> TaskEvent {
    event(number, .output(.stream, TaskSamples.output(["name": "stdout", "text": .string(text)])), nil)
  }

  @Test("output that comes late is added to its record, and brings none back that was purged", arguments: DatabaseKind.allCases)
  func lateOutput(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    let recorder = TaskRecorder(test.database, logger: Logger(label: "test"))
    // Before its task, too: what engines publish goes another way.
    for event in [printed(1, "early "), submitted(1), submitted(2), finished(1), finished(2), printed(1, "late")] {
      recorder.record(event)
    }
    #expect(try test.database.record(TaskSamples.id(1))?.value(.stdout) == "early late")
    try test.database.removeFinished()
    for number in 1...2 { recorder.record(printed(number, "later")) }
    #expect(try test.database.find([:]) == [])
    // Of whom nothing is known there may be something to come.
    recorder.record(printed(3, "first"))
    #expect(try test.database.find([:]) == [3])
  }

  @Test(
    "tasks of the controller before are recorded as others are, in their place among the events", arguments: DatabaseKind.allCases)
  func restored(_ kind: DatabaseKind) throws {
    let test = try DatabaseUnderTest(kind)
    let recorder = TaskRecorder(test.database, logger: Logger(label: "test"))
    var batch = EventBatch()
    batch.tasks = [printed(1, "early"), finished(2), event(3, .placed(engine: "e"))]
    batch.notices = [(1, ClusterNotice(.tasksRestored(TaskSamples.restored(1...4), .task), at: TaskSamples.base))]
    recorder.record(batch)
    recorder.flush()
    #expect(try test.database.history() == (1...4).map { TaskSamples.id($0) })
    #expect(try test.database.find(["label": "restored", "completed": .null]) == [1, 3, 4])
    for number in 1...4 {
      let record = try #require(try test.database.record(TaskSamples.id(number)))
      let sample = TaskSamples.request(number, label: "restored")
      let (header, content) = (try sample.headerFrame.json(), try sample.contentFrame.json())
      #expect(record.value(.header) == header && record.value(.content) == content)
      #expect(
        record.value(.client_uuid) == "client-1" && record.value(.queue) == "task" && record.submitted == TaskSamples.date(number))
      #expect(Array(record.requestBuffers) == Array(sample.buffers))
      // Of one that has ended little is kept: its part of the journal is not for it.
      #expect(record.isFinished == (number == 2) && (record.stored == nil) == (number == 2))
    }
    #expect(try test.database.record(TaskSamples.id(1))?.value(.stdout) == "early")
    #expect(try test.database.record(TaskSamples.id(3))?.engine == "e")
    for number in [1, 3, 4] { recorder.record(finished(number)) }
    recorder.flush()
    #expect(try test.database.find(["label": "restored", "completed": ["$ne": .null]]) == [1, 2, 3, 4])
  }
}
