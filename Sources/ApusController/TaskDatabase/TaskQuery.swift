public import ApusMessaging

/// Which records a client asks for: MongoDB's language as far as ipyparallel speaks it, `{"engine_uuid": …, "completed": {"$gt": …}}`.
///
/// A plain value asks for equality, an object holds operators; all tests must hold. Unlike in ipyparallel's in-memory database, `$gt` means
/// greater, and several keys are all heard.
public struct TaskQuery: Hashable, Sendable {
  /// How a field is compared.
  public enum Operator: String, CaseIterable, Hashable, Sendable {
    case lessThan = "$lt"
    case greaterThan = "$gt"
    case equal = "$eq"
    case notEqual = "$ne"
    case lessOrEqual = "$lte"
    case greaterOrEqual = "$gte"
    /// One of a list.
    case `in` = "$in"
    case notIn = "$nin"
    /// The field is a list, and has all of these.
    case all = "$all"
    /// `[divisor, remainder]`.
    case modulo = "$mod"
    /// Whether the field has a value at all.
    case exists = "$exists"
    /// A pattern as for files: `*`, `?`, `[a-z]`, `[!a-z]`.
    case glob = "$glob"
  }

  /// One field compared in one way.
  public struct Test: Hashable, Sendable {
    public let field: TaskRecord.Field
    public let `operator`: Operator
    /// As the client wrote it.
    public let operand: JSONValue
    /// The operand as it is compared, read once.
    let prepared: Operand
  }

  enum Operand: Hashable, Sendable {
    case value(Comparable)
    case list([Comparable])
    case modulo(divisor: Int, remainder: Int)
    case exists(Bool)
    case glob(GlobPattern)
  }

  public private(set) var tests: [Test]

  /// Every record.
  public static let all = TaskQuery(tests: [])

  /// The records of these tasks.
  public static func ids(_ ids: [MessageID]) -> TaskQuery {
    let texts = ids.map { JSONValue.string($0.text) }
    let prepared = Operand.list(texts.map { .json($0) })
    return TaskQuery(tests: [Test(field: .msg_id, operator: .in, operand: .array(texts), prepared: prepared)])
  }

  init(tests: [Test]) { self.tests = tests }

  /// Reads the `query` of a `db_request`; `null` and `{}` ask for every record.
  /// - Throws: `invalidQuery` on fields and operators that do not exist, and on operands that an operator cannot compare with.
  public init(_ json: JSONValue) throws(TaskDatabaseError) {
    tests = []
    if json.isNull { return }
    guard let members = json.objectValue?.members else { throw .query("a query is a dictionary of fields") }
    for (name, value) in members {
      guard let field = TaskRecord.Field(rawValue: name) else {
        throw .query(
          "there is no field \(quoted(name)); there are \(TaskRecord.Field.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      guard let operators = value.objectValue?.members else {
        tests.append(try Test(field, .equal, value))
        continue
      }
      for (name, operand) in operators {
        guard let `operator` = Operator(rawValue: name) else {
          let known = Operator.allCases.map(\.rawValue).joined(separator: ", ")
          throw .query("there is no operator \(quoted(name)) (for \(field.rawValue)); there are \(known)")
        }
        tests.append(try Test(field, `operator`, operand))
      }
    }
  }

  /// The only tasks that can match, if the query names them: databases look these up instead of searching.
  var ids: [MessageID]? {
    for test in tests where test.field == .msg_id {
      switch (test.operator, test.prepared) {
      case (.equal, .value(.json(.string(let id)))): return [MessageID(id)]
      case (.in, .list(let values)):
        var seen: Set<MessageID> = []
        return values.compactMap {
          if case .json(.string(let id)) = $0, seen.insert(MessageID(id)).inserted { MessageID(id) } else { nil }
        }
      default: continue
      }
    }
    return nil
  }
}

extension TaskQuery.Test {
  init(_ field: TaskRecord.Field, _ `operator`: TaskQuery.Operator, _ operand: JSONValue) throws(TaskDatabaseError) {
    func wrong(_ wanted: String) -> TaskDatabaseError { .query("\(`operator`.rawValue) (for \(field.rawValue)) needs \(wanted)") }
    let prepared: TaskQuery.Operand
    switch `operator` {
    case .equal, .notEqual: prepared = .value(TaskQuery.Comparable(operand, for: field))
    case .lessThan, .greaterThan, .lessOrEqual, .greaterOrEqual:
      let value = TaskQuery.Comparable(operand, for: field)
      if field.isDate {
        guard case .date = value else { throw wrong("a date as ISO 8601, not \(excerpt(operand))") }
      } else {
        guard operand.stringValue != nil || operand.doubleValue != nil else {
          throw wrong("a text or a number, not \(excerpt(operand))")
        }
      }
      prepared = .value(value)
    case .in, .notIn, .all:
      guard let elements = operand.arrayValue else { throw wrong("a list, not \(excerpt(operand))") }
      prepared = .list(elements.map { TaskQuery.Comparable($0, for: field) })
    case .modulo:
      guard let pair = operand.arrayValue, pair.count == 2, let divisor = pair[0].intValue, let remainder = pair[1].intValue,
        divisor != 0
      else { throw wrong("[divisor, remainder], not \(excerpt(operand))") }
      prepared = .modulo(divisor: divisor, remainder: remainder)
    case .exists: prepared = .exists(operand.isTruthy)
    case .glob:
      guard let pattern = operand.stringValue, pattern.utf8.count <= 4096 else {
        throw wrong("a pattern of at most 4096 bytes, not \(excerpt(operand))")
      }
      prepared = .glob(GlobPattern(pattern))
    }
    self.init(field: field, operator: `operator`, operand: operand, prepared: prepared)
  }
}

extension TaskRecord.Field {
  /// Whether values are compared as moments.
  var isDate: Bool {
    switch self {
    case .submitted, .started, .completed, .received: true
    default: false
    }
  }
}

extension TaskDatabaseError {
  fileprivate static func query(_ reason: String) -> TaskDatabaseError { TaskDatabaseError(.invalidQuery, reason) }
}

/// As much of a client's text as an error should repeat.
private func excerpt(_ json: JSONValue) -> String {
  let text = json.text
  return text.utf8.count <= 80 ? text : "\(text.prefix(77))..."
}

private func quoted(_ name: String) -> String { "'\(name.count <= 80 ? name : "\(name.prefix(77))...")'" }
