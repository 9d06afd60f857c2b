import ApusMessaging
import Testing

@Suite struct RejectionLogTests {
  @Test func oneLineAReasonAndInterval() {
    var log = RejectionLog(interval: .seconds(10))
    let start = ContinuousClock.now
    #expect(log.dropped("forged", now: start) == 1)
    #expect(log.dropped("forged", now: start + .seconds(9)) == nil)
    #expect(log.dropped("forged", now: start + .seconds(9.9)) == nil)
    #expect(log.dropped("replayed", now: start + .seconds(9.9)) == 1)
    #expect(log.dropped("forged", now: start + .seconds(10)) == 3)
    #expect(log.dropped("forged", now: start + .seconds(19)) == nil)
    #expect(log.dropped("forged", now: start + .seconds(20)) == 2)
    // A clock that went back says nothing twice.
    #expect(log.dropped("forged", now: start) == nil)
  }

  @Test func reasonsWithoutEndAreNotKeptWithoutEnd() {
    var log = RejectionLog(interval: .zero, limit: 3)
    #expect((0..<100).compactMap { log.dropped("reason \($0)") } == [1, 1, 1])
    #expect(log.dropped("reason 2") == 1)
    #expect(log.dropped("reason 3") == nil)
  }
}
