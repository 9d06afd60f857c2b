import ApusMessaging
import Transport

/// Writes request headers from a template: between two of them only the number, and now and then the date, is new.
struct HeaderWriter {
  private let start: [UInt8]
  private let afterType: [UInt8]
  private var type = MessageType("")
  private var afterNumber: [UInt8] = []
  private var date: [UInt8] = []
  private var buffer: [UInt8] = []

  init(ids: RequestIDs, username: String) {
    start = Array("{\"msg_id\":\"\(ids.prefix)".utf8)
    var writer = JSONWriter()
    writer.append(raw: ",\"username\":")
    writer.append(string: username)
    writer.append(raw: ",\"session\":")
    writer.append(string: ids.session.text)
    writer.append(raw: ",\"date\":\"")
    afterType = writer.bytes
    buffer.reserveCapacity(320)
    setDate()
  }

  /// The messages of one batch have one date.
  mutating func setDate() { date = Array(Timestamp.now().description.utf8) }

  mutating func header(_ number: TaskNumber, _ type: MessageType) -> Frame {
    if type != self.type { setType(type) }
    buffer.removeAll(keepingCapacity: true)
    buffer.append(contentsOf: start)
    Self.append(number.raw, to: &buffer)
    buffer.append(contentsOf: afterNumber)
    buffer.append(contentsOf: date)
    buffer.append(contentsOf: Self.end)
    return buffer.withUnsafeBytes { Frame($0) }
  }

  private static let end = Array("\",\"version\":\"\(Header.protocolVersion)\"}".utf8)

  private mutating func setType(_ type: MessageType) {
    self.type = type
    var writer = JSONWriter()
    writer.append(raw: "\",\"msg_type\":")
    writer.append(string: type.text)
    afterNumber = writer.bytes + afterType
  }

  private static func append(_ number: Int, to bytes: inout [UInt8]) {
    var divisor = 1
    while number / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
      bytes.append(UInt8(truncatingIfNeeded: 48 + number / divisor % 10))
      divisor /= 10
    }
  }
}
