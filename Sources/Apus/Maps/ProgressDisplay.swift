import Glibc
import Synchronization

/// Whether a map draws its progress on a terminal.
public enum ProgressDisplay: Sendable, Hashable {
  /// In a `ClusterProgram` whose standard error is a terminal, if the map takes more than a second.
  case automatic
  case none
  /// On any terminal, with this text before the bar.
  case bar(String)

  /// Set by programs that people watch.
  @TaskLocal static var isProgram = false

  func bar(total: Int?) -> ProgressBar? {
    guard isatty(2) == 1 else { return nil }
    switch self {
    case .none: return nil
    case .automatic: return Self.isProgram ? ProgressBar("", total: total) : nil
    case .bar(let title): return ProgressBar(title, total: total)
    }
  }
}

/// A line on standard error that is drawn again and again, at most ten times a second, and is gone in the end.
final class ProgressBar: Sendable {
  private struct State: Sendable {
    var drawn: ContinuousClock.Instant?
  }

  private let title: String
  private let total: Int?
  private let start = ContinuousClock.now
  private let state = Mutex(State())

  init(_ title: String, total: Int?) {
    self.title = title.isEmpty ? "" : title + " "
    self.total = total
  }

  func update(_ done: Int) {
    let now = ContinuousClock.now
    guard now - start > .seconds(1) else { return }
    let mustDraw = state.withLock { state in
      if let drawn = state.drawn, now - drawn < .milliseconds(100) { return false }
      state.drawn = now
      return true
    }
    if mustDraw { write("\r\u{1B}[K" + line(done, elapsed: (now - start) / .seconds(1))) }
  }

  func finish() {
    if state.withLock({ $0.drawn != nil }) { write("\r\u{1B}[K") }
  }

  func line(_ done: Int, elapsed: Double) -> String {
    let rate = elapsed > 0 ? Double(done) / elapsed : 0
    guard let total, total > 0 else { return "\(title)\(done) · \(Self.round(rate))/s" }
    let width = 30
    let filled = min(width, width * done / total)
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    let left = rate > 0 ? Int(Double(total - done) / rate + 0.5) : 0
    return "\(title)\(bar) \(done)/\(total) · \(Self.round(rate))/s · \(left) s left"
  }

  private static func round(_ rate: Double) -> String {
    rate >= 100 ? "\(Int(rate + 0.5))" : "\((rate * 10).rounded() / 10)"
  }

  private func write(_ text: String) {
    var text = text
    text.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
  }
}
