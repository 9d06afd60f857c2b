import ApusMessaging

/// A JSON value as an argument or a result of a Python call.
struct PlainValue: Codable, Sendable {
  let json: JSONValue

  init(_ json: JSONValue) { self.json = json }

  init(from decoder: any Decoder) throws {
    if var array = try? decoder.unkeyedContainer() {
      var elements: [JSONValue] = []
      while !array.isAtEnd { elements.append(try array.decode(PlainValue.self).json) }
      json = .array(elements)
      return
    }
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      json = .null
    } else if let number = try? container.decode(Int.self) {
      json = .int(number)
    } else {
      json = .string(try container.decode(String.self))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch json {
    case .int(let number): try container.encode(number)
    case .string(let text): try container.encode(text)
    case .bool(let flag): try container.encode(flag)
    case .double(let number): try container.encode(number)
    case .array(let elements): try container.encode(elements.map { PlainValue($0) })
    default: try container.encodeNil()
    }
  }
}
