import ApusMessaging
import Glibc
import Synchronization

/// The engine's own words, on standard error: a line is a timestamp with milliseconds, `[IPEngine]` and the message, as launchers expect.
public enum EngineLog {
  /// Python's numbers, which the command line uses.
  public enum Level: Int, Sendable {
    case debug = 10
    case info = 20
    case warning = 30
    case error = 40
    case critical = 50
  }

  private static let threshold = Atomic<Int>(Level.info.rawValue)
  private static let descriptor = Atomic<Int32>(2)

  /// - Parameters:
  ///   - level: the least level that is written.
  ///   - descriptor: where to, 2 unless the log goes to a file.
  public static func configure(level: Int, descriptor: Int32) {
    threshold.store(level, ordering: .relaxed)
    self.descriptor.store(descriptor, ordering: .relaxed)
  }

  public static func isEnabled(_ level: Level) -> Bool { level.rawValue >= threshold.load(ordering: .relaxed) }

  public static func log(_ level: Level, _ message: @autoclosure () -> String) {
    guard isEnabled(level) else { return }
    write(message())
  }

  /// For levels that come from Python as numbers.
  public static func log(number: Int, _ message: String) {
    guard number >= threshold.load(ordering: .relaxed) else { return }
    write(message)
  }

  /// - Parameter count: messages dropped since the last line about this reason, the last of them now.
  static func dropped(_ count: Int, on socket: String, _ reason: String) {
    let more = count > 1 ? " (and \(count - 1) more since the last line)" : ""
    log(.warning, "Dropped a message on the \(socket) socket: \(reason)\(more)")
  }

  private static func write(_ message: String) {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var local = tm()
    var seconds = now.tv_sec
    localtime_r(&seconds, &local)
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let milliseconds = String(now.tv_nsec / 1_000_000 + 1000).dropFirst()
    let date = "\(local.tm_year + 1900)-\(two(local.tm_mon + 1))-\(two(local.tm_mday))"
    let time = "\(two(local.tm_hour)):\(two(local.tm_min)):\(two(local.tm_sec)).\(milliseconds)"
    var line = "\(date) \(time) [IPEngine] \(message.printable)\n"
    // One write a line: lines of several processes in one file do not mix.
    line.withUTF8 { bytes in _ = Glibc.write(descriptor.load(ordering: .relaxed), bytes.baseAddress, bytes.count) }
  }
}
