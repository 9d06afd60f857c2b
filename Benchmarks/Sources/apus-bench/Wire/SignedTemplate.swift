import ApusMessaging
import CZeroMQ
import Glibc
import Transport

/// Replies that differ in message id and parent only: correctly signed, made with one copy of the parent and few allocations.
///
/// The date is that of the template's making; owners make a new one now and then.
struct SignedTemplate {
  private let signer: Signer
  private let beforeNumber: [UInt8]
  private let afterNumber: [UInt8]
  private let metadata: ConstantFrame
  private let content: ConstantFrame
  private var number = 0
  private let scratch: UnsafeMutableRawBufferPointer

  private static let largestParent = 16_384

  /// - Parameter name: goes into the message ids, so that two templates of a session do not make the same.
  init(_ type: MessageType, session: SessionID, name: String, metadata: JSONValue, content: JSONValue, signer: Signer) {
    self.signer = signer
    beforeNumber = Array("{\"msg_id\":\"\(session.text)_\(getpid())_\(name)".utf8)
    let date = Timestamp.now().description
    afterNumber = Array(
      "\",\"msg_type\":\"\(type.text)\",\"username\":\"bench\",\"session\":\"\(session.text)\",\"date\":\"\(date)\",\"version\":\"5.4\"}"
        .utf8)
    self.metadata = ConstantFrame(metadata.text)
    self.content = ConstantFrame(content.text)
    scratch = .allocate(
      byteCount: beforeNumber.count + 20 + afterNumber.count + self.metadata.count + self.content.count + Self.largestParent,
      alignment: 16)
  }

  /// Sends everything from the delimiter on, with the header of the request as the parent header.
  mutating func send(parent: UnsafeMutablePointer<zmq_msg_t>, on socket: borrowing LoadSocket) {
    let parentSize = zmq_msg_size(parent)
    guard parentSize <= Self.largestParent, let start = scratch.baseAddress, let parentBytes = zmq_msg_data(parent) else { return }
    // The four dictionaries one after the other, as the signature covers them.
    var end = start
    beforeNumber.withUnsafeBytes { Self.append($0, &end) }
    end += Self.write(number, to: end)
    number += 1
    afterNumber.withUnsafeBytes { Self.append($0, &end) }
    let headerSize = end - start
    Self.append(UnsafeRawBufferPointer(start: parentBytes, count: parentSize), &end)
    Self.append(UnsafeRawBufferPointer(metadata.bytes), &end)
    Self.append(UnsafeRawBufferPointer(content.bytes), &end)
    let signature = signer.sign([Frame(UnsafeRawBufferPointer(start: start, count: end - start))])
    ConstantFrame.delimiter.send(on: socket, more: true)
    signature.withUnsafeBytes { _ = zmq_send(socket.handle, $0.baseAddress, $0.count, ZMQ_SNDMORE) }
    zmq_send(socket.handle, start, headerSize, ZMQ_SNDMORE)
    var shared = zmq_msg_t()
    zmq_msg_init(&shared)
    zmq_msg_copy(&shared, parent)
    if zmq_msg_send(&shared, socket.handle, ZMQ_SNDMORE) < 0 { zmq_msg_close(&shared) }
    metadata.send(on: socket, more: true)
    content.send(on: socket, more: false)
  }

  private static func append(_ bytes: UnsafeRawBufferPointer, _ end: inout UnsafeMutableRawPointer) {
    guard let source = bytes.baseAddress else { return }
    memcpy(end, source, bytes.count)
    end += bytes.count
  }

  /// - Returns: the number of digits.
  private static func write(_ number: Int, to place: UnsafeMutableRawPointer) -> Int {
    var digits = 1
    var rest = number
    while rest >= 10 {
      rest /= 10
      digits += 1
    }
    rest = number
    for index in stride(from: digits - 1, through: 0, by: -1) {
      place.storeBytes(of: UInt8(truncatingIfNeeded: 48 + rest % 10), toByteOffset: index, as: UInt8.self)
      rest /= 10
    }
    return digits
  }
}
