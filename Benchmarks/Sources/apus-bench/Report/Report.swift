import ApusMessaging
import Glibc

/// The numbers of one command: a table for people, one flat JSON object on one line for programs.
struct Report {
  private enum Row {
    case number(key: String, label: String, value: Double, digits: Int, unit: String, spread: (Double, Double)?)
    case text(key: String, label: String, value: String)
  }

  private var rows: [Row] = []
  let title: String

  init(_ title: String) { self.title = title }

  mutating func add(_ key: String, _ label: String, _ value: Double, digits: Int = 0, _ unit: String = "") {
    rows.append(.number(key: key, label: label, value: value, digits: digits, unit: unit, spread: nil))
  }

  mutating func add(_ key: String, _ label: String, _ value: Int, _ unit: String = "") {
    add(key, label, Double(value), digits: 0, unit)
  }

  /// The median under the key itself, the ends under `<key>_least` and `<key>_greatest`.
  mutating func add(_ key: String, _ label: String, _ spread: Spread, digits: Int = 0, _ unit: String = "") {
    if spread.isEmpty { return }
    rows.append(
      .number(
        key: key, label: label, value: spread.median, digits: digits, unit: unit,
        spread: spread.least == spread.greatest ? nil : (spread.least, spread.greatest)))
  }

  mutating func add(_ key: String, _ label: String, _ text: String) { rows.append(.text(key: key, label: label, value: text)) }

  /// How the threads of a process share its time.
  mutating func add(_ who: String, threads: [(name: String, seconds: Double)], tasks: Int) {
    for (name, seconds) in threads where seconds / Double(tasks) * 1e6 >= 0.05 {
      let key = String(name.map { $0.isLetter || $0.isNumber ? $0 : "_" })
      add("\(who)_thread_\(key)_us", "  thread \(name)", seconds / Double(tasks) * 1e6, digits: 1, "µs")
    }
  }

  func print(json: Bool) {
    if json {
      var object = JSONObject()
      for row in rows {
        switch row {
        case .number(let key, _, let value, let digits, _, let spread):
          object[key] = Self.value(value, digits)
          if let spread {
            object["\(key)_least"] = Self.value(spread.0, digits)
            object["\(key)_greatest"] = Self.value(spread.1, digits)
          }
        case .text(let key, _, let value): object[key] = .string(value)
        }
      }
      Swift.print(JSONValue.object(object).text)
      return
    }
    Swift.print(title)
    let lines = rows.map { row -> (label: String, value: String, rest: String) in
      switch row {
      case .number(_, let label, let value, let digits, let unit, let spread):
        let ends = spread.map { "   (\(Self.text($0.0, digits)) – \(Self.text($0.1, digits)))" } ?? ""
        return (label, Self.text(value, digits), unit + ends)
      case .text(_, let label, let value): return (label, "", value)
      }
    }
    let labels = lines.map(\.label.count).max() ?? 0
    let values = lines.map(\.value.count).max() ?? 0
    for line in lines {
      let gap = String(repeating: " ", count: labels - line.label.count + 2 + values - line.value.count)
      Swift.print("  \(line.label)\(gap)\(line.value) \(line.rest)")
    }
  }

  private static func value(_ number: Double, _ digits: Int) -> JSONValue {
    guard number.isFinite else { return .null }
    if digits == 0, abs(number) < 1e15 { return .int(Int(number.rounded())) }
    let scale = power(digits)
    return .double((number * scale).rounded() / scale)
  }

  /// With groups of three digits.
  private static func text(_ number: Double, _ digits: Int) -> String {
    guard number.isFinite, abs(number) < 1e15 else { return "–" }
    let scale = power(digits)
    let scaled = Int((abs(number) * scale).rounded())
    let (whole, fraction) = scaled.quotientAndRemainder(dividingBy: Int(scale))
    var grouped = ""
    for (index, digit) in String(whole).reversed().enumerated() {
      if index > 0, index % 3 == 0 { grouped = " " + grouped }
      grouped = String(digit) + grouped
    }
    if digits > 0 {
      let text = String(fraction)
      grouped += "." + String(repeating: "0", count: digits - text.count) + text
    }
    return number < 0 ? "-" + grouped : grouped
  }

  private static func power(_ digits: Int) -> Double {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    return scale
  }
}

/// What happens meanwhile, for people who wait: on the terminal only.
func note(_ text: String) {
  guard isatty(STDERR_FILENO) == 1 else { return }
  let line = Array("\(text)\n".utf8)
  write(STDERR_FILENO, line, line.count)
}
