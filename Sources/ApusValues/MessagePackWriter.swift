public import Transport

/// Values one behind the other, as the arguments of a call are.
///
/// For a single value use `MessagePackEncoder`. A writer belongs to one task; an error leaves it unusable.
public final class MessagePackWriter {
  /// What the frames of large arrays are collected in; nil: they stay in the structure.
  final class Sidecar {
    let threshold: Int
    var frames: [Frame] = []
    init(threshold: Int) { self.threshold = max(1, threshold) }
  }

  /// Bytes that belong in front of `position` and are put there when everything is written.
  struct Splice {
    var position: Int
    let content: Content

    enum Content {
      /// A nested container or a super encoder: it may still be written to while its parent goes on.
      case child(MessagePackWriter)
      /// A large array: it is copied once, to its last place. The owner keeps the memory.
      case array(UnsafeRawBufferPointer, owner: AnyObject)
    }
  }

  /// Arrays from this size on are copied in the end, when the size of the whole is known, and not moved while the structure grows.
  static let largeArray = 65_536

  // None of the variables below is ever passed `inout`, so no two accesses overlap: they need not be checked while the program runs.

  let coder: MessagePackEncoder
  let sidecar: Sidecar?
  /// Values that are being written around the next one.
  @exclusivity(unchecked) var depth: Int
  /// An error that a type's `encode(to:)` kept for itself, or that a function which cannot throw met: the bytes are worth nothing
  /// any more.
  @exclusivity(unchecked) var failure: (any Error)?
  @exclusivity(unchecked) var splices: [Splice] = []

  /// Owned; `count` bytes of `capacity` are initialised. Released by `deinit`, or by the frame that took it over.
  @exclusivity(unchecked) private(set) var memory: UnsafeMutableRawPointer
  @exclusivity(unchecked) private(set) var count = 0
  @exclusivity(unchecked) private var capacity: Int

  /// - Parameter threshold: arrays of at least this many bytes become frames of their own; nil: none does.
  public convenience init(_ coder: MessagePackEncoder = MessagePackEncoder(), outOfBand threshold: Int? = nil) {
    self.init(coder, sidecar: threshold.map { Sidecar(threshold: $0) }, depth: 0, capacity: 256)
  }

  init(_ coder: MessagePackEncoder, sidecar: Sidecar?, depth: Int, capacity: Int) {
    self.coder = coder
    self.sidecar = sidecar
    self.depth = depth
    self.capacity = capacity
    self.memory = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit { memory.deallocate() }

  /// A container whose place in this writer is the present end.
  func child() -> MessagePackWriter {
    let child = MessagePackWriter(coder, sidecar: sidecar, depth: depth + 1, capacity: 64)
    if child.depth > coder.maximumDepth { failure = failure ?? tooDeep(()) }
    splices.append(Splice(position: count, content: .child(child)))
    return child
  }

  // MARK: the bytes

  @inline(__always) func reserve(_ more: Int) {
    if capacity &- count < more { grow(more) }
  }

  @inline(never) private func grow(_ more: Int) {
    capacity = max(count + more, capacity * 2)
    let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    larger.copyMemory(from: memory, byteCount: count)
    memory.deallocate()
    memory = larger
  }

  @inline(__always) func append(byte: UInt8) {
    reserve(1)
    memory.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
    count &+= 1
  }

  /// A header byte and a number behind it, most significant byte first.
  @inline(__always) func append<I: FixedWidthInteger & BitwiseCopyable>(_ header: UInt8, _ number: I) {
    reserve(1 + MemoryLayout<I>.size)
    memory.storeBytes(of: header, toByteOffset: count, as: UInt8.self)
    memory.storeBytes(of: number.bigEndian, toByteOffset: count &+ 1, as: I.self)
    count &+= 1 &+ MemoryLayout<I>.size
  }

  func append(raw bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    reserve(bytes.count)
    (memory + count).copyMemory(from: start, byteCount: bytes.count)
    count += bytes.count
  }

  func removeLast() { count = max(0, count - 1) }

  func byte(at position: Int) -> UInt8? { position < count ? memory.load(fromByteOffset: position, as: UInt8.self) : nil }

  func number<I: FixedWidthInteger & BitwiseCopyable>(at position: Int, as: I.Type) -> I {
    guard position >= 0, position + MemoryLayout<I>.size <= count else { return 0 }
    return I(bigEndian: memory.loadUnaligned(fromByteOffset: position, as: I.self))
  }

  func replace<I: FixedWidthInteger & BitwiseCopyable>(at position: Int, with number: I) {
    guard position >= 0, position + MemoryLayout<I>.size <= count else { return }
    memory.storeBytes(of: number.bigEndian, toByteOffset: position, as: I.self)
  }

  /// Makes room for `width` bytes in front of `position`, when a container outgrows its header.
  func widen(at position: Int, by width: Int) {
    reserve(width)
    (memory + position + width).copyMemory(from: memory + position, byteCount: count - position)
    count += width
    for index in splices.indices.reversed() {
      guard splices[index].position >= position else { break }
      splices[index].position += width
    }
  }

  // MARK: the result

  /// Everything written so far in one piece; not for a writer that puts arrays out of band.
  public func bytes() throws -> [UInt8] {
    try check()
    guard !splices.isEmpty else { return Array(UnsafeRawBufferPointer(start: memory, count: count)) }
    let total = totalCount
    return [UInt8](unsafeUninitializedCapacity: total) { buffer, initialized in
      if let start = buffer.baseAddress { assemble(into: UnsafeMutableRawPointer(start)) }
      initialized = total
    }
  }

  /// The structure, and the arrays that went out of band. Ends the writer.
  public func frames() throws -> [Frame] {
    try check()
    let total = totalCount
    var structure: Frame
    if splices.isEmpty, total < 4096 {
      structure = Frame(UnsafeRawBufferPointer(start: memory, count: total))
    } else {
      let whole: UnsafeMutableRawPointer
      if splices.isEmpty {
        // The frame takes the memory over.
        whole = memory
        memory = .allocate(byteCount: 1, alignment: 16)
        (count, capacity) = (0, 1)
      } else {
        whole = .allocate(byteCount: total, alignment: 16)
        assemble(into: whole)
      }
      structure = Frame(lending: UnsafeMutableRawBufferPointer(start: whole, count: total), owner: nil) { bytes, _ in
        bytes?.deallocate()
      }
    }
    return [structure] + (sidecar?.frames ?? [])
  }

  private func check() throws {
    if let failure { throw failure }
    guard !splices.isEmpty else { return }
    for case .child(let child) in splices.lazy.map(\.content) { try child.check() }
  }

  private var totalCount: Int {
    splices.reduce(count) { total, splice in
      switch splice.content {
      case .child(let child): total + child.totalCount
      case .array(let bytes, _): total + bytes.count
      }
    }
  }

  @discardableResult private func assemble(into start: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    var target = start
    var done = 0
    func copy(upTo end: Int) {
      target.copyMemory(from: memory + done, byteCount: end - done)
      target += end - done
      done = end
    }
    for splice in splices {
      copy(upTo: splice.position)
      switch splice.content {
      case .child(let child): target = child.assemble(into: target)
      case .array(let bytes, let owner):
        if let source = bytes.baseAddress { target.copyMemory(from: source, byteCount: bytes.count) }
        target += bytes.count
        withExtendedLifetime(owner) {}
      }
    }
    copy(upTo: count)
    return target
  }
}
