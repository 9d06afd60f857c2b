import ApusMessaging

extension TaskQuery {
  /// A condition that every matching row fulfils, and few others: the rest is tested when a row has been read.
  var condition: (sql: String, arguments: [String]) {
    var parts: [String] = []
    var arguments: [String] = []
    for test in tests {
      guard let part = test.condition else { continue }
      parts.append(part.sql)
      arguments += part.arguments
    }
    return (parts.isEmpty ? "1" : parts.joined(separator: " AND "), arguments)
  }
}

extension TaskQuery.Test {
  /// - Returns: `nil` if SQLite cannot tell.
  fileprivate var condition: (sql: String, arguments: [String])? {
    // Texts in these are never null, whatever the column holds.
    if field == .stdout || field == .stderr { return nil }
    let column = field.rawValue
    switch (`operator`, prepared) {
    case (.exists, .exists(let isThere)): return ("\(column) IS \(isThere ? "NOT " : "")NULL", [])
    case (.equal, .value(let value)) where value.isNull: return ("\(column) IS NULL", [])
    case (.notEqual, .value(let value)) where value.isNull: return ("\(column) IS NOT NULL", [])
    default: break
    }
    guard field.isText || field.isDate else { return nil }
    switch (`operator`, prepared) {
    case (.equal, .value(let value)): return text(value).map { ("\(column) = ?", [$0]) }
    case (.lessThan, .value(let value)): return text(value).map { ("\(column) < ?", [$0]) }
    case (.lessOrEqual, .value(let value)): return text(value).map { ("\(column) <= ?", [$0]) }
    case (.greaterThan, .value(let value)): return text(value).map { ("\(column) > ?", [$0]) }
    case (.greaterOrEqual, .value(let value)): return text(value).map { ("\(column) >= ?", [$0]) }
    case (.in, .list(let values)):
      // A label that is no text is in its column as JSON.
      if field == .label, values.contains(where: { text($0) == nil && !$0.isNull }) { return nil }
      // One argument however long the list is.
      let list = JSONValue(values.compactMap { text($0) }).text
      let orNull = values.contains(where: \.isNull) ? " OR \(column) IS NULL" : ""
      return ("(\(column) IN (SELECT value FROM json_each(?))\(orNull))", [list])
    case (.glob, .glob(let pattern)):
      guard !field.isDate, !pattern.hasSets, let text = operand.stringValue else { return nil }
      return ("\(column) GLOB ?", [text])
    default: return nil
    }
  }

  /// A value as its column holds it. Values that no column holds are left to the test of the record.
  private func text(_ value: TaskQuery.Comparable) -> String? {
    switch value {
    case .json(.string(let text)): field.isDate ? nil : text
    case .date(let date): TaskRow.pythonDate(date)
    case .json: nil
    }
  }
}

extension TaskRecord.Field {
  /// Whether the column holds a text as the record has it.
  fileprivate var isText: Bool {
    switch self {
    case .msg_id, .client_uuid, .engine_uuid, .resubmitted, .queue, .execute_input, .label: true
    default: false
    }
  }
}
