import ApusMessaging
import Transport

/// What is called: a name that Python knows, or source.
enum PythonFunction: Sendable {
  case named(String)
  case source(String)

  /// For errors: the name, or the first line of the source.
  var name: String {
    switch self {
    case .named(let name): return name
    case .source(let source):
      let first = source.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
      return first.count > 60 ? "\(first.prefix(57))..." : first
    }
  }

  /// - Parameters:
  ///   - each: for the elements of arrays.
  ///   - discards: whatever it returns stays there.
  func head(each: Bool = false, discards: Bool = false) throws(ClientError) -> Frame {
    var head = PythonCall.Head("apply")
    switch self {
    case .named(let name): head.function = name
    case .source(let source): head.source = source
    }
    if each { head.each = true }
    if discards { head.discards = true }
    return try head.frame()
  }

  func call<each Argument: Encodable>(
    _ arguments: repeat each Argument, keywords: [String: any Encodable & Sendable], discards: Bool = false
  ) throws(ClientError) -> PythonCall {
    try PythonCall(
      name, head: try head(discards: discards), CallArguments(Positional(repeat each arguments), NamedValues(keywords)))
  }
}

/// The arguments of a call: an array of the positional ones, and a map of the others.
struct CallArguments<First: Encodable>: Encodable {
  let positional: First
  let keywords: NamedValues

  init(_ positional: First, _ keywords: NamedValues) {
    self.positional = positional
    self.keywords = keywords
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.unkeyedContainer()
    try container.encode(positional)
    try container.encode(keywords)
  }
}

/// Values of several types as one array.
struct Positional<each Value: Encodable>: Encodable {
  let values: (repeat each Value)

  init(_ values: repeat each Value) { self.values = (repeat each values) }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.unkeyedContainer()
    for value in repeat each values { try container.encode(value) }
  }
}

/// Values of several types as a map.
struct NamedValues: Encodable {
  let values: [String: any Encodable & Sendable]

  init(_ values: [String: any Encodable & Sendable]) { self.values = values }

  private struct Name: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Name.self)
    for (name, value) in values { try container.encode(value, forKey: Name(stringValue: name)) }
  }
}
