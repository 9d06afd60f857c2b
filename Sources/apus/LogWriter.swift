import Dispatch
import Synchronization
import Transport

/// Writes log lines on a thread of its own: a disk or a pipe that takes nothing holds up the log, and nobody who works.
final class LogWriter: Sendable {
  private struct Waiting {
    var lines: [String] = []
    var bytes = 0
    /// Lines that found no room.
    var missing = 0
  }

  private static let ofThisProgram = Mutex<LogWriter?>(nil)

  static func forThisProgram(_ descriptor: Int32) -> LogWriter {
    let writer = LogWriter(descriptor)
    ofThisProgram.withLock { $0 = writer }
    return writer
  }

  /// At the end of the program, whichever way it came to it.
  static func flush() { ofThisProgram.withLock { $0 }?.flush() }

  private let waiting = Mutex(Waiting())
  private let loop = EventLoop(name: "log")
  private let descriptor: Int32
  private let limit: Int

  /// - Parameter limit: bytes that may wait; what comes then is missing in the log, which says how much.
  init(_ descriptor: Int32, limit: Int = 1 << 20) {
    self.descriptor = descriptor
    self.limit = limit
    loop.start()
  }

  func write(_ line: String) {
    let isFirst = waiting.withLock { waiting in
      guard waiting.bytes + line.utf8.count <= limit else {
        waiting.missing += 1
        return false
      }
      waiting.lines.append(line)
      waiting.bytes += line.utf8.count
      return waiting.lines.count == 1
    }
    if isFirst { loop.execute { self.drain() } }
  }

  private func drain() {
    let taken = waiting.withLock { waiting in
      defer { waiting = Waiting() }
      return waiting
    }
    Terminal.write(taken.lines.joined(), to: descriptor)
    if taken.missing > 0 {
      Terminal.write("\(taken.missing) lines are missing here: the log could not be written fast enough\n", to: descriptor)
    }
  }

  /// Waits for what was said so far, but not for ever: a disk that has stopped must not keep a program from ending.
  private func flush(within seconds: Int = 2) {
    let done = DispatchSemaphore(value: 0)
    loop.execute { done.signal() }
    _ = done.wait(timeout: .now() + .seconds(seconds))
  }
}
