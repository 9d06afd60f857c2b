/// A template in the form of Python's `str.format`, as ipyparallel fills it in: `{n}`, `{n // 4}`, `{n:03d}`, and `{{` for a brace.
///
/// ipyparallel evaluates what stands in braces as Python. Here it is a variable, or arithmetic with integers: what templates have in practice.
struct BatchTemplate: Sendable, Hashable {
  let text: String
  init(_ text: String) { self.text = text }

  /// - Throws: `ExitCode.failure`, naming the placeholder and what there is.
  func filled(_ variables: [String: String]) throws(ClusterError) -> String {
    var result = ""
    var rest = text[...]
    while let index = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
      result += rest[..<index]
      let brace = rest[index]
      rest = rest[rest.index(after: index)...]
      if rest.first == brace {
        result.append(brace)
        rest.removeFirst()
        continue
      }
      guard brace == "{", let end = rest.firstIndex(of: "}") else {
        throw failure("a single '\(brace)' stands in it", variables)
      }
      result += try value(of: String(rest[..<end]), variables)
      rest = rest[rest.index(after: end)...]
    }
    return result + rest
  }

  private func value(of field: String, _ variables: [String: String]) throws(ClusterError) -> String {
    let parts = field.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let name = String(parts[0]).trimmed
    let form = parts.count > 1 ? String(parts[1]) : ""
    guard let value = variables[name] ?? IntegerExpression(name, variables).value.map(String.init) else {
      throw failure("there is no value for '{\(field)}'", variables)
    }
    return try formatted(value, form, field, variables)
  }

  /// `03d`, `5`, `s`.
  private func formatted(_ value: String, _ form: String, _ field: String, _ variables: [String: String]) throws(ClusterError)
    -> String
  {
    var digits = form[...]
    if digits.last == "d" || digits.last == "s" { digits.removeLast() }
    if digits.isEmpty { return value }
    guard digits.count <= 3, let width = Int(digits) else {
      throw failure("the format of '{\(field)}' is not understood", variables)
    }
    let padding = String(repeating: digits.first == "0" ? "0" : " ", count: max(0, width - value.count))
    return padding + value
  }

  private func failure(_ what: String, _ variables: [String: String]) -> ClusterError {
    ClusterError(
      .failure, "the batch template cannot be filled in: \(what)",
      advice:
        "There are \(variables.keys.sorted().joined(separator: ", ")), and integer arithmetic with them. Braces of the shell are "
        + "written twice: ${{HOME}}.")
  }
}

/// Arithmetic with integers in Python's signs: `n // 4 + 1`, `(n + 3) // 4`, `ceil(n / 4)` as `-(-n // 4)`.
private struct IntegerExpression {
  private var rest: Substring
  private let variables: [String: String]

  init(_ text: String, _ variables: [String: String]) {
    rest = text[...]
    self.variables = variables
  }

  /// `nil` where it is none.
  var value: Int? {
    var parser = self
    guard let value = parser.sum(depth: 0) else { return nil }
    parser.skipSpace()
    return parser.rest.isEmpty ? value : nil
  }

  private mutating func skipSpace() { rest = rest.drop { $0 == " " } }

  private mutating func take(_ sign: String) -> Bool {
    skipSpace()
    guard rest.hasPrefix(sign) else { return false }
    rest = rest.dropFirst(sign.count)
    return true
  }

  private mutating func sum(depth: Int) -> Int? {
    guard depth < 20, var total = product(depth: depth) else { return nil }
    while true {
      let isPlus = take("+")
      guard isPlus || take("-") else { return total }
      guard let next = product(depth: depth) else { return nil }
      let (value, overflow) = isPlus ? total.addingReportingOverflow(next) : total.subtractingReportingOverflow(next)
      guard !overflow else { return nil }
      total = value
    }
  }

  private mutating func product(depth: Int) -> Int? {
    guard var total = factor(depth: depth) else { return nil }
    while true {
      let sign = ["//", "*", "%"].first { take($0) }
      guard let sign else { return total }
      guard let next = factor(depth: depth) else { return nil }
      if sign == "*" {
        let (value, overflow) = total.multipliedReportingOverflow(by: next)
        guard !overflow else { return nil }
        total = value
        continue
      }
      guard next != 0, next != -1 || total != .min else { return nil }
      // Python rounds down.
      let quotient = total / next - (total % next != 0 && (total < 0) != (next < 0) ? 1 : 0)
      total = sign == "//" ? quotient : total - quotient * next
    }
  }

  private mutating func factor(depth: Int) -> Int? {
    guard depth < 20 else { return nil }
    if take("-") { return factor(depth: depth + 1).flatMap { $0 == .min ? nil : -$0 } }
    if take("(") {
      guard let value = sum(depth: depth + 1), take(")") else { return nil }
      return value
    }
    skipSpace()
    let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
    rest = rest.dropFirst(word.count)
    return Int(word) ?? variables[String(word)].flatMap { Int($0) }
  }
}

extension String {
  /// Without the space around it.
  var trimmed: String {
    var text = self[...].drop { $0.isWhitespace }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}
