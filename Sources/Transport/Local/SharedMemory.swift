import CAdmission
import Glibc
import Synchronization

/// Bytes of a large frame that several processes of one host can have at once: memory without a name, which nobody can change any more.
///
/// One process fills and seals it and passes its descriptor on (`LocalSocket`); the kernel frees it when nobody holds it, however
/// its holders end. Who receives it makes sure of the seals, so nothing is changed behind a signature, and nothing is missing at the end
/// when it is read.
public final class SharedMemory: Sendable {
  /// Frames from this size on are worth it: below, making and mapping it costs more than copying.
  public static let threshold = 256 << 10

  private static let held = Atomic<Int>(0)
  /// How many descriptors of this kind the process has.
  public static var heldCount: Int { held.load(ordering: .relaxed) }

  let descriptor: Int32
  public let count: Int

  private init(owning descriptor: Int32, count: Int) {
    self.descriptor = descriptor
    self.count = count
    Self.held.wrappingAdd(1, ordering: .relaxed)
  }

  deinit {
    close(descriptor)
    Self.held.wrappingSubtract(1, ordering: .relaxed)
  }

  /// Copies the pieces, one behind the other.
  /// - Returns: `nil` if the system has no descriptor or no memory for it.
  convenience init?(copying pieces: some Sequence<UnsafeRawBufferPointer>) {
    let descriptor = apus_memory_create()
    guard descriptor >= 0 else { return nil }
    var count = 0
    for piece in pieces {
      guard apus_memory_append(descriptor, piece.baseAddress, piece.count) == 0 else {
        close(descriptor)
        return nil
      }
      count += piece.count
    }
    guard apus_memory_seal(descriptor) == 0 else {
      close(descriptor)
      return nil
    }
    self.init(owning: descriptor, count: count)
  }

  /// A copy of the frame's bytes.
  /// - Returns: `nil` if the system has no descriptor or no memory for it.
  public convenience init?(copying frame: Frame) {
    defer { withExtendedLifetime(frame) {} }
    self.init(copying: CollectionOfOne(frame.storage))
  }

  // MARK: receiving

  /// Takes over what came with a message.
  /// - Parameter keepsDescriptor: it will be passed on. Otherwise the mapping alone is kept.
  /// - Returns: `nil` for what is not sealed or not of that size, which is closed.
  static func frame(owning descriptor: Int32, count: Int, keepsDescriptor: Bool) -> Frame? {
    guard count > 0, apus_memory_size(descriptor) == Int64(count),
      // Private: who is lent the bytes may write, into pages of its own. Most never do.
      let start = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0), start != MAP_FAILED
    else {
      close(descriptor)
      return nil
    }
    let bytes = UnsafeMutableRawBufferPointer(start: start, count: count)
    if keepsDescriptor, heldCount < limit { return Frame(mapped: bytes, of: SharedMemory(owning: descriptor, count: count)) }
    close(descriptor)
    return lend(bytes, of: Mapping(bytes))
  }

  /// A quarter of the descriptors that the process may have: beyond it frames are ordinary bytes, which are copied when they go on.
  private static var limit: Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 256 }
    return Int(min(limit.rlim_cur / 4, 1 << 16))
  }

  /// Unmaps with its last reference.
  final class Mapping: Sendable {
    private let address: UInt
    private let count: Int

    init(_ bytes: UnsafeMutableRawBufferPointer) {
      address = UInt(bitPattern: bytes.baseAddress)
      count = bytes.count
    }

    deinit { munmap(UnsafeMutableRawPointer(bitPattern: address), count) }
  }

  /// A frame of a part of it.
  static func lend(_ bytes: UnsafeMutableRawBufferPointer, of mapping: Mapping) -> Frame {
    Frame(lending: bytes, owner: Unmanaged.passRetained(mapping).toOpaque()) { _, owner in
      if let owner { Unmanaged<Mapping>.fromOpaque(owner).release() }
    }
  }

  /// Maps what came with a message, for reading here and now.
  static func map(owning descriptor: Int32) -> (bytes: UnsafeMutableRawBufferPointer, mapping: Mapping)? {
    defer { close(descriptor) }
    let count = apus_memory_size(descriptor)
    guard count > 0, count < Int64(1) << 40,
      let start = mmap(nil, Int(count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0), start != MAP_FAILED
    else { return nil }
    let bytes = UnsafeMutableRawBufferPointer(start: start, count: Int(count))
    return (bytes, Mapping(bytes))
  }
}

/// Frames that were copied into shared memory lately: a frame for many receivers is copied once. Not thread safe.
public final class SharedCopies {
  private var copies: [(frame: Frame, memory: SharedMemory)] = []

  public init() {}

  func memory(for frame: Frame) -> SharedMemory? {
    if let copy = copies.first(where: { $0.frame.isIdentical(to: frame) }) { return copy.memory }
    guard let memory = SharedMemory(copying: frame) else { return nil }
    copies.append((frame, memory))
    return memory
  }

  /// Frames that were lent by others are given back with it: at the end of a turn.
  public func removeAll() { if !copies.isEmpty { copies.removeAll() } }
}
