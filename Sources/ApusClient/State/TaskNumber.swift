import ApusMessaging
import Synchronization
import Transport

/// A client's own number of one of its requests: what its tables are keyed by. On the wire it is the end of the message id.
struct TaskNumber: Hashable, Sendable {
  let raw: Int
}

/// Makes message ids and reads them back: `<session>_<pid>_<number>`, and `<id>_<engine uuid>` for one engine's share of a broadcast.
///
/// Replies echo the id, so tables need no text: the number is parsed where it stands, without making a string.
final class RequestIDs: Sendable {
  let session: SessionID
  let prefix: String
  private let start: [UInt8]
  private let counter = Atomic<Int>(0)

  init(session: SessionID, processID: Int32) {
    self.session = session
    prefix = "\(session)_\(processID)_"
    start = Array("{\"msg_id\":\"\(prefix)".utf8)
  }

  func next() -> TaskNumber { TaskNumber(raw: counter.wrappingAdd(1, ordering: .relaxed).oldValue) }
  /// The first of so many in a row.
  func next(_ count: Int) -> TaskNumber { TaskNumber(raw: counter.wrappingAdd(count, ordering: .relaxed).oldValue) }
  func id(of number: TaskNumber) -> MessageID { MessageID(prefix + String(number.raw)) }

  struct Match: Equatable {
    var number: TaskNumber
    /// Whose share of a broadcast.
    var engine: EngineUUID?
  }

  /// Which of this session's requests a parent header names; `nil` if it is none of them.
  func match(_ parentHeader: Frame) -> Match? {
    if parentHeader.isIdentical(to: .emptyObject) { return nil }
    return parentHeader.withUnsafeBytes { bytes in
      // Most peers echo the header as it was, so the id comes first.
      if bytes.count > start.count, bytes.starts(with: start) {
        var index = start.count
        var value = 0
        while index < bytes.count, let digit = Self.digit(bytes[index]), value < 1 << 50 {
          value = value * 10 + digit
          index += 1
        }
        if index > start.count, index < bytes.count, bytes[index] == UInt8(ascii: "\"") {
          return Match(number: TaskNumber(raw: value))
        }
      }
      let text = HeaderScanner(bytes).string("msg_id") ?? (try? JSONValue(parsing: bytes))?["msg_id"]?.stringValue
      return text.flatMap { match($0) }
    }
  }

  func match(_ id: String) -> Match? {
    guard id.utf8.starts(with: prefix.utf8) else { return nil }
    let rest = id.utf8.dropFirst(prefix.utf8.count)
    let digits = rest.prefix { Self.digit($0) != nil }
    guard let number = Int(Substring(digits)) else { return nil }
    let tail = rest.dropFirst(digits.count)
    if tail.isEmpty { return Match(number: TaskNumber(raw: number)) }
    guard tail.first == UInt8(ascii: "_") else { return nil }
    return Match(number: TaskNumber(raw: number), engine: EngineUUID(String(Substring(tail.dropFirst()))))
  }

  private static func digit(_ byte: UInt8) -> Int? { byte >= 48 && byte <= 57 ? Int(byte) - 48 : nil }
}
