import ApusCluster
import Glibc

/// Words for people: results on standard output, everything else on standard error, colours only where somebody looks.
struct Terminal {
  private let isColoured: Bool
  private let isInteractive: Bool
  /// Whether somebody looks at standard output.
  let isOutputInteractive: Bool
  /// Whether colours go to standard output and to standard error.
  let isOutputColoured: Bool
  var isErrorColoured: Bool { isColoured }

  init() {
    isInteractive = isatty(STDERR_FILENO) != 0
    isColoured = isInteractive && getenv("NO_COLOR") == nil
    isOutputInteractive = isatty(STDOUT_FILENO) != 0
    isOutputColoured = isOutputInteractive && getenv("NO_COLOR") == nil
  }

  /// Results. Where nobody takes them there is nothing more to do: the command ends, as `ExitCode` and docs/commands.md say.
  func print(_ text: String) { Self.printResult(text) }

  /// As `print`, for those who have no terminal at hand.
  static func printResult(_ text: String) {
    guard let code = write(text, to: STDOUT_FILENO) else { return }
    // Whoever closed the pipe has what it wanted, and wants to hear no more.
    if code == EPIPE { exit(ExitCode.closedPipe.rawValue) }
    write("error: the output cannot be written: \(String(cString: strerror(code)))\n", to: STDERR_FILENO)
    exit(ExitCode.outputFailed.rawValue)
  }

  func error(_ error: ClusterError) {
    // ipyparallel's word for what ends a command, under its names.
    let word = Invocation.face == "apus" ? "error:" : "CRITICAL:"
    Self.write("\(red(word)) \(error.reason)\n", to: STDERR_FILENO)
    if let advice = error.advice { Self.write("  \(advice)\n", to: STDERR_FILENO) }
  }

  /// One paragraph about how things go.
  func note(_ level: LogLevel, _ text: String) {
    clearProgress()
    let mark = level >= .error ? red("error:") + " " : level >= .warning ? yellow("warning:") + " " : ""
    Self.write("\(mark)\(text)\n", to: STDERR_FILENO)
  }

  /// A line that the next one replaces; nothing where nobody looks.
  func progress(_ text: String?) {
    guard isInteractive else { return }
    Self.write(text.map { "\r\u{1B}[K\($0)" } ?? "\r\u{1B}[K", to: STDERR_FILENO)
  }

  private func clearProgress() { progress(nil) }

  private func red(_ text: String) -> String { isColoured ? "\u{1B}[31m\(text)\u{1B}[0m" : text }
  private func yellow(_ text: String) -> String { isColoured ? "\u{1B}[33m\(text)\u{1B}[0m" : text }

  /// - Returns: why it could not be written, if it could not.
  @discardableResult
  static func write(_ text: String, to descriptor: Int32) -> Int32? {
    var text = text
    return text.withUTF8 { bytes -> Int32? in
      var rest = UnsafeRawBufferPointer(bytes)
      while let start = rest.baseAddress, !rest.isEmpty {
        let count = Glibc.write(descriptor, start, rest.count)
        if count < 0, errno == EINTR { continue }
        if count <= 0 { return errno }
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      }
      return nil
    }
  }
}
