import ApusCluster
import Synchronization
import Testing

@Suite struct OrderedWorkTests {
  /// Each waits for the one behind it: they must be at work at the same time.
  @Test func thingsAreDoneTogetherAndToldInOrder() {
    let ended = Mutex<[Int]>([])
    var told: [String] = []
    OrderedWork.run(4, width: 4, tell: { told.append($0) }) { index, say in
      say("\(index) begins")
      while index < 3, !ended.withLock({ $0.contains(index + 1) }) {}
      ended.withLock { $0.append(index) }
      say("\(index) ends")
    }
    #expect(ended.withLock { $0 } == [3, 2, 1, 0])
    #expect(told == (0..<4).flatMap { ["\($0) begins", "\($0) ends"] })
  }

  @Test func noMoreAtATimeThanWanted() {
    let state = Mutex((now: 0, most: 0))
    var told: [Int] = []
    OrderedWork.run(50, width: 3, tell: { told.append($0) }) { index, say in
      state.withLock {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      say(index)
      state.withLock { $0.now -= 1 }
    }
    #expect(told == Array(0..<50) && state.withLock { (1...3).contains($0.most) })
  }

  @Test func nothingToDo() { OrderedWork.run(0, width: 3, tell: { (_: Int) in Issue.record("nobody speaks") }) { _, _ in } }
}
