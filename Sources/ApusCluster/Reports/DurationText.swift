/// Durations as people write and read them.
public enum DurationText {
  /// `2.5` and `2.5s` are seconds; `10m`, `2h`, `1d`.
  /// - Returns: seconds; `nil` for what is no duration of at least 0.
  public static func seconds(_ text: String) -> Double? {
    let factors: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
    var number = text[...]
    var factor = 1.0
    if let last = number.last, let found = factors[last] {
      factor = found
      number.removeLast()
    }
    guard let value = Double(number), value >= 0, value.isFinite, value * factor < 1e12 else { return nil }
    return value * factor
  }

  /// `340 µs`, `12.5 ms`, `1.24 s`, `3 min 5 s`, `2 h 3 min`.
  public static func text(seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e15 else { return "" }
    let seconds = max(0, seconds)
    if seconds < 0.001 { return "\(Int((seconds * 1_000_000).rounded())) µs" }
    if seconds < 1 { return "\(fixed(seconds * 1000, 1)) ms" }
    if seconds < 60 { return "\(fixed(seconds, 2)) s" }
    let whole = Int(seconds.rounded())
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    if whole < 86_400 { return "\(whole / 3600) h \(whole / 60 % 60) min" }
    return "\(whole / 86_400) d \(whole / 3600 % 24) h"
  }

  /// A number with so many digits after the point.
  public static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
    var scale = 1
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return "\(sign)\(scaled)" }
    let fraction = String(scaled % scale)
    return "\(sign)\(scaled / scale).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
  }
}
