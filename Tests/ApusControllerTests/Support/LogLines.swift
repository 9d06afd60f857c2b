import Logging
import Synchronization

/// Keeps what was logged: `level message reason count`, as far as a line has them.
final class LogLines: Sendable {
  private let lines = Mutex<[String]>([])
  var all: [String] { lines.withLock { $0 } }
  var logger: Logger { Logger(label: "test") { _ in Recorder(lines: self) } }

  private struct Recorder: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let details = ["reason", "count"].compactMap { event.metadata?[$0]?.description }
      lines.lines.withLock { $0.append((["\(event.level)", event.message.description] + details).joined(separator: " ")) }
    }
  }
}
