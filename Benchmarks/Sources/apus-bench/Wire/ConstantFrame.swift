import CZeroMQ
import Glibc

/// Bytes that never change and are never freed: libzmq sends them without a copy or an allocation.
///
/// `@unchecked Sendable`: the bytes are written in `init` only.
struct ConstantFrame: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ text: String) {
    let utf8 = Array(text.utf8)
    bytes = .allocate(byteCount: utf8.count, alignment: 8)
    bytes.copyBytes(from: utf8)
  }

  var count: Int { bytes.count }

  static let delimiter = ConstantFrame("<IDS|MSG>")
  static let emptyObject = ConstantFrame("{}")

  func send(on socket: borrowing LoadSocket, more: Bool) { Self.send(bytes, on: socket, more: more) }

  /// Sends memory that outlives the message.
  static func send(_ bytes: UnsafeMutableRawBufferPointer, on socket: borrowing LoadSocket, more: Bool) {
    var message = zmq_msg_t()
    // Without a function that frees it, libzmq takes the memory for constant.
    zmq_msg_init_data(&message, bytes.baseAddress, bytes.count, nil, nil)
    while zmq_msg_send(&message, socket.handle, more ? ZMQ_SNDMORE : 0) < 0 {
      if zmq_errno() == EINTR { continue }
      zmq_msg_close(&message)
      return
    }
  }
}
