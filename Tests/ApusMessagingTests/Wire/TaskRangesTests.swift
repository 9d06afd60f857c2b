import ApusMessaging
import TestSupport
import Testing

@Suite("Ids of many tasks in few bytes") struct TaskRangesTests {
  private func again(_ ids: [String]) -> [String] { TaskRanges(TaskRanges(ids.map { MessageID($0) }).content).ids.map(\.text) }

  @Test("what a client has numbered is a range")
  func ranges() throws {
    let ids = (98..<203).map { "session_12_\($0)" }
    #expect(again(ids) == ids)
    let content = TaskRanges(ids.map { MessageID($0) }).content
    #expect(content["ranges"] == [["session_12_", 98, 105]] && content["msg_ids"] == nil)
  }

  @Test("numbers of one client, with gaps")
  func numbers() {
    #expect(TaskRanges("p_", [3, 4, 5, 9, 8]).content["ranges"] == [["p_", 3, 3], ["p_", 9, 1], ["p_", 8, 1]])
    #expect(TaskRanges("p_", [3, 4, 9]).ids == ["p_3", "p_4", "p_9"].map { MessageID($0) })
    #expect(TaskRanges("p_", []).content.members.isEmpty)
  }

  @Test("gaps, several clients, ids of other forms: each comes back as it was")
  func others() {
    let ids = [
      "a_1_5", "a_1_6", "a_1_8", "b_1_9", "b_1_10", "a_1_11", "", "17", "x", "a_1_007", "a_1_0", "a_1_1", "a_1_12_engine", "ü_3",
      "a_1_99999999999999999999", "a_1_9999999999999999", "a_1_5",
    ]
    #expect(again(ids).sorted() == ids.sorted())
    #expect(again([]).isEmpty)
  }

  @Test("random ids come back", arguments: (0..<20).map { _ in SeededGenerator.seed() })
  func random(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let ids = (0..<200).map { _ in "s\(Int.random(in: 0..<3, using: &generator))_\(Int.random(in: 0..<40, using: &generator))" }
    #expect(again(ids).sorted() == ids.sorted())
  }

  @Test("what makes no sense is passed over, and nothing asks for more than the bound")
  func nonsense() {
    let content: JSONObject = [
      "msg_ids": ["a", 3],
      "ranges": [["p", 1], ["p", -1, 3], ["p", 1, 0], [3, 1, 1], "x", ["p", 5, 2], ["p", .int(.max), 2]],
    ]
    #expect(Set(TaskRanges(content).ids.map(\.text)).isSubset(of: ["a", "p5", "p6"]))
    #expect(TaskRanges(["ranges": [["p", 0, .int(TaskRanges.most)], ["p", 0, 1]]]).ids.count == TaskRanges.most)
    #expect(TaskRanges(["ranges": [["p", 0, 1_000_000_000_000]]]).ids.isEmpty)
  }
}
