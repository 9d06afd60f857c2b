import ApusMessaging
import Glibc
import Transport

/// Requests made and signed before the clock starts: seven frames each, as a load-balanced view sends them.
///
/// All headers have the same length, so that request `i` lies at `i` strides and a reply's parent header tells `i` at a fixed place.
final class PreparedRequests {
  let count: Int
  private let stride: Int
  private let headerSize: Int
  private let memory: UnsafeMutableRawBufferPointer
  private let metadata = ConstantFrame(
    "{\"after\":[],\"follow\":[],\"timeout\":0.0,\"targets\":[],\"retries\":0,\"label\":null}")
  private let payload: ConstantFrame
  /// Up to the number: tells this batch's ids from all others.
  private let prefix: [UInt8]
  private let signatureSize: Int

  private static let digits = 9

  /// - Parameters:
  ///   - payload: bytes of the one buffer.
  ///   - batch: unique in this process, so that no id and no signature comes twice.
  init(_ count: Int, payload: Int, session: SessionID, signer: Signer, batch: Int) {
    self.count = count
    self.payload = ConstantFrame(String(repeating: "x", count: payload))
    prefix = Array("{\"msg_id\":\"\(session.text)_\(getpid())\(batch)_".utf8)
    let date = Timestamp.now().description
    let suffix = Array(
      "\",\"msg_type\":\"apply_request\",\"username\":\"bench\",\"session\":\"\(session.text)\",\"date\":\"\(date)\",\"version\":\"5.4\"}"
        .utf8)
    headerSize = prefix.count + Self.digits + suffix.count
    signatureSize = signer.isEnabled ? 64 : 0
    stride = headerSize + signatureSize
    memory = .allocate(byteCount: max(1, count * stride), alignment: 16)
    let rest = [Frame.emptyObject, Frame(UnsafeRawBufferPointer(metadata.bytes)), Frame.emptyObject]
    for index in 0..<count {
      let header = UnsafeMutableRawBufferPointer(rebasing: memory[index * stride..<index * stride + headerSize])
      header.copyBytes(from: prefix)
      var number = index
      for place in Swift.stride(from: prefix.count + Self.digits - 1, through: prefix.count, by: -1) {
        header[place] = UInt8(truncatingIfNeeded: 48 + number % 10)
        number /= 10
      }
      UnsafeMutableRawBufferPointer(rebasing: header[(prefix.count + Self.digits)...]).copyBytes(from: suffix)
      let signature = signer.sign([Frame(UnsafeRawBufferPointer(header))] + rest)
      let place = UnsafeMutableRawBufferPointer(rebasing: memory[index * stride + headerSize..<(index + 1) * stride])
      signature.withUnsafeBytes { place.copyMemory(from: $0) }
    }
  }

  /// Only when everything that was sent has been answered: libzmq reads this memory.
  func free() { memory.deallocate() }

  /// Bytes of one request's seven frames.
  var bytesPerRequest: Int {
    ConstantFrame.delimiter.count + signatureSize + headerSize + 2 * ConstantFrame.emptyObject.count + metadata.count
      + payload.count
  }

  func send(_ index: Int, on socket: borrowing LoadSocket) {
    let start = index * stride
    ConstantFrame.delimiter.send(on: socket, more: true)
    ConstantFrame.send(UnsafeMutableRawBufferPointer(rebasing: memory[start + headerSize..<start + stride]), on: socket, more: true)
    ConstantFrame.send(UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + headerSize]), on: socket, more: true)
    ConstantFrame.emptyObject.send(on: socket, more: true)
    metadata.send(on: socket, more: true)
    ConstantFrame.emptyObject.send(on: socket, more: true)
    payload.send(on: socket, more: false)
  }

  /// Which request this parent header is of; `nil`: none of these.
  func index(ofParent header: UnsafeRawBufferPointer) -> Int? {
    guard header.count == headerSize, header.prefix(prefix.count).elementsEqual(prefix) else { return nil }
    var index = 0
    for place in prefix.count..<prefix.count + Self.digits { index = index * 10 + Int(header[place]) - 48 }
    return index >= 0 && index < count ? index : nil
  }
}
