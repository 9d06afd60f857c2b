import CAdmission
import CZeroMQ
import Glibc

/// One end of a connection between parties on one host that keeps messages apart (a Unix domain socket, `SOCK_SEQPACKET`).
///
/// Messages between a scheduler and its own peers go this way instead of through libzmq's threads: whoever waits for the descriptor reads
/// the message itself, and none of the four threads in between has to be woken. Large frames travel beside them as descriptors of shared
/// memory, and are not copied at all. Nothing is queued here: what does not fit into the system's buffer is the
/// sender's to keep, or to send another way. Who is at the other end is for the caller to ask.
///
/// One thread receives; sending is for one thread at a time.
///
/// `@unchecked Sendable`: of the two buffers, one belongs to the thread that receives and one to the one that sends.
public final class LocalSocket: @unchecked Sendable {
  /// More is not sent in one packet. A longer message goes into shared memory as a whole.
  public static let largestMessage = LocalPacket.largest

  public enum Received: Sendable {
    case message([Frame])
    case nothing
    /// The other end is gone, or sent what is no message, or what this process has no descriptors for. Messages may be lost with it.
    case closed
  }

  public enum Sending: Sendable {
    case sent
    /// There is no room for it now.
    case full
    /// It is too large as it is, or there is no shared memory to be had.
    case unfit
    /// Nobody reads any more.
    case closed
  }

  /// For event loops: readable when `receive` may have something, and at the end.
  public let descriptor: Int32
  private let passesOn: Bool
  private let incoming = UnsafeMutableRawBufferPointer.allocate(byteCount: largestMessage, alignment: 16)
  private let received = UnsafeMutableBufferPointer<Int32>.allocate(capacity: LocalPacket.mostMemories)
  private var outgoing: [UInt8] = []
  /// Bytes of shared memory that were sent since the other end was known to have read everything, and which memories these are.
  private var bytesOnTheWay = 0
  private var memoriesOnTheWay: Set<UInt64> = []
  /// So many of them may be on the way to a reader that does not read: the system keeps them for it.
  private static let mostBytesOnTheWay = 64 << 20

  /// - Parameters:
  ///   - descriptor: connected, non-blocking; closed with this object.
  ///   - passesOn: large frames that come here go on to others, for which their descriptors are kept.
  init(owning descriptor: Int32, passesOn: Bool) {
    self.descriptor = descriptor
    self.passesOn = passesOn
    var size = Int32(1 << 20)
    // As much as the system allows: the more fits, the less has to go the other way.
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
  }

  deinit {
    close(descriptor)
    incoming.deallocate()
    received.deallocate()
  }

  /// - Returns: `nil` if nobody of our own user listens there.
  public convenience init?(connectingTo path: String) {
    let descriptor = LocalAddress.socket()
    guard descriptor >= 0 else { return nil }
    guard let address = LocalAddress(path), address.connect(descriptor), apus_is_own_peer(descriptor) != 0 else {
      close(descriptor)
      return nil
    }
    self.init(owning: descriptor, passesOn: false)
  }

  // MARK: sending

  /// - Parameter copies: large frames that are not shared yet may be copied into shared memory, and these already are; `nil`: none may.
  public func send(_ frames: [Frame], copying copies: SharedCopies? = nil) -> Sending {
    guard (1...LocalPacket.mostFrames).contains(frames.count) else { return .unfit }
    var packet = LocalPacket.Writer(frames.count)
    for frame in frames {
      if frame.count >= SharedMemory.threshold, packet.descriptorCount < LocalPacket.mostMemories - SharedMemory.mostPieces,
        let memory = frame.sharedMemory ?? copies?.memory(for: frame)
      {
        packet.add(memory)
      } else {
        packet.add(inline: frame.count)
      }
    }
    if packet.size <= Self.largestMessage {
      packet.write(frames, into: &outgoing)
    } else {
      guard copies != nil, packet.pack(frames, into: &outgoing) else { return .unfit }
    }
    return transmit(packet.memories)
  }

  private func transmit(_ memories: [SharedMemory]) -> Sending {
    defer { withExtendedLifetime(memories) {} }
    let size = outgoing.count
    let descriptors = memories.flatMap(\.descriptors)
    if !memories.isEmpty, bytesOnTheWay > Self.mostBytesOnTheWay {
      // What is there already takes nothing more.
      if apus_unsent_bytes(descriptor) > 0 {
        guard memories.allSatisfy({ memoriesOnTheWay.contains($0.serial) }) else { return .full }
      } else {
        bytesOnTheWay = 0
        memoriesOnTheWay.removeAll(keepingCapacity: true)
      }
    }
    while true {
      let sent =
        memories.isEmpty
        ? Glibc.send(descriptor, outgoing, size, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
        : apus_send_descriptors(descriptor, outgoing, size, descriptors, Int32(descriptors.count))
      if sent == size {
        for memory in memories where memoriesOnTheWay.insert(memory.serial).inserted { bytesOnTheWay += memory.count }
        return .sent
      }
      switch errno {
      case EINTR: continue
      case EAGAIN, ENOBUFS, ENOMEM, ETOOMANYREFS: return .full
      case EMSGSIZE: return .unfit
      default: return .closed
      }
    }
  }

  /// Nothing more is sent or comes: whoever reads what is there finds the end behind it.
  public func shutDown() { shutdown(descriptor, Int32(SHUT_RDWR)) }

  // MARK: receiving

  public func receive() -> Received {
    while true {
      var count: Int32 = 0
      let size = apus_receive_descriptors(descriptor, incoming.baseAddress, incoming.count, received.baseAddress, &count)
      if size < 0 {
        switch errno {
        case EINTR: continue
        case EAGAIN: return .nothing
        default: return .closed
        }
      }
      var memories = LocalPacket.Memories(owning: received[..<Int(max(0, count))], passOn: passesOn)
      guard size > 0, size <= incoming.count, count >= 0,
        let frames = LocalPacket.frames(UnsafeRawBufferPointer(rebasing: incoming[..<size]), &memories)
      else { return .closed }
      return .message(frames)
    }
  }
}
