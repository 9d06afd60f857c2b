import Testing
import Transport

@Suite("A mutex that survives forks") struct ForkSafeMutexTests {
  private final class Counted: Sendable {
    let mutex = ForkSafeMutex((count: 0, names: [String]()))
  }
  private struct Refused: Error {}

  @Test("one after another, and errors come out") func exclusion() async {
    let counted = Counted()
    await withTaskGroup(of: Void.self) { group in
      for worker in 0..<4 {
        group.addTask {
          for _ in 0..<5000 { counted.mutex.withLock { $0.count += 1 } }
          counted.mutex.withLock { $0.names.append("\(worker)") }
        }
      }
    }
    #expect(counted.mutex.withLock { $0.count } == 20_000)
    #expect(counted.mutex.withLock { $0.names.sorted() } == ["0", "1", "2", "3"])
    #expect(throws: Refused.self) { try counted.mutex.withLock { _ in throw Refused() } }
    // It is open again.
    counted.mutex.withLock { $0.count = 1 }
  }

  @Test("what it holds goes with it") func end() {
    final class Thing: Sendable {}
    weak var seen: Thing?
    do {
      let thing = Thing()
      seen = thing
      let mutex = ForkSafeMutex<Thing?>(thing)
      #expect(mutex.withLock { $0 } === thing)
    }
    #expect(seen == nil)
  }
}
