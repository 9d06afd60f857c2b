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
}
