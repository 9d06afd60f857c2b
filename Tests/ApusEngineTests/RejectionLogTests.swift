@testable import ApusEngine
import Testing

@Suite struct RejectionLogTests {
  @Test func oneLineAReasonAndInterval() {
    var log = RejectionLog(interval: .seconds(10))
    let start = ContinuousClock.now
    let written = [
      log.line(for: "forged", socket: "shell", now: start),
      log.line(for: "forged", socket: "shell", now: start + .seconds(9)),
      log.line(for: "forged", socket: "shell", now: start + .seconds(9)),
      log.line(for: "forged", socket: "control", now: start + .seconds(9)),
      log.line(for: "replayed", socket: "shell", now: start + .seconds(9)),
      log.line(for: "forged", socket: "shell", now: start + .seconds(11)),
    ]
    #expect(written.map { $0 != nil } == [true, false, false, true, true, true])
    #expect(written.last??.contains("and 2 more") == true)
  }
}
