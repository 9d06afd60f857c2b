import CAdmission
import Glibc
import TestSupport
import Testing

@testable import Transport

/// Large frames between processes: `near` is an end, `far` passes on what it gets.
@Suite("Shared memory", .serialized) struct SharedMemoryTests {
  private static func pattern(_ count: Int) -> Frame {
    Frame(
      [UInt8](unsafeUninitializedCapacity: count) { bytes, filled in
        for index in 0..<count { bytes[index] = UInt8(truncatingIfNeeded: index &* 31 >> 3) }
        filled = count
      })
  }

  private func pair() throws -> (near: LocalSocket, far: LocalSocket) {
    let listener = try #require(LocalListener(path: "/tmp/apus-test-\(UInt32.random(in: 0...UInt32.max))"))
    let near = try #require(LocalSocket(connectingTo: listener.path))
    return (near, try #require(try listener.accept()))
  }

  private func frames(_ received: LocalSocket.Received) -> [Frame]? {
    if case .message(let frames) = received { return frames }
    return nil
  }

  /// What a descriptor is of: a memory, a pipe, a file.
  private struct Place: Hashable {
    let device: dev_t
    let number: ino_t

    init?(_ descriptor: Int32) {
      var status = stat()
      guard fstat(descriptor, &status) == 0 else { return nil }
      (device, number) = (status.st_dev, status.st_ino)
    }
  }

  /// How many descriptors of this process are of one place. The tests beside this one open and close thousands of others meanwhile: ours
  /// may have any number, and theirs may be gone as soon as they are listed.
  private func descriptors(of place: Place) -> Int {
    DirectoryListing.names(in: "/proc/self/fd").count { name in Int32(name).flatMap { Place($0) } == place }
  }

  @Test("a large frame is copied once, and goes on without a copy") func passing() throws {
    let place: Place
    do {
      let (near, far) = try pair()
      let large = Self.pattern(SharedMemory.threshold)
      let message = [Frame("a"), large, .empty, large, Frame([1, 2])]
      let copies = SharedCopies()
      #expect(near.send(message, copying: copies) == .sent)
      #expect(copies.memory(for: large) === copies.memory(for: large), "the second time it is there already")
      let received = try #require(frames(far.receive()))
      #expect(received == message)
      #expect(received[0].sharedMemory == nil)
      let memory = try #require(received[1].sharedMemory)
      place = try #require(Place(memory.descriptors[0]))
      #expect(received[3].sharedMemory === memory, "what came twice is there once")
      // Back, without leave to copy anything: it need not be copied.
      #expect(far.send(received) == .sent)
      let returned = try #require(frames(near.receive()))
      #expect(returned == message)
      #expect(returned[1].sharedMemory == nil, "who does not pass frames on keeps no descriptors")
    }
    #expect(descriptors(of: place) == 0)
  }

  @Test("what comes again to be passed on is the same memory, as long as somebody has it") func again() throws {
    let (near, far) = try pair()
    let kept = SharedMemory.copy(of: Self.pattern(SharedMemory.threshold + 1))
    let memory = try #require(kept.sharedMemory)
    let place = try #require(Place(memory.descriptors[0]))
    do {
      #expect(near.send([Frame("1"), kept]) == .sent && near.send([Frame("2"), kept]) == .sent, "nothing has to be copied")
      let first = try #require(frames(far.receive())?.last)
      let second = try #require(frames(far.receive())?.last)
      #expect(first == kept && first.isIdentical(to: second) && first.sharedMemory === second.sharedMemory)
      #expect(descriptors(of: place) == 2, "the sender's and the receiver's")
      let other = Self.pattern(SharedMemory.threshold + 1)
      #expect(near.send([other], copying: SharedCopies()) == .sent)
      let third = try #require(frames(far.receive())?.last)
      #expect(third == other && third.sharedMemory !== first.sharedMemory, "equal, and not the same")
    }
    #expect(descriptors(of: place) == 1)
    // Back at one who passes nothing on, each has pages of its own.
    #expect(far.send([kept]) == .sent && far.send([kept]) == .sent)
    let mine = [frames(near.receive()), frames(near.receive())].compactMap { $0?.first }
    try #require(mine.count == 2)
    mine[0].withUnsafeBytes { UnsafeMutableRawPointer(mutating: $0.baseAddress)?.storeBytes(of: 0xff, as: UInt8.self) }
    #expect(mine[0] != kept && mine[1] == kept)
  }

  @Test("what is on its way already takes no more memory when it is sent again") func onTheWay() throws {
    let (near, far) = try pair()
    let kept = SharedMemory.copy(of: Self.pattern(8 << 20))
    // Far more than may be on the way of others to a reader that does not read.
    for _ in 0..<30 { try #require(near.send([kept]) == .sent) }
    let other = Self.pattern(40 << 20)
    #expect(near.send([other], copying: SharedCopies()) == .sent)
    #expect(near.send([other], copying: SharedCopies()) == .sent)
    #expect(near.send([other], copying: SharedCopies()) == .full, "too many bytes that nobody has read")
    #expect(near.send([kept]) == .sent)
    for _ in 0..<30 { #expect(frames(far.receive()) == [kept]) }
    for _ in 0..<2 { #expect(frames(far.receive()) == [other]) }
    #expect(frames(far.receive()) == [kept])
    #expect(near.send([other], copying: SharedCopies()) == .sent)
  }

  @Test("a frame too small for shared memory is copied as it is") func small() {
    let frame = Self.pattern(SharedMemory.threshold - 1)
    let copy = SharedMemory.copy(of: frame)
    #expect(copy == frame && !copy.isIdentical(to: frame) && copy.sharedMemory == nil)
  }

  @Test("each holder writes into pages of its own") func privacy() throws {
    let (near, far) = try pair()
    let large = Self.pattern(SharedMemory.threshold)
    #expect(near.send([large], copying: SharedCopies()) == .sent)
    let first = try #require(frames(far.receive())?.first)
    #expect(far.send([first]) == .sent)
    let second = try #require(frames(near.receive())?.first)
    second.withUnsafeBytes { UnsafeMutableRawPointer(mutating: $0.baseAddress)?.storeBytes(of: 0xff, as: UInt8.self) }
    #expect(first == large && second != large)
  }

  @Test("a message that is too long for a packet", arguments: [1, 5, 3000]) func packed(_ count: Int) throws {
    let (near, far) = try pair()
    let message = (0..<count).map { Self.pattern($0 % 3 * 70_000 / count + 150_000 / count) }
    #expect(near.send(message) == .unfit)
    #expect(near.send(message + [Self.pattern(1 << 20)], copying: SharedCopies()) == .sent)
    let received = try #require(frames(far.receive()))
    #expect(received == message + [Self.pattern(1 << 20)])
  }

  @Test("more large frames than descriptors may travel") func many() throws {
    let (near, far) = try pair()
    let message = [Frame](repeating: Self.pattern(SharedMemory.threshold), count: 100)
    #expect(near.send(message, copying: SharedCopies()) == .sent)
    #expect(frames(far.receive()) == message)
  }

  @Test("libzmq sends such a frame as ordinary bytes, also when it has gone here") func overLibzmq() throws {
    let (near, far) = try pair()
    let large = Self.pattern(SharedMemory.threshold)
    #expect(near.send([large], copying: SharedCopies()) == .sent)
    let context = try Context()
    let sender = try Socket(.dealer, in: context)
    try sender.bind("inproc://memory")
    let receiver = try Socket(.dealer, in: context)
    try receiver.connect("inproc://memory")
    try sender.send(try #require(frames(far.receive())))
    let ready = try receiver.waitReadable(milliseconds: 10_000 * patience)
    #expect(ready)
    let received = try receiver.receive()
    #expect(received == [large])
  }

  @Test("a reader that stops holds a bounded number of bytes") func bound() throws {
    let (near, far) = try pair()
    let large = Self.pattern(16 << 20)
    var sent = 0
    while sent < 100, near.send([large], copying: SharedCopies()) == .sent { sent += 1 }
    #expect(sent == 5)
    for _ in 0..<sent { #expect(frames(far.receive()) == [large]) }
    #expect(near.send([large], copying: SharedCopies()) == .sent)
  }

  // MARK: pieces

  @Test("a large frame is in pieces that threads fill, and is whole for its receivers", arguments: [0, 1, 4095, 700_000])
  func pieces(_ more: Int) throws {
    let large = Self.pattern(4 * SharedMemory.leastPiece + more)
    let memory = try #require(SharedMemory(copying: large))
    #expect(memory.descriptors.count == SharedMemory.pieceCount(of: large.count))
    let places = try memory.descriptors.map { try #require(Place($0)) }
    #expect(Set(places).count == memory.descriptors.count)
    let (near, far) = try pair()
    do {
      let copies = SharedCopies()
      #expect(near.send([Frame("a"), large, large, Frame("b")], copying: copies) == .sent)
      let received = try #require(frames(far.receive()))
      #expect(received == [Frame("a"), large, large, Frame("b")])
      #expect(far.send(received) == .sent)
      #expect(frames(near.receive()) == received)
    }
    withExtendedLifetime(memory) {}
  }

  @Test("how many pieces there are, and of what sizes") func pieceSizes() throws {
    let least = SharedMemory.leastPiece
    #expect(SharedMemory.pieceCount(of: 2 * least - 1, processors: 64) == 1)
    #expect(SharedMemory.pieceCount(of: 2 * least, processors: 64) == 2)
    #expect(SharedMemory.pieceCount(of: 100 * least, processors: 1) == 1)
    #expect(SharedMemory.pieceCount(of: 100 * least, processors: 64) == SharedMemory.mostPieces)
    for pieces in 1...SharedMemory.mostPieces {
      for count in [pieces * least, pieces * least + 1, pieces * least - 1 + (1 << 20), 1 << 40] {
        let sizes = try #require(SharedMemory.sizes(of: count, pieces: pieces))
        #expect(sizes.count == pieces && sizes.reduce(0, +) == count && sizes.allSatisfy { $0 > 0 })
        #expect(sizes.dropLast().allSatisfy { $0.isMultiple(of: 64 << 10) }, "the next begins at a page")
      }
    }
    for (count, pieces) in [(0, 1), (-1, 1), (1, 2), (1 << 20, 4), (1 << 55, 2), (1 << 30, 5), (1 << 30, 0), (1 << 30, 128)] {
      #expect(SharedMemory.sizes(of: count, pieces: pieces) == nil, "\(count) bytes in \(pieces)")
    }
  }

  @Test("pieces that do not fit their frame are refused", arguments: [(2, 2, 0), (2, 1, 0), (1, 2, 0), (2, 2, 1), (3, 3, 1)])
  func wrongPieces(_ said: Int, _ sent: Int, _ wrong: Int) throws {
    let (near, far) = try pair()
    let count = 20 << 20
    let sizes = try #require(SharedMemory.sizes(of: count, pieces: sent))
    let memories = sizes.map { size in
      let memory = apus_memory_create()
      ftruncate(memory, size + (size == sizes.last ? wrong : 0))
      _ = apus_memory_seal(memory)
      return memory
    }
    defer { for memory in memories { close(memory) } }
    var head: [UInt8] = [1, 0, UInt8(sent), 0]
    withUnsafeBytes(of: (UInt64(count) | 1 << 63 | UInt64(said - 1) << 56).littleEndian) { head.append(contentsOf: $0) }
    #expect(apus_send_descriptors(near.descriptor, head, head.count, memories, Int32(memories.count)) == head.count)
    let received = frames(far.receive())
    #expect(said == sent && wrong == 0 ? received?.first?.count == count : received == nil)
    for place in Set(memories.compactMap { Place($0) }) where received == nil {
      #expect(descriptors(of: place) == 1, "what came is closed")
    }
  }

  // MARK: what is refused

  enum Trick: CaseIterable {
    case unsealed, onlyWriteSealed, shorter, longer, file, pipe, directory, none, tooMany, extra, emptyPack, sparsePack
  }

  @Test("what could change, shrink or surprise is refused, and its descriptors are closed", arguments: Trick.allCases)
  func refusal(_ trick: Trick) throws {
    let (near, far) = try pair()
    let size = 1 << 20
    let memory = apus_memory_create()
    try #require(memory >= 0)
    defer { close(memory) }
    #expect(ftruncate(memory, trick == .emptyPack ? 0 : size) == 0)
    if trick == .onlyWriteSealed {
      #expect(fcntl(memory, 1033, 8) == 0)
    } else if trick != .unsealed {
      #expect(apus_memory_seal(memory) == 0)
    }
    var given = [memory]
    var pipeEnds: [Int32] = [-1, -1]
    defer { for end in pipeEnds where end >= 0 { close(end) } }
    switch trick {
    case .file: given = [open("/proc/self/exe", O_RDONLY)]
    case .directory: given = [open("/tmp", O_RDONLY)]
    case .pipe:
      #expect(pipe(&pipeEnds) == 0)
      given = [pipeEnds[0]]
    case .none: given = []
    case .extra: given = [memory, memory]
    case .tooMany: given = [Int32](repeating: memory, count: 64)
    default: break
    }
    defer { if trick == .file || trick == .directory { for descriptor in given { close(descriptor) } } }
    var head: [UInt8] = [1, 0, UInt8(given.count), 0]
    if trick == .emptyPack || trick == .sparsePack { head = [0, 0, 1, 0] }
    var length = UInt64(size) | 1 << 63
    if trick == .shorter { length -= 1 }
    if trick == .longer { length += 1 }
    if head[0] == 1 { withUnsafeBytes(of: length.littleEndian) { head.append(contentsOf: $0) } }
    let sent = apus_send_descriptors(near.descriptor, head, head.count, given, Int32(given.count))
    #expect(sent == head.count)
    guard case .closed = far.receive() else {
      Issue.record("taken: \(trick)")
      return
    }
    // Others may have opened the same file or folder.
    guard trick != .file, trick != .directory else { return }
    for place in Set(given.compactMap { Place($0) }) {
      #expect(descriptors(of: place) == (trick == .pipe ? 2 : 1), "what came is closed")
    }
  }

  @Test("the same, as it should be") func accepted() throws {
    let (near, far) = try pair()
    let memory = apus_memory_create()
    defer { close(memory) }
    #expect(ftruncate(memory, 1 << 20) == 0 && apus_memory_seal(memory) == 0)
    var head: [UInt8] = [1, 0, 1, 0]
    withUnsafeBytes(of: (UInt64(1 << 20) | 1 << 63).littleEndian) { head.append(contentsOf: $0) }
    #expect(apus_send_descriptors(near.descriptor, head, head.count, [memory], 1) == head.count)
    #expect(frames(far.receive())?.first?.count == 1 << 20)
  }

  @Test("what is about to be read is found meanwhile, and goes with its last reader; any other frame stays as it was")
  func readAhead() throws {
    let (near, far) = try pair()
    #expect(near.send([Self.pattern(Frame.muchToRead + 12_345)], copying: SharedCopies()) == .sent)
    let received = try #require(frames(far.receive()))
    #expect(Self.present(received[0]) < 100)
    received[0].readAhead()
    let pages = (Frame.muchToRead + 12_345) / Int(getpagesize())
    for _ in 0..<2000 * patience where Self.present(received[0]) < pages { usleep(5000) }
    #expect(Self.present(received[0]) >= pages)
    #expect(received[0] == Self.pattern(Frame.muchToRead + 12_345))
    // At odd places of ordinary memory, and too small to be worth it.
    let ordinary = Self.pattern(Frame.muchToRead + 1)
    for frame in [ordinary, Self.pattern(10), .empty] {
      frame.readAhead()
      #expect(frame.count < 11 || frame == ordinary)
    }
  }

  /// Pages of it that this process has, as the system says.
  private static func present(_ frame: Frame) -> Int {
    let file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return 0 }
    defer { close(file) }
    let page = Int(getpagesize())
    let first = Int(bitPattern: frame.storage.baseAddress) / page
    var entries = [UInt64](repeating: 0, count: frame.count / page + 1)
    let size = entries.count * 8
    let got = pread(file, &entries, size, off_t(first * 8))
    return got > 0 ? entries.prefix(got / 8).count { $0 >> 63 == 1 } : 0
  }
}
