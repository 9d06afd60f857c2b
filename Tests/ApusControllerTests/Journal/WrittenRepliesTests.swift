import ApusMessaging
import Testing

@testable import ApusController

@Suite("Journal: replies that engines need not keep")
struct WrittenRepliesTests {
  @Test("each engine hears of its own, in their order, and once")
  func engines() {
    var replies = WrittenReplies()
    replies.append("a", of: "e0")
    replies.append("b", of: "e0")
    replies.append(["c", "d"], of: "e1")
    replies.append("e", of: "e0")
    #expect(replies.count == 5)
    let first = replies.take()
    #expect(first == ["e0": ["a", "b", "e"], "e1": ["c", "d"]] && replies.count == 0)
    let nothing = replies.take()
    #expect(nothing.isEmpty)
    // That it is the engine of before says nothing of what was told.
    replies.append("f", of: "e0")
    let second = replies.take()
    #expect(second == ["e0": ["f"]])
  }

  private struct Effects: JournalEffects {
    var told: [[EngineUUID: [MessageID]]] = []
    var delays = 0
    mutating func syncLater(after delay: Duration) {}
    mutating func tellLater(after delay: Duration) { delays += 1 }
    mutating func retryLater(after delay: Duration) {}
    mutating func written(_ ticket: Int, replies: [EngineUUID: [MessageID]]) { told.append(replies) }
    mutating func snapshotWanted() {}
    mutating func closeBacklog() {}
    mutating func suspended(_ reason: String) { Issue.record("\(reason)") }
  }

  /// A disk that takes everything.
  private final class Sink: JournalStorage {
    let directory = "nowhere"
    private(set) var number = 0
    private(set) var bytes = 0
    let isFormerDamaged = false
    func beginSegment(isSynced: Bool) { (number, bytes) = (number + 1, 0) }
    func append(_ block: [UInt8]) { bytes += block.count }
    func sync() {}
    func syncFormer() {}
    func replaceFormer() {}
    func removeClosed(while isObsolete: (_ number: Int, _ bytesLeft: Int) -> Bool) {}
    func removeWritten() {}
    func removeAll() {}
    func removeDirectory() {}
  }

  @Test("engines hear of them in a while, and at once where they would keep much until then")
  func delay() {
    var state = JournalState(Sink(), JournalConfiguration())
    var effects = Effects()
    state.resume(effects: &effects)
    func commit(_ entries: [JournalEntry]) {
      state.commit(JournalBacklog.Taken(turns: [entries], ticket: 1, hasOverflowed: false), effects: &effects)
    }
    commit([JournalBlockTests.submitted("a"), JournalBlockTests.finished("a", "e0"), JournalBlockTests.finished("b", "e1")])
    commit([
      JournalBlockTests.retried("c", "e0", .failed), JournalBlockTests.retried("d", "e0", .engineLost), .accounted("e1", ["e"]),
    ])
    #expect(effects.told.isEmpty && effects.delays == 1)
    state.repliesAreDue(effects: &effects)
    #expect(effects.told == [["e0": ["a", "c"], "e1": ["b", "e"]]])
    commit([JournalBlockTests.finished("large", "e0", bytes: 10 << 20)])
    #expect(effects.told.dropFirst() == [["e0": ["large"]]])
    commit((0..<5000).map { JournalBlockTests.finished(MessageID("t\($0)"), "e0") })
    #expect(effects.told.last?["e0"]?.count == 5000)
    // Nothing more when the time has come.
    let count = effects.told.count
    state.repliesAreDue(effects: &effects)
    #expect(effects.told.count == count)
  }
}
