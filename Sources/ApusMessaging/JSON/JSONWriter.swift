/// Writes JSON into bytes: as people pass it on the wire (compact), or as they read it in files (indented by two).
public struct JSONWriter {
  public private(set) var bytes: [UInt8] = []
  private let pretty: Bool

  public init(pretty: Bool = false, reserving capacity: Int = 256) {
    self.pretty = pretty
    bytes.reserveCapacity(capacity)
  }

  public mutating func append(_ value: JSONValue) { append(value, indentation: 0) }

  public mutating func append(_ object: JSONObject) { append(.object(object), indentation: 0) }

  /// Text that is JSON already.
  public mutating func append(raw text: StaticString) {
    bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  public mutating func append(string: String) {
    bytes.append(UInt8(ascii: "\""))
    var text = string
    text.withUTF8 { utf8 in
      var clean = 0
      for (index, byte) in utf8.enumerated() where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        bytes.append(contentsOf: utf8[clean..<index])
        escape(byte)
        clean = index + 1
      }
      bytes.append(contentsOf: utf8[clean...])
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func escape(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
    case 0x0A: append(raw: "\\n")
    case 0x0D: append(raw: "\\r")
    case 0x09: append(raw: "\\t")
    default:
      append(raw: "\\u00")
      let digits = Array("0123456789abcdef".utf8)
      bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
  }

  private mutating func append(_ value: JSONValue, indentation: Int) {
    switch value {
    case .null: append(raw: "null")
    case .bool(true): append(raw: "true")
    case .bool(false): append(raw: "false")
    case .int(let value): bytes.append(contentsOf: String(value).utf8)
    // The wire knows neither infinity nor NaN; jupyter_client's reader refuses them.
    case .double(let value): if value.isFinite { bytes.append(contentsOf: String(value).utf8) } else { append(raw: "null") }
    case .bigInteger(let digits): bytes.append(contentsOf: digits.utf8)
    case .string(let value): append(string: value)
    case .array(let elements):
      list(elements, open: "[", close: "]", indentation: indentation) { writer, element in
        writer.append(element, indentation: indentation + 1)
      }
    case .object(let object):
      list(object.members, open: "{", close: "}", indentation: indentation) { writer, member in
        writer.append(string: member.key)
        writer.append(raw: writer.pretty ? ": " : ":")
        writer.append(member.value, indentation: indentation + 1)
      }
    }
  }

  private mutating func list<Element>(
    _ elements: [Element], open: StaticString, close: StaticString, indentation: Int, _ write: (inout JSONWriter, Element) -> Void
  ) {
    append(raw: open)
    for (index, element) in elements.enumerated() {
      if index > 0 { append(raw: ",") }
      if pretty { newLine(indentation + 1) }
      write(&self, element)
    }
    if pretty, !elements.isEmpty { newLine(indentation) }
    append(raw: close)
  }

  private mutating func newLine(_ indentation: Int) {
    bytes.append(0x0A)
    bytes.append(contentsOf: repeatElement(0x20, count: 2 * indentation))
  }
}

extension JSONValue {
  public func encoded(pretty: Bool = false) -> [UInt8] {
    var writer = JSONWriter(pretty: pretty)
    writer.append(self)
    return writer.bytes
  }

  /// Compact JSON.
  public var text: String { String(decoding: encoded(), as: UTF8.self) }
}
