import ApusMessaging

/// What went wrong with a value.
struct TraitError: Error, Hashable {
  /// The value as a person wrote it.
  let shown: String
}

/// What a trait takes, and how text of the command line becomes it.
public enum TraitKind: Sendable, Hashable {
  case integer(atLeast: Int?)
  /// From 0 on, with a limit that says so: a slip of the finger must not fill a machine.
  case count(most: Int)
  case number
  /// A number of seconds from 0 on, of a year at most.
  case seconds
  /// Text or a number; becomes seconds.
  case duration
  case bool
  case text
  case texts
  /// Ports and ranges: `10101-10110,10200`, or a list of numbers.
  case ports
  case dictionary
  case logLevel
  case choice([String])
  case any

  /// A year of seconds.
  private static let mostSeconds = 31_536_000

  static let integer = TraitKind.integer(atLeast: nil)

  /// For an error: "should be …".
  var expectation: String {
    switch self {
    case .integer(let least): least.map { "an integer of at least \($0)" } ?? "an integer"
    case .count(let most): "an integer from 0 to \(most)"
    case .number: "a number"
    case .seconds: "a number of seconds from 0 to \(Self.mostSeconds)"
    case .duration: "a time like 2.5, 30s, 10m or 2h (seconds without a unit)"
    case .bool: "True or False"
    case .text: "text"
    case .texts: "a list of texts"
    case .ports: "ports from 1 to 65535, like 10101-10120,10200"
    case .dictionary: "a dictionary"
    case .logLevel: "0, 10, 20, 30, 40, 50, DEBUG, INFO, WARN, ERROR or CRITICAL"
    case .choice(let names): "one of \(names.joined(separator: ", "))"
    case .any: "a value"
    }
  }

  /// For help texts: what stands for the value.
  var placeholder: String {
    switch self {
    case .integer: "INTEGER"
    case .count: "INTEGER"
    case .number: "NUMBER"
    case .seconds: "SECONDS"
    case .duration: "SECONDS"
    case .bool: "BOOL"
    case .text: "TEXT"
    case .texts: "LIST"
    case .ports: "PORTS"
    case .dictionary: "KEY=VALUE"
    case .logLevel: "LEVEL"
    case .choice(let names): names.joined(separator: "|")
    case .any: "VALUE"
    }
  }

  /// - Parameter isText: whether the value came as text (command line, environment) and may have to be read.
  func convert(_ value: JSONValue, isText: Bool) throws(TraitError) -> JSONValue {
    let refused = TraitError(shown: value.stringValue.map { "'\($0)'" } ?? value.text)
    switch self {
    case .any: return value
    case .text:
      if isText, let texts = value.arrayValue, let last = texts.last { return last }
      guard value.stringValue != nil || value.isNull else { throw refused }
      return value.isNull ? "" : value
    case .integer(let least):
      var number: Int?
      if case .int(let exact) = value { number = exact } else if isText, let text = value.stringValue { number = Int(text) }
      guard let number, number >= least ?? .min else { throw refused }
      return .int(number)
    case .count(let most):
      let number = try TraitKind.integer(atLeast: 0).convert(value, isText: isText)
      guard let count = number.intValue, count <= most else { throw refused }
      return number
    case .seconds:
      let number = try TraitKind.number.convert(value, isText: isText)
      guard let seconds = number.doubleValue, (0...Double(Self.mostSeconds)).contains(seconds) else { throw refused }
      return number
    case .number:
      guard let number = value.doubleValue ?? (isText ? value.stringValue.flatMap(Double.init) : nil), number.isFinite else {
        throw refused
      }
      return .double(number)
    case .duration:
      let written = value.doubleValue.map { "\($0)" } ?? value.stringValue
      guard let seconds = written.flatMap(DurationText.seconds) else { throw refused }
      return .double(seconds)
    case .bool:
      if let bool = value.boolValue { return .bool(bool) }
      guard isText, let text = value.stringValue?.lowercased() else { throw refused }
      switch text {
      case "true", "1", "yes", "on": return true
      case "false", "0", "no", "off": return false
      default: throw refused
      }
    case .logLevel:
      if let level = LogLevel(value) { return .int(level.rawValue) }
      throw refused
    case .choice(let names):
      guard let text = value.stringValue, let name = names.first(where: { $0.lowercased() == text.lowercased() }) else {
        throw refused
      }
      return .string(name)
    case .texts: return try texts(value, isText: isText, refused)
    case .ports: return try ports(value, refused)
    case .dictionary: return try dictionary(value, isText: isText, refused)
    }
  }

  private func texts(_ value: JSONValue, isText: Bool, _ refused: TraitError) throws(TraitError) -> JSONValue {
    if isText, let text = value.stringValue {
      if text.hasPrefix("["), let list = try? PythonLiteral.parse(text), list.stringArrayValue != nil { return list }
      return .array([value])
    }
    guard value.stringArrayValue != nil else { throw refused }
    return value
  }

  private func ports(_ value: JSONValue, _ refused: TraitError) throws(TraitError) -> JSONValue {
    var ports: [Int] = []
    func add(_ value: JSONValue) throws(TraitError) {
      if case .int(let port) = value {
        ports.append(port)
        return
      }
      guard let text = value.stringValue else { throw refused }
      for range in text.split(separator: ",", omittingEmptySubsequences: false) {
        let ends = range.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int(Self.trimmed($0)) }
        guard let first = ends.first, let first, let last = ends.last, let last, (1...65_535).contains(first),
          (1...65_535).contains(last)
        else { throw refused }
        if first <= last { ports += first...last }
      }
    }
    if let elements = value.arrayValue { for element in elements { try add(element) } } else { try add(value) }
    guard ports.allSatisfy({ (1...65_535).contains($0) }) else { throw refused }
    return .array(ports.map { .int($0) })
  }

  private func dictionary(_ value: JSONValue, isText: Bool, _ refused: TraitError) throws(TraitError) -> JSONValue {
    if value.objectValue != nil { return value }
    guard isText else { throw refused }
    var object = JSONObject()
    for element in value.arrayValue ?? [value] {
      guard let text = element.stringValue else { throw refused }
      if text.hasPrefix("{"), let parsed = try? PythonLiteral.parse(text).objectValue {
        for member in parsed.members { object[member.key] = member.value }
      } else if let equals = text.firstIndex(of: "=") {
        object[String(text[..<equals])] = .string(String(text[text.index(after: equals)...]))
      } else {
        throw refused
      }
    }
    return .object(object)
  }

  private static func trimmed(_ text: Substring) -> Substring {
    var text = text.drop { $0 == " " }
    while text.last == " " { text.removeLast() }
    return text
  }
}
