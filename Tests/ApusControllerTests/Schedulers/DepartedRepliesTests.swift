import ApusMessaging
import Synchronization
import Testing

@testable import ApusController

@Suite("Replies that have left") struct DepartedRepliesTests {
  @Test("who looks is woken once, for all that leave until then, and is told of each after one more look") func looks() {
    let departed = DepartedReplies()
    let wakes = Wakes()
    departed.onFirst { wakes.count.withLock { $0 += 1 } }
    departed.left(.init(id: "a"))
    departed.left(.init(id: "b"))
    #expect(look(departed) == ([], true))
    departed.left(.init(id: "c"))
    #expect(look(departed) == (["a", "b"], true))
    #expect(wakes.count.withLock { $0 } == 1)
    #expect(look(departed) == (["c"], false))
    #expect(look(departed) == ([], false))
    departed.left(.init(id: "d"))
    #expect(wakes.count.withLock { $0 } == 2)
  }

  @Test("one that leaves before anybody wants to know is looked at all the same") func early() {
    let departed = DepartedReplies()
    let wakes = Wakes()
    departed.left(.init(id: "a"))
    departed.onFirst { wakes.count.withLock { $0 += 1 } }
    #expect(wakes.count.withLock { $0 } == 1)
  }

  private func look(_ departed: DepartedReplies) -> ([MessageID], Bool) {
    let (replies, isToBeContinued) = departed.look()
    return (replies.map(\.id), isToBeContinued)
  }

  private final class Wakes: Sendable { let count = Mutex(0) }
}
