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
}
