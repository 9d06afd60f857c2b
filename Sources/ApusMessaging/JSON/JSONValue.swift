/// A JSON document as a value, RFC 8259.
///
/// Own code because headers are on the hot path, integers must stay integers between Python peers, and an engine must not load Foundation
/// for them. Objects keep the order of their members.
public enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  case int(Int)
  case double(Double)
  /// An integer that does not fit `Int`, in its digits: Python's have no limit.
  case bigInteger(String)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)
}

/// The members of a JSON object in their order. Small by nature: look-ups walk the list.
public struct JSONObject: Sendable, Hashable {
  public private(set) var members: [(key: String, value: JSONValue)]

  public init() { members = [] }

  /// On equal keys the last wins, as in Python.
  public init(members: [(key: String, value: JSONValue)]) {
    self.members = members
    if members.count > 1 { dropShadowed() }
  }

  public subscript(key: String) -> JSONValue? {
    get { members.first { $0.key.isSame(as: key) }?.value }
    set {
      let index = members.firstIndex { $0.key.isSame(as: key) }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (let index?, nil): members.remove(at: index)
      case (nil, let value?): members.append((key, value))
      case (nil, nil): break
      }
    }
  }

  public var isEmpty: Bool { members.isEmpty }
  public var count: Int { members.count }
  public var keys: [String] { members.map(\.key) }

  private mutating func dropShadowed() {
    if members.count <= 16 {
      var index = 0
      while index < members.count {
        if members[(index + 1)...].contains(where: { $0.key.isSame(as: members[index].key) }) {
          members.remove(at: index)
        } else {
          index += 1
        }
      }
      return
    }
    var last: [CodePoints: Int] = [:]
    for (index, member) in members.enumerated() { last[CodePoints(text: member.key)] = index }
    guard last.count < members.count else { return }
    members = members.enumerated().filter { last[CodePoints(text: $0.element.key)] == $0.offset }.map(\.element)
  }

  /// Order does not matter, as in Python.
  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.count == b.count && a.members.allSatisfy { b[$0.key] == $0.value }
  }

  public func hash(into hasher: inout Hasher) {
    var combined = 0
    for member in members {
      var one = Hasher()
      one.combine(member.key)
      one.combine(member.value)
      combined ^= one.finalize()
    }
    hasher.combine(combined)
  }
}

extension String {
  /// Keys are equal by their code points, as in Python: `==` also takes for equal what looks the same (é as one code point and as two).
  fileprivate func isSame(as other: String) -> Bool { self == other && utf8.elementsEqual(other.utf8) }
}

/// A text as a dictionary's key, equal by its code points.
private struct CodePoints: Hashable {
  let text: String
  static func == (a: CodePoints, b: CodePoints) -> Bool { a.text.isSame(as: b.text) }
  func hash(into hasher: inout Hasher) { hasher.combine(text) }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(members: elements.map { (key: $0.0, value: $0.1) }) }
}

// MARK: reading

extension JSONValue {
  public subscript(key: String) -> JSONValue? { objectValue?[key] }

  public var isNull: Bool { self == .null }
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  public var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  public var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// An integer, or a double without a fraction.
  public var intValue: Int? {
    switch self {
    case .int(let value): value
    case .double(let value): Int(exactly: value)
    default: nil
    }
  }

  public var doubleValue: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    case .bigInteger(let digits): Double(digits)
    default: nil
    }
  }

  /// All elements, if this is an array of strings.
  public var stringArrayValue: [String]? {
    guard let elements = arrayValue else { return nil }
    let strings = elements.compactMap(\.stringValue)
    return strings.count == elements.count ? strings : nil
  }

  /// What Python calls truth: the wire has `0`, `null`, `""` and `[]` for "no".
  public var isTruthy: Bool {
    switch self {
    case .null: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .double(let value): value != 0
    case .bigInteger: true
    case .string(let value): !value.isEmpty
    case .array(let value): !value.isEmpty
    case .object(let value): !value.isEmpty
    }
  }
}

// MARK: writing literals

// No nil literal: `flag ? nil : value` would silently become `.null` where an optional is meant.
extension JSONValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int) { self = .int(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(members: elements.map { (key: $0.0, value: $0.1) }))
  }

  public init(_ value: String?) { self = value.map { .string($0) } ?? .null }
  public init(_ strings: [String]) { self = .array(strings.map { .string($0) }) }
}

extension JSONObject {
  public static func == (a: JSONObject, b: JSONValue) -> Bool { .object(a) == b }
}
