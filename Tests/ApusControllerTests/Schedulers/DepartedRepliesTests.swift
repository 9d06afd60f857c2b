import ApusMessaging
import Synchronization
import Testing

@testable import ApusController

@Suite("Replies that have left") struct DepartedRepliesTests {
  @Test("who looks is woken once, for all that leave until then, and is told of each after one more look") func looks() {
    let departed = DepartedReplies()
    let wakes = Wakes()
    departed.onFirst { wakes.count.withLock { $0 += 1 } }
    departed.left("a")
    departed.left("b")
    #expect(departed.look() == ([], true))
    departed.left("c")
    #expect(departed.look() == (["a", "b"], true))
    #expect(wakes.count.withLock { $0 } == 1)
    #expect(departed.look() == (["c"], false))
    #expect(departed.look() == ([], false))
    departed.left("d")
    #expect(wakes.count.withLock { $0 } == 2)
  }

  @Test("one that leaves before anybody wants to know is looked at all the same") func early() {
    let departed = DepartedReplies()
    let wakes = Wakes()
    departed.left("a")
    departed.onFirst { wakes.count.withLock { $0 += 1 } }
    #expect(wakes.count.withLock { $0 } == 1)
  }

  private final class Wakes: Sendable { let count = Mutex(0) }
}
