import CAdmission
import Glibc
import Synchronization

/// Bytes of a large frame that several processes of one host can have at once: memory without a name, which nobody can change any more.
///
/// One process fills and seals it and passes its descriptor on (`LocalSocket`); the kernel frees it when nobody holds it, however
/// its holders end. Who receives it makes sure of the seals, so nothing is changed behind a signature, and nothing is missing at the end
/// when it is read.
///
/// Most of the time of a copy into new memory is the system's, which finds and clears its pages: 100 MB take 40 ms, where a copy alone takes 9.
/// So a large frame is in several memories, which as many threads fill, and which its receivers map one behind the other.
public final class SharedMemory: Sendable {
  /// Frames from this size on are worth it: below, making and mapping it costs more than copying.
  public static let threshold = 256 << 10

  private static let held = Atomic<Int>(0)
  /// How many descriptors of this kind the process has.
  public static var heldCount: Int { held.load(ordering: .relaxed) }

  /// Of its pieces, in their order.
  let descriptors: [Int32]
  public let count: Int
  /// No other of this process has it.
  let serial = serials.wrappingAdd(1, ordering: .relaxed).newValue
  private static let serials = Atomic<UInt64>(0)
  /// Where this process reads it; `nil` if it only passes it on.
  let mapping: Mapping?
  private let place: Place?
  /// What others have computed of the bytes: they never change.
  private let notes = Mutex<[UInt64: [UInt8]]>([:])

  private init(owning descriptors: [Int32], count: Int, mapping: Mapping? = nil, place: Place? = nil) {
    self.descriptors = descriptors
    self.count = count
    self.mapping = mapping
    self.place = place
    Self.held.wrappingAdd(descriptors.count, ordering: .relaxed)
  }

  deinit {
    if let place {
      // Another may have taken its place. It must not end within the lock, which its own end asks for.
      let other = Self.known.withLock { known in
        let memory = known[place]?.memory
        if memory == nil { known[place] = nil }
        return memory
      }
      withExtendedLifetime(other) {}
    }
    for descriptor in descriptors { close(descriptor) }
    Self.held.wrappingSubtract(descriptors.count, ordering: .relaxed)
  }

  /// What a party (by a number that nobody else has) has computed of the bytes, or computes now.
  public func noted(by party: UInt64, _ compute: () -> [UInt8]) -> [UInt8] {
    notes.withLock { notes in
      if let note = notes[party] { return note }
      let note = compute()
      // Few parties of a process have the same memory.
      if notes.count < 16 { notes[party] = note }
      return note
    }
  }

  // MARK: pieces

  /// A frame has at most so many, however many processors there are.
  static let mostPieces = 4
  /// And each has so many bytes, or starting a thread for it would cost too much of what it saves.
  static let leastPiece = 8 << 20
  /// Pieces begin at multiples of it, which are multiples of a page on every machine.
  private static let pieceUnit = 1 << 20

  /// How many pieces are made of so many bytes.
  static func pieceCount(of count: Int, processors: Int = Int(apus_processors())) -> Int {
    max(1, min(mostPieces, processors, count / leastPiece))
  }

  /// The bytes of each piece: all but the last have equally many.
  /// - Returns: `nil` if there cannot be so many pieces.
  static func sizes(of count: Int, pieces: Int) -> [Int]? {
    if pieces == 1 { return count > 0 ? [count] : nil }
    guard (2...mostPieces).contains(pieces), count > 0, count < 1 << 50 else { return nil }
    let size = (count / pieces + pieceUnit) / pieceUnit * pieceUnit
    let last = count - size * (pieces - 1)
    return last > 0 ? [Int](repeating: size, count: pieces - 1) + [last] : nil
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
    self.init(owning: [descriptor], count: count)
  }

  /// A copy of the frame's bytes.
  /// - Returns: `nil` if the system has no descriptor or no memory for it.
  public convenience init?(copying frame: Frame) {
    defer { withExtendedLifetime(frame) {} }
    let bytes = frame.storage
    let pieces = Self.pieceCount(of: bytes.count)
    guard pieces > 1, let sizes = Self.sizes(of: bytes.count, pieces: pieces), let start = bytes.baseAddress else {
      self.init(copying: CollectionOfOne(bytes))
      return
    }
    let descriptors = sizes.map { _ in apus_memory_create() }
    let parts = Self.pieces(descriptors, sizes, from: start)
    guard descriptors.allSatisfy({ $0 >= 0 }), apus_memory_fill(parts, Int32(parts.count)) == 0 else {
      for descriptor in descriptors where descriptor >= 0 { close(descriptor) }
      return nil
    }
    self.init(owning: descriptors, count: bytes.count)
  }

  private static func pieces(_ descriptors: [Int32], _ sizes: [Int], from start: UnsafeRawPointer? = nil) -> [apus_piece] {
    var position = 0
    return zip(descriptors, sizes).map { descriptor, size in
      defer { position += size }
      return apus_piece(descriptor: descriptor, bytes: start.map { $0 + position }, size: size)
    }
  }

  /// A copy of the frame's bytes that is sent any number of times, to other processes of the host without a copy each.
  /// - Returns: what is an ordinary frame where it is too small for that, or the system has no memory of the kind.
  public static func copy(of frame: Frame) -> Frame {
    if frame.count >= threshold, heldCount < limit, let memory = SharedMemory(copying: frame),
      let sizes = sizes(of: memory.count, pieces: memory.descriptors.count),
      let start = apus_memory_map(pieces(memory.descriptors, sizes), Int32(sizes.count)), start != MAP_FAILED
    {
      return Frame(of: memory, Mapping(UnsafeMutableRawBufferPointer(start: start, count: memory.count)))
    }
    return frame.withUnsafeBytes { Frame($0) }
  }

  // MARK: receiving

  /// Takes over what came with a message.
  /// - Parameter keepsDescriptor: it will be passed on. Otherwise the mapping alone is kept.
  /// - Returns: `nil` for what is not sealed or not of that size, which is closed.
  static func frame(owning descriptors: [Int32], count: Int, keepsDescriptors: Bool) -> Frame? {
    if keepsDescriptors, !descriptors.isEmpty, let frame = received(before: descriptors, count: count) {
      for descriptor in descriptors { close(descriptor) }
      return frame
    }
    guard let sizes = sizes(of: count, pieces: descriptors.count),
      zip(descriptors, sizes).allSatisfy({ apus_memory_size($0) == Int64($1) }),
      // Private: who is lent the bytes may write, into pages of its own. Most never do.
      let start = apus_memory_map(pieces(descriptors, sizes), Int32(sizes.count)), start != MAP_FAILED
    else {
      for descriptor in descriptors { close(descriptor) }
      return nil
    }
    let mapping = Mapping(UnsafeMutableRawBufferPointer(start: start, count: count))
    if keepsDescriptors, heldCount < limit {
      let place = Place(descriptors[0])
      let memory = SharedMemory(owning: descriptors, count: count, mapping: mapping, place: place)
      if let place { known.withLock { $0[place] = Known(memory: memory) } }
      return Frame(of: memory, mapping)
    }
    for descriptor in descriptors { close(descriptor) }
    return lend(mapping.bytes, of: mapping)
  }

  /// What tells one memory from all others: numbers alone come again after four thousand million of them.
  private struct Place: Hashable {
    let number: UInt64
    let seconds: Int
    let nanoseconds: Int

    init?(_ descriptor: Int32) {
      var status = stat()
      guard fstat(descriptor, &status) == 0 else { return nil }
      number = UInt64(status.st_ino)
      (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }
  }

  private struct Known { weak var memory: SharedMemory? }

  /// What was received to be passed on: what comes again, as the data of a function does with each of its tasks, is here once.
  private static let known = Mutex<[Place: Known]>([:])

  private static func received(before descriptors: [Int32], count: Int) -> Frame? {
    guard let place = Place(descriptors[0]), let memory = known.withLock({ $0[place]?.memory }), let mapping = memory.mapping,
      memory.count == count, memory.descriptors.count == descriptors.count
    else { return nil }
    return Frame(of: memory, mapping)
  }

  /// A quarter of the descriptors that the process may have: beyond it frames are ordinary bytes, which are copied when they go on.
  static var limit: Int {
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

    var bytes: UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: address), count: count)
    }

    deinit { apus_memory_unmap(UnsafeMutableRawPointer(bitPattern: address), count) }
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
  /// More are not kept, and the oldest go: each has a descriptor.
  private static let most = 64

  public init() {}

  func memory(for frame: Frame) -> SharedMemory? {
    if let copy = copies.first(where: { $0.frame.isIdentical(to: frame) }) { return copy.memory }
    guard SharedMemory.heldCount < SharedMemory.limit, let memory = SharedMemory(copying: frame) else { return nil }
    if copies.count >= Self.most { copies.removeFirst(Self.most / 2) }
    copies.append((frame, memory))
    return memory
  }

  /// Frames that were lent by others are given back with it: at the end of a turn.
  public func removeAll() { if !copies.isEmpty { copies.removeAll() } }
}
