import CZeroMQ
import Glibc

/// One end of a connection between parties on one host that keeps messages apart (a Unix domain socket, `SOCK_SEQPACKET`).
///
/// Small messages between a scheduler and its engines go this way instead of through libzmq's threads: whoever waits for the descriptor reads
/// the message itself, and none of the four threads in between has to be woken. Nothing is queued here: what does not fit into the
/// system's buffer goes the other way, so no message waits for this one. Who is at the other end is for the caller to ask.
///
/// One thread receives; sending is for one thread at a time.
///
/// `@unchecked Sendable`: of the two buffers, one belongs to the thread that receives and one to the one that sends.
public final class LocalSocket: @unchecked Sendable {
  /// Longer messages are not sent.
  public static let largestMessage = 96 << 10
  private static let mostFrames = 16

  public enum Received: Sendable {
    case message([Frame])
    case nothing
    /// The other end is gone, or sent what is no message.
    case closed
  }

  /// For event loops: readable when `receive` may have something, and at the end.
  public let descriptor: Int32
  private let incoming = UnsafeMutableRawBufferPointer.allocate(byteCount: largestMessage, alignment: 16)
  private var outgoing: [UInt8] = []

  /// - Parameter descriptor: connected, non-blocking; closed with this object.
  init(owning descriptor: Int32) {
    self.descriptor = descriptor
    var size = Int32(1 << 20)
    // As much as the system allows: the more fits, the less has to go the other way.
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
  }

  deinit {
    close(descriptor)
    incoming.deallocate()
  }

  /// - Returns: `nil` if nobody of our own user listens there.
  public convenience init?(connectingTo path: String) {
    let descriptor = LocalAddress.socket()
    guard descriptor >= 0 else { return nil }
    guard let address = LocalAddress(path), address.connect(descriptor), apus_is_own_peer(descriptor) != 0 else {
      close(descriptor)
      return nil
    }
    self.init(owning: descriptor)
  }

  /// - Returns: false if the message was not sent: it is too large, there is no room for it now, or nobody reads any more.
  public func send(_ frames: [Frame]) -> Bool {
    guard (1...Self.mostFrames).contains(frames.count) else { return false }
    var size = 1 + 4 * frames.count
    for frame in frames { size += frame.count }
    guard size <= Self.largestMessage else { return false }
    outgoing.removeAll(keepingCapacity: true)
    outgoing.append(UInt8(frames.count))
    for frame in frames { withUnsafeBytes(of: UInt32(frame.count).littleEndian) { outgoing.append(contentsOf: $0) } }
    for frame in frames { frame.withUnsafeBytes { outgoing.append(contentsOf: $0) } }
    while true {
      if Glibc.send(descriptor, outgoing, size, Int32(MSG_DONTWAIT | MSG_NOSIGNAL)) == size { return true }
      if errno != EINTR { return false }
    }
  }

  public func receive() -> Received {
    while true {
      let size = recv(descriptor, incoming.baseAddress, incoming.count, Int32(MSG_DONTWAIT | MSG_TRUNC))
      if size > 0 {
        guard size <= incoming.count, let frames = Self.frames(UnsafeRawBufferPointer(rebasing: incoming[..<size])) else {
          return .closed
        }
        return .message(frames)
      }
      if size == 0 { return .closed }
      switch errno {
      case EINTR: continue
      case EAGAIN: return .nothing
      default: return .closed
      }
    }
  }

  private static func frames(_ bytes: UnsafeRawBufferPointer) -> [Frame]? {
    let count = Int(bytes[0])
    var position = 1 + 4 * count
    guard (1...mostFrames).contains(count), bytes.count >= position else { return nil }
    var frames: [Frame] = []
    frames.reserveCapacity(count)
    for index in 0..<count {
      let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 1 + 4 * index, as: UInt32.self)))
      guard bytes.count - position >= length else { return nil }
      frames.append(Frame(shared: UnsafeRawBufferPointer(rebasing: bytes[position..<position + length])))
      position += length
    }
    return position == bytes.count ? frames : nil
  }
}
