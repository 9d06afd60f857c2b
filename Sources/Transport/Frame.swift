import CZeroMQ
import Glibc

/// One immutable message part. Copying a `Frame` is a retain; sending it shares its bytes.
///
/// `@unchecked Sendable`: the box is immutable once made (see `FrameBox`).
public struct Frame: @unchecked Sendable {
  private let box: FrameBox

  private init(box: FrameBox) { self.box = box }

  /// Concrete on purpose: a generic initialiser is not specialised across modules and costs a witness call a byte.
  public init(_ bytes: UnsafeRawBufferPointer) {
    self.box = FrameBox.make { message in
      guard zmq_msg_init_size(message, bytes.count) == 0 else {
        // Out of memory for this one message: an empty frame is refused by every reader, a trap would end the process.
        zmq_msg_init(message)
        return
      }
      if let start = bytes.baseAddress, !bytes.isEmpty { memcpy(zmq_msg_data(message), start, bytes.count) }
    }
  }

  /// As above; the frames that every message carries are shared.
  public init(shared bytes: UnsafeRawBufferPointer) {
    switch bytes.count {
    case 0: self = .empty
    case 2 where bytes[0] == 0x7b && bytes[1] == 0x7d: self = .emptyObject
    default: self.init(bytes)
    }
  }

  public init(_ bytes: [UInt8]) { self = bytes.withUnsafeBytes { Frame($0) } }

  public init(_ text: String) {
    var text = text
    self = text.withUTF8 { Frame(UnsafeRawBufferPointer($0)) }
  }

  /// Lends memory that somebody else owns, without copying it. libzmq calls `release` with `owner` when the last reference is gone, on any thread.
  public init(
    lending bytes: UnsafeMutableRawBufferPointer, owner: UnsafeMutableRawPointer?,
    release: @escaping @convention(c) (_ bytes: UnsafeMutableRawPointer?, _ owner: UnsafeMutableRawPointer?) -> Void
  ) {
    self.box = FrameBox.make(isLent: true) { message in
      if zmq_msg_init_data(message, bytes.baseAddress, bytes.count, release, owner) != 0 {
        zmq_msg_init(message)
        release(bytes.baseAddress, owner)
      }
    }
  }

  /// What came as shared memory: mapped into a copy of our own, which takes memory only where it is written.
  init(of memory: SharedMemory, _ mapping: SharedMemory.Mapping) {
    let bytes = mapping.bytes
    self.box = FrameBox.make(isLent: true, memory: memory) { message in
      // Holding the memory's descriptor is for the frame; libzmq, which may have the bytes for longer, needs the mapping alone.
      let mapping = Unmanaged.passRetained(mapping).toOpaque()
      let release: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Void = { _, owner in
        if let owner { Unmanaged<SharedMemory.Mapping>.fromOpaque(owner).release() }
      }
      if zmq_msg_init_data(message, bytes.baseAddress, bytes.count, release, mapping) != 0 {
        zmq_msg_init(message)
        release(nil, mapping)
      }
    }
  }

  /// The memory that other processes of the host can be given instead of these bytes; `nil` if there is none.
  public var sharedMemory: SharedMemory? { box.memory }

  /// The same bytes, without a copy; `onRelease` is called when the last reference to the new frame is gone, on any thread.
  public func watched(_ onRelease: @escaping @Sendable () -> Void) -> Frame {
    final class Watch: Sendable {
      let frame: Frame
      let onRelease: @Sendable () -> Void
      init(_ frame: Frame, _ onRelease: @escaping @Sendable () -> Void) {
        self.frame = frame
        self.onRelease = onRelease
      }
    }
    return withUnsafeBytes { bytes in
      // libzmq only reads what it sends.
      Frame(
        lending: UnsafeMutableRawBufferPointer(mutating: bytes), owner: Unmanaged.passRetained(Watch(self, onRelease)).toOpaque(),
        release: { _, owner in
          guard let owner else { return }
          let watch = Unmanaged<Watch>.fromOpaque(owner).takeRetainedValue()
          watch.onRelease()
        })
    }
  }

  /// Takes over a received message. The frames that every message carries are shared instead of boxed anew.
  init(adopting source: inout zmq_msg_t) {
    if let common = Frame.common(equalTo: &source) {
      zmq_msg_close(&source)
      self = common
      return
    }
    self.box = FrameBox.make { message in
      zmq_msg_init(message)
      zmq_msg_move(message, &source)
    }
  }

  public var count: Int { storage.count }
  public var isEmpty: Bool { storage.isEmpty }

  /// Valid while the frame lives.
  @usableFromInline var storage: UnsafeRawBufferPointer { box.bytes }

  /// That of one among others, who keep it alive.
  static func storage(_ index: Int, _ frames: UnsafeBufferPointer<Frame>) -> UnsafeRawBufferPointer {
    guard let start = frames.baseAddress else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    // A frame is nothing but a reference to its box.
    return UnsafeRawPointer(start).load(fromByteOffset: index * MemoryLayout<Frame>.stride, as: Unmanaged<FrameBox>.self)
      ._withUnsafeGuaranteedRef { $0.bytes }
  }

  // Inlinable, because it is in every hot path: what is generic is not specialised across modules otherwise.
  @inlinable public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(self) {} }
    return try body(storage)
  }

  public func hasBytes(_ other: UnsafeRawBufferPointer) -> Bool {
    withUnsafeBytes { own in
      guard own.count == other.count else { return false }
      guard let left = own.baseAddress, let right = other.baseAddress else { return true }
      return memcmp(left, right, own.count) == 0
    }
  }

  public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }
  /// The bytes read as UTF-8; ill-formed sequences become U+FFFD.
  public var text: String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

  /// References the same bytes from a second `zmq_msg_t` that libzmq may consume.
  func share(into copy: inout zmq_msg_t) {
    box.withUnsafeMutablePointerToElements { message in
      zmq_msg_init(&copy)
      zmq_msg_copy(&copy, message)
    }
  }

  /// A frame with no bytes.
  public static let empty = Frame(UnsafeRawBufferPointer(start: nil, count: 0))
  /// The JSON of an empty object: most parent headers and contents.
  public static let emptyObject = Frame("{}")
  /// What divides routing from message in the Jupyter protocol.
  public static let delimiter = Frame("<IDS|MSG>")

  /// Two of a message's frames are always the same bytes and two more are mostly so: one box serves them all.
  private static func common(equalTo message: inout zmq_msg_t) -> Frame? {
    switch zmq_msg_size(&message) {
    case 0: return empty
    case 2: return memcmp(zmq_msg_data(&message), "{}", 2) == 0 ? emptyObject : nil
    case 9: return memcmp(zmq_msg_data(&message), "<IDS|MSG>", 9) == 0 ? delimiter : nil
    default: return nil
    }
  }

  /// Whether both are the very same storage: the quick answer to "is this the delimiter?".
  public func isIdentical(to other: Frame) -> Bool {
    if box === other.box { return true }
    guard let memory = box.memory else { return false }
    return memory === other.box.memory
  }
}

extension Frame: Hashable {
  public static func == (a: Frame, b: Frame) -> Bool {
    if a.isIdentical(to: b) { return true }
    return a.withUnsafeBytes { x in
      b.withUnsafeBytes { y in
        guard x.count == y.count else { return false }
        guard let left = x.baseAddress, let right = y.baseAddress else { return true }
        return memcmp(left, right, x.count) == 0
      }
    }
  }

  public func hash(into hasher: inout Hasher) { withUnsafeBytes { hasher.combine(bytes: $0) } }
}

/// One `zmq_msg_t` on the heap, and where its bytes are.
///
/// Immutable after `make`. The first `zmq_msg_copy` of a message writes to its source (it sets the shared flag and the count), so `make`
/// takes one copy and drops it; every later copy is an atomic increment, which any thread may do.
private final class FrameBox: ManagedBuffer<FrameBox.Contents, zmq_msg_t> {
  struct Contents {
    var bytes: UnsafeRawBufferPointer
    let memory: SharedMemory?
  }

  /// libzmq keeps messages below this size inside `zmq_msg_t`; they have no count to share. Of this very size, 33, it does so with what we
  /// make, and not with what it receives: exactly the length of an engine's uuid.
  static let sharedSize = 33

  /// - Parameter isLent: memory of others is never inline, however small.
  static func make(isLent: Bool = false, memory: SharedMemory? = nil, _ fill: (UnsafeMutablePointer<zmq_msg_t>) -> Void)
    -> FrameBox
  {
    let box = unsafeDowncast(
      FrameBox.create(minimumCapacity: 1) { _ in Contents(bytes: UnsafeRawBufferPointer(start: nil, count: 0), memory: memory) },
      to: FrameBox.self)
    box.withUnsafeMutablePointerToElements { message in
      fill(message)
      if isLent || zmq_msg_size(message) >= sharedSize {
        var copy = zmq_msg_t()
        zmq_msg_init(&copy)
        zmq_msg_copy(&copy, message)
        zmq_msg_close(&copy)
      }
    }
    box.header.bytes = box.withUnsafeMutablePointerToElements {
      UnsafeRawBufferPointer(start: zmq_msg_data($0), count: zmq_msg_size($0))
    }
    return box
  }

  /// By way of the pointer: `header` is a variable to the compiler, and each look at it would be checked at run time for exclusive access.
  var bytes: UnsafeRawBufferPointer { withUnsafeMutablePointerToHeader { $0.pointee.bytes } }
  var memory: SharedMemory? { withUnsafeMutablePointerToHeader { $0.pointee.memory } }

  deinit { _ = withUnsafeMutablePointerToElements { zmq_msg_close($0) } }
}
