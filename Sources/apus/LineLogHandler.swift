import ApusCluster
import ApusMessaging
import Glibc
import Logging

/// ipyparallel's log lines: `2026-11-23 12:37:02.580 [IPController] WARNING | text key=value`.
struct LineLogHandler: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level
  private let label: String
  private let write: @Sendable (String) -> Void

  /// - Parameter write: takes each line, with its end.
  init(label: String, level: LogLevel, write: @escaping @Sendable (String) -> Void) {
    self.label = label
    self.write = write
    logLevel =
      switch level {
      case _ where level >= .critical: .critical
      case _ where level >= .error: .error
      case _ where level >= .warning: .warning
      case _ where level >= .info: .info
      default: .debug
      }
  }

  subscript(metadataKey key: String) -> Logger.MetadataValue? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var line = "\(Self.timestamp()) [\(label)] "
    switch event.level {
    case .trace, .debug, .info, .notice: break
    case .warning: line += "WARNING | "
    case .error: line += "ERROR | "
    case .critical: line += "CRITICAL | "
    }
    line += event.message.description.printable
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    for (key, value) in all.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(value.description.printableInLine)" }
    if let error = event.error { line += " error=\("\(error)".printable)" }
    write(line + "\n")
  }

  /// Local time, as Python's logging writes it.
  private static func timestamp() -> String {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    var calendar = tm()
    localtime_r(&time.tv_sec, &calendar)
    func pad(_ number: some BinaryInteger, _ width: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let date = "\(calendar.tm_year + 1900)-\(pad(calendar.tm_mon + 1, 2))-\(pad(calendar.tm_mday, 2))"
    return
      "\(date) \(pad(calendar.tm_hour, 2)):\(pad(calendar.tm_min, 2)):\(pad(calendar.tm_sec, 2)).\(pad(time.tv_nsec / 1_000_000, 3))"
  }
}
