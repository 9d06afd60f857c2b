import ApusMessaging

extension TaskQuery {
  /// Whether all tests hold for a record.
  public func matches(_ record: TaskRecord) -> Bool { tests.allSatisfy { $0.matches(record) } }

  /// A value in the form in which it is compared.
  enum Comparable: Hashable, Sendable {
    case json(JSONValue)
    case date(Timestamp)

    /// Texts that are not dates stay texts, which no date equals.
    init(_ json: JSONValue, for field: TaskRecord.Field) {
      if field.isDate, let text = json.stringValue, let date = Timestamp(text) ?? Timestamp(text + "T00:00") {
        self = .date(date)
      } else {
        self = .json(json)
      }
    }

    var isNull: Bool { self == .json(.null) }

    /// Equality as in Python: `1` equals `1.0`.
    func isSame(as other: Comparable) -> Bool {
      if self == other { return true }
      guard case .json(let a) = self, case .json(let b) = other, let x = a.doubleValue, let y = b.doubleValue else { return false }
      return x == y
    }

    /// - Returns: `nil` for values that have no order: a text and a number, say.
    func isLess(than other: Comparable, orEqual: Bool) -> Bool? {
      switch (self, other) {
      case (.date(let a), .date(let b)): return orEqual ? a <= b : a < b
      case (.json(.string(let a)), .json(.string(let b))):
        // By code points: as Python and SQLite order texts, and unlike Swift's own order.
        return a == b ? orEqual : a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
      case (.json(.int(let a)), .json(.int(let b))): return orEqual ? a <= b : a < b
      case (.json(let a), .json(let b)):
        guard let x = a.doubleValue, let y = b.doubleValue else { return nil }
        return orEqual ? x <= y : x < y
      default: return nil
      }
    }
  }
}

extension TaskRecord {
  /// A field as queries see it. Dates are moments, and null if they are none; buffers are their number, and null if there are none.
  fileprivate func comparable(_ field: Field) -> TaskQuery.Comparable {
    switch field {
    case .submitted: submitted.map { .date($0) } ?? .json(.null)
    case .received: received.map { .date($0) } ?? .json(.null)
    case .started, .completed:
      if let date = reply == nil ? nil : value(field).stringValue, let timestamp = Timestamp(date) {
        .date(timestamp)
      } else {
        .json(.null)
      }
    case .buffers: .json(requestBuffers.isEmpty ? .null : .int(requestBuffers.count))
    case .result_buffers: .json(replyBuffers.isEmpty ? .null : .int(replyBuffers.count))
    default: .json(value(field))
    }
  }
}

extension TaskQuery.Test {
  func matches(_ record: TaskRecord) -> Bool {
    let value = record.comparable(field)
    switch (`operator`, prepared) {
    case (.equal, .value(let wanted)): return value.isSame(as: wanted)
    case (.notEqual, .value(let wanted)): return !value.isSame(as: wanted)
    case (.lessThan, .value(let limit)): return value.isLess(than: limit, orEqual: false) ?? false
    case (.lessOrEqual, .value(let limit)): return value.isLess(than: limit, orEqual: true) ?? false
    case (.greaterThan, .value(let limit)): return limit.isLess(than: value, orEqual: false) ?? false
    case (.greaterOrEqual, .value(let limit)): return limit.isLess(than: value, orEqual: true) ?? false
    case (.in, .list(let values)): return values.contains { value.isSame(as: $0) }
    case (.notIn, .list(let values)): return !values.contains { value.isSame(as: $0) }
    case (.all, .list(let wanted)):
      guard case .json(.array(let elements)) = value else { return !value.isNull && wanted.allSatisfy { value.isSame(as: $0) } }
      return wanted.allSatisfy { one in elements.contains { TaskQuery.Comparable.json($0).isSame(as: one) } }
    case (_, .modulo(let divisor, let remainder)):
      guard case .json(let json) = value, let number = json.intValue else { return false }
      // Python's remainder has the sign of the divisor. `Int.min` modulo -1 would overflow.
      let rest = divisor == -1 ? 0 : number % divisor
      return (rest != 0 && (rest < 0) != (divisor < 0) ? rest + divisor : rest) == remainder
    case (_, .exists(let isThere)): return value.isNull != isThere
    case (_, .glob(let pattern)):
      switch value {
      case .json(.string(let text)): return pattern.matches(text)
      case .date: return record.value(field).stringValue.map { pattern.matches($0) } ?? false
      case .json: return false
      }
    // `init` pairs every other operator with the operand above.
    default: return false
    }
  }
}
