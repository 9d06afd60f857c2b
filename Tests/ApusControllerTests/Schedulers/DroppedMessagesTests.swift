import Testing

@testable import ApusController

@Suite("Dropped messages in the log")
struct DroppedMessagesTests {
  @Test("the first is said at once, a flood once in ten seconds with its count, other reasons for themselves")
  func rateLimit() {
    let lines = LogLines()
    var log = DroppedMessages("test", logger: lines.logger)
    let now = ContinuousClock.now
    for number in 0..<1000 { log.note("forged", now: now + .milliseconds(number)) }
    #expect(lines.all == ["warning dropped messages forged 1"])
    log.note("unsigned", now: now + .seconds(2))
    #expect(lines.all == ["warning dropped messages forged 1", "warning dropped messages unsigned 1"])
    log.note("forged", now: now + .seconds(11))
    #expect(lines.all.last == "warning dropped messages forged 1000")
    for _ in 0..<10 { log.note("forged", now: now + .seconds(12)) }
    #expect(lines.all.count == 3)
  }

  @Test("reasons without end are not kept without end")
  func manyReasons() {
    let lines = LogLines()
    var log = DroppedMessages("test", logger: lines.logger)
    for number in 0..<10_000 { log.note("reason \(number)") }
    #expect(lines.all.count == 64)
  }
}
