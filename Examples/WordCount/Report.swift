import Apus

/// What a run found, for people and for programs.
struct Report {
  let serial: Duration
  let direct: Duration
  let balanced: Duration
  let counts: [String: Int]
  let engines: Int
  let file: String

  private var top: [(key: String, value: Int)] {
    Array(counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(10))
  }
  private var total: Int { counts.values.reduce(0, +) }

  var json: String {
    let top = top.map { JSONValue.array([.string($0.key), .int($0.value)]) }
    let object: JSONValue = [
      "file": .string(file), "engines": .int(engines), "serial_s": .double(seconds(serial)), "direct_s": .double(seconds(direct)),
      "balanced_s": .double(seconds(balanced)), "distinct": .int(counts.count), "total": .int(total), "top": .array(top),
    ]
    return object.text
  }

  var table: String {
    var lines = ["\(total) words, \(counts.count) different ones, in \(file)", ""]
    for (word, count) in top { lines.append(pad("\(count)", 9) + "  " + word) }
    lines.append("")
    for (name, time) in [("serial", serial), ("direct, \(engines) engines", direct), ("balanced, \(engines) engines", balanced)] {
      let milliseconds = (seconds(time) * 10_000).rounded() / 10
      let factor = (seconds(serial) / seconds(time) * 100).rounded() / 100
      lines.append("  \(name)".padded(24) + pad("\(milliseconds) ms", 12) + pad("\(factor)×", 8))
    }
    return lines.joined(separator: "\n")
  }

  private func seconds(_ duration: Duration) -> Double { max(1e-9, duration / .seconds(1)) }
  private func pad(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
}

extension String {
  func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
