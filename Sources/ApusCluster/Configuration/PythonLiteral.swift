public import ApusMessaging

/// Reads the literals of Python that stand in configuration files: numbers, texts, lists, tuples, dictionaries, `True`, `False`, `None`.
///
/// Not an interpreter, on purpose: whoever wants computed values writes JSON from them.
public struct PythonLiteral {
  public struct Failure: Error, Hashable, Sendable {}

  private let scalars: [Unicode.Scalar]
  private var index = 0
  private var depth = 0
  private static let deepest = 100

  private init(_ text: String) { scalars = Array(text.unicodeScalars) }

  /// - Throws: on anything but one literal, with nothing but space and a comment after it.
  public static func parse(_ text: String) throws(Failure) -> JSONValue {
    var parser = PythonLiteral(text)
    let value = try parser.value()
    parser.skipSpace()
    guard parser.index == parser.scalars.count else { throw Failure() }
    return value
  }

  /// Whether the text has brackets or triple quotes that later lines must close.
  static func isOpen(_ text: String) -> Bool {
    var scanner = PythonLiteral(text)
    var open = 0
    while scanner.index < scanner.scalars.count {
      switch scanner.scalars[scanner.index] {
      case "#": scanner.skipComment()
      case "'", "\"": guard (try? scanner.quoted(raw: false)) != nil else { return true }
      case "[", "(", "{":
        open += 1
        scanner.index += 1
      case "]", ")", "}":
        open -= 1
        scanner.index += 1
      default: scanner.index += 1
      }
    }
    return open > 0
  }

  private mutating func skipComment() { while index < scalars.count, scalars[index] != "\n" { index += 1 } }

  private mutating func skipSpace() {
    while index < scalars.count {
      switch scalars[index] {
      case " ", "\t", "\n", "\r": index += 1
      case "#": skipComment()
      default: return
      }
    }
  }

  private func peek() -> Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

  private mutating func value() throws(Failure) -> JSONValue {
    skipSpace()
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest, let next = peek() else { throw Failure() }
    switch next {
    case "[": return .array(try elements(until: "]").values)
    case "(":
      let (values, sawComma) = try elements(until: ")")
      // Parentheses around one value are no tuple.
      if values.count == 1, !sawComma, let only = values.first { return only }
      return .array(values)
    case "{": return try dictionary()
    case "'", "\"": return .string(try strings())
    case "+", "-", ".", "0"..."9": return try number()
    default: return try word()
    }
  }

  private mutating func elements(until end: Unicode.Scalar) throws(Failure) -> (values: [JSONValue], sawComma: Bool) {
    index += 1
    var values: [JSONValue] = []
    var sawComma = false
    while true {
      skipSpace()
      if peek() == end {
        index += 1
        return (values, sawComma)
      }
      values.append(try value())
      skipSpace()
      if peek() == "," {
        sawComma = true
        index += 1
      } else if peek() != end {
        throw Failure()
      }
    }
  }

  private mutating func dictionary() throws(Failure) -> JSONValue {
    index += 1
    var object = JSONObject()
    while true {
      skipSpace()
      if peek() == "}" {
        index += 1
        return .object(object)
      }
      let key = try value()
      skipSpace()
      guard peek() == ":" else { throw Failure() }
      index += 1
      object[key.stringValue ?? key.text] = try value()
      skipSpace()
      if peek() == "," { index += 1 } else if peek() != "}" { throw Failure() }
    }
  }

  private mutating func word() throws(Failure) -> JSONValue {
    let start = index
    while let next = peek(), next.properties.isAlphabetic || next == "_" || ("0"..."9").contains(next) { index += 1 }
    let name = String(String.UnicodeScalarView(scalars[start..<index]))
    switch name {
    case "True": return true
    case "False": return false
    case "None": return .null
    default: break
    }
    // The prefixes of texts: bytes become text, which is what every trait of theirs takes.
    guard (1...2).contains(name.count), name.lowercased().allSatisfy({ "rbu".contains($0) }), peek() == "'" || peek() == "\"" else {
      throw Failure()
    }
    var text = try quoted(raw: name.lowercased().contains("r"))
    text += try moreStrings()
    return .string(text)
  }

  private mutating func number() throws(Failure) -> JSONValue {
    let start = index
    while let next = peek(), next.isASCII,
      next.properties.isAlphabetic || ("0"..."9").contains(next) || "+-._".unicodeScalars.contains(next)
    {
      index += 1
    }
    let text = String(String.UnicodeScalarView(scalars[start..<index].filter { $0 != "_" }))
    if let integer = Int(text) { return .int(integer) }
    if text.hasPrefix("0x"), let integer = Int(text.dropFirst(2), radix: 16) { return .int(integer) }
    if text.hasPrefix("0o"), let integer = Int(text.dropFirst(2), radix: 8) { return .int(integer) }
    guard let double = Double(text), double.isFinite else { throw Failure() }
    return .double(double)
  }

  private mutating func strings() throws(Failure) -> String {
    let text = try quoted(raw: false)
    return text + (try moreStrings())
  }

  /// Texts that stand side by side are one.
  private mutating func moreStrings() throws(Failure) -> String {
    var text = ""
    while true {
      let mark = index
      skipSpace()
      guard peek() == "'" || peek() == "\"" else {
        index = mark
        return text
      }
      text += try quoted(raw: false)
    }
  }

  private mutating func quoted(raw: Bool) throws(Failure) -> String {
    guard let quote = peek() else { throw Failure() }
    let isTriple = index + 2 < scalars.count && scalars[index + 1] == quote && scalars[index + 2] == quote
    index += isTriple ? 3 : 1
    var text = String.UnicodeScalarView()
    while let next = peek() {
      if next == quote, !isTriple {
        index += 1
        return String(text)
      }
      if isTriple, next == quote, index + 2 < scalars.count, scalars[index + 1] == quote, scalars[index + 2] == quote {
        index += 3
        return String(text)
      }
      if next == "\n", !isTriple { throw Failure() }
      index += 1
      if next == "\\" {
        guard let escape = peek() else { throw Failure() }
        index += 1
        if raw { text.append(contentsOf: [next, escape]) } else { try append(escape, to: &text) }
      } else {
        text.append(next)
      }
    }
    throw Failure()
  }

  private mutating func append(_ escape: Unicode.Scalar, to text: inout String.UnicodeScalarView) throws(Failure) {
    switch escape {
    case "n": text.append("\n")
    case "t": text.append("\t")
    case "r": text.append("\r")
    case "0": text.append("\0")
    case "\\", "'", "\"": text.append(escape)
    case "\n": break
    case "x", "u":
      let count = escape == "x" ? 2 : 4
      guard index + count <= scalars.count,
        let code = UInt32(String(String.UnicodeScalarView(scalars[index..<index + count])), radix: 16),
        let scalar = Unicode.Scalar(code)
      else { throw Failure() }
      index += count
      text.append(scalar)
    default: text.append(contentsOf: ["\\", escape])
    }
  }
}
