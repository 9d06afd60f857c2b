import Logging
import Synchronization
import Testing

@testable import ApusController

@Suite("Dropped messages in the log")
struct DroppedMessagesTests {
  /// Keeps what is logged.
  private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
  }

  private struct Recorder: LogHandler {
    let lines: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    init(_ lines: Lines) { self.lines = lines }

    func log(event: LogEvent) {
      lines.add("\(event.level) \(event.metadata?["reason"] ?? "") \(event.metadata?["count"] ?? "")")
    }
  }

  @Test("the first is said at once, a flood once in ten seconds with its count, other reasons for themselves")
  func rateLimit() {
    let lines = Lines()
    var log = DroppedMessages("test", logger: Logger(label: "test") { _ in Recorder(lines) })
    let now = ContinuousClock.now
    for number in 0..<1000 { log.note("forged", now: now + .milliseconds(number)) }
    #expect(lines.all == ["warning forged 1"])
    log.note("unsigned", now: now + .seconds(2))
    #expect(lines.all == ["warning forged 1", "warning unsigned 1"])
    log.note("forged", now: now + .seconds(11))
    #expect(lines.all.last == "warning forged 1000")
    for _ in 0..<10 { log.note("forged", now: now + .seconds(12)) }
    #expect(lines.all.count == 3)
  }

  @Test("reasons without end are not kept without end")
  func manyReasons() {
    let lines = Lines()
    var log = DroppedMessages("test", logger: Logger(label: "test") { _ in Recorder(lines) })
    for number in 0..<10_000 { log.note("reason \(number)") }
    #expect(lines.all.count == 64)
  }
}
