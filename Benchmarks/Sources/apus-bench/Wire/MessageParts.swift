import CZeroMQ
import Glibc
import Transport

/// The parts of the message received last, in memory that is used again for the next.
final class MessageParts {
  private static let capacity = 32
  private let messages = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: capacity)
  private(set) var count = 0

  deinit {
    clear()
    messages.deallocate()
  }

  /// - Parameter wait: for the next message, as long as the socket's receive timeout says.
  /// - Returns: false when nothing is there.
  func receive(from socket: borrowing LoadSocket, wait: Bool = false) -> Bool {
    clear()
    var flags = wait ? 0 : ZMQ_DONTWAIT
    while true {
      let part = messages + min(count, Self.capacity - 1)
      if count >= Self.capacity { zmq_msg_close(part) }
      zmq_msg_init(part)
      while zmq_msg_recv(part, socket.handle, flags) < 0 {
        if zmq_errno() == EINTR { continue }
        zmq_msg_close(part)
        return false
      }
      flags = 0
      count = min(count + 1, Self.capacity)
      if zmq_msg_more(part) == 0 { return true }
    }
  }

  func clear() {
    for index in 0..<count { zmq_msg_close(messages + index) }
    count = 0
  }

  subscript(_ index: Int) -> UnsafeMutablePointer<zmq_msg_t> { messages + index }

  func bytes(_ index: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: zmq_msg_data(messages + index), count: zmq_msg_size(messages + index))
  }

  /// Passes a part on as it is. It must not be read afterwards.
  func send(_ index: Int, on socket: borrowing LoadSocket, more: Bool) {
    if zmq_msg_send(messages + index, socket.handle, more ? ZMQ_SNDMORE : 0) < 0 {
      zmq_msg_close(messages + index)
    }
    zmq_msg_init(messages + index)
  }

  /// Where the identities end: no delimiter, or too few parts after it, is no message.
  var delimiter: Int? {
    for index in 0..<count {
      let part = bytes(index)
      if part.count == 9, let start = part.baseAddress, memcmp(start, "<IDS|MSG>", 9) == 0 {
        return count - index > 5 ? index : nil
      }
    }
    return nil
  }

  /// Copies for what is not timed.
  var frames: [Frame] { (0..<count).map { Frame(bytes($0)) } }
}
