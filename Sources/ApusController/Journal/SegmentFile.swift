import ApusMessaging
import Glibc
import Synchronization

/// A segment's file, open for as long as somebody has it.
///
/// It is read and not mapped: a page that the disk cannot give, or that is cut off meanwhile, is an error then, and not the end of the process.
final class SegmentFile: Sendable {
  /// As `pread` of the system: a test's disk may be broken.
  typealias Reading = @Sendable (_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int, _ offset: Int) -> Int

  let path: String
  /// In bytes, when it was opened.
  let size: Int
  private let descriptor: Int32
  private let reading: Reading

  init(_ number: Int, in directory: String, reading: @escaping Reading = { pread($0, $1, $2, $3) }) throws(FileError) {
    path = JournalFiles.path(number, in: directory)
    self.reading = reading
    // A pipe would keep us waiting for somebody who writes to it.
    let opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard opened >= 0 else { throw FileError(path: path, action: "read", code: errno) }
    var status = stat()
    let code = fstat(opened, &status) == 0 ? 0 : errno
    // A directory has a size on one file system, and none on another.
    guard code == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(opened)
      throw FileError(path: path, action: "read", code: code == 0 ? EINVAL : code)
    }
    descriptor = opened
    size = Int(status.st_size)
  }

  deinit { close(descriptor) }

  /// - Returns: how many bytes came before the disk gave no more, at least one.
  /// - Throws: where it gives none, or the file has become shorter.
  private func readSome(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) -> Int {
    while true {
      let count = reading(descriptor, buffer.baseAddress, buffer.count, offset)
      if count > 0 { return count }
      if count < 0, errno == EINTR { continue }
      throw FileError(path: path, action: "read", code: count == 0 ? EIO : errno)
    }
  }

  private static let pageSize = 4096

  /// Fills the buffer with what is there from the offset on, and with zeros where nothing comes: blocks behind a broken page are found by their marks.
  /// - Returns: why something is missing, the first reason of several.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> FileError? {
    var failure: FileError?
    var done = 0
    // Pages that are left out at the next failure: each attempt may take the disk seconds.
    var pages = 1
    while done < buffer.count {
      // Behind a failure by pages: a longer request would fail for one of them.
      let pageEnd = min(buffer.count, ((offset + done) / Self.pageSize + 1) * Self.pageSize - offset)
      let end = failure == nil ? buffer.count : pageEnd
      do throws(FileError) {
        done += try readSome(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<end]), at: offset + done)
        pages = 1
      } catch {
        defer { failure = failure ?? error }
        // The request may have been too long.
        if failure == nil, end > pageEnd { continue }
        let skipped = min(buffer.count, pageEnd + (pages - 1) * Self.pageSize)
        buffer[done..<skipped].initializeMemory(as: UInt8.self, repeating: 0)
        done = skipped
        pages *= 2
      }
    }
    return failure
  }

  /// Reads at least so many bytes, and as many more as come.
  /// - Returns: `nil` where fewer come.
  private func bytes(_ wanted: Int, upTo most: Int, at offset: Int) -> [UInt8]? {
    var done = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: most) { buffer, count in
      while done < most {
        let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[done...])
        guard let some = try? readSome(into: rest, at: offset + done) else { break }
        done += some
      }
      count = done
    }
    return done >= wanted ? bytes : nil
  }

  /// Where it can be divided, as of `JournalBlock.partition`. Of what cannot be read nobody knows how long it is: that, and all behind it, is one part.
  func partition(partSize: Int) -> [Range<Int>] {
    var window = Window(self)
    let ends = JournalBlock.partition(size, size: partSize) { window.header(at: $0) }
    return zip([0] + ends, ends).map { $0..<$1 }
  }

  /// Some bytes of it: small blocks have many headers in them.
  private struct Window {
    private let file: SegmentFile
    private var bytes: [UInt8] = []
    private var start = 0
    private static let size = 4096

    init(_ file: SegmentFile) { self.file = file }

    mutating func header(at offset: Int) -> JournalBlock.Header? {
      let wanted = min(JournalBlock.headerSize + 1, file.size - offset)
      guard wanted > 0 else { return nil }
      if offset < start || offset + wanted > start + bytes.count {
        start = offset
        bytes = file.bytes(wanted, upTo: min(Self.size, file.size - offset), at: offset) ?? []
        if bytes.isEmpty { return nil }
      }
      return bytes.withUnsafeBytes { JournalBlock.Header(UnsafeRawBufferPointer(rebasing: $0[(offset - start)...])) }
    }
  }
}

/// Memory for parts of segments while they are decoded, used again: what is new has to be cleared by the system first.
final class PartBuffers: Sendable {
  /// `@unchecked Sendable`: who has taken it has it alone.
  private final class Buffer: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
    init?(_ count: Int) {
      guard let start = malloc(max(1, count)) else { return nil }
      bytes = UnsafeMutableRawBufferPointer(start: start, count: count)
    }
    deinit { free(bytes.baseAddress) }
  }

  private let spare = Mutex<[Buffer]>([])
  /// Larger ones are not kept.
  private let largest: Int

  /// - Parameter usual: bytes of a part, about.
  init(usual: Int) { largest = 2 * usual }

  /// - Returns: what the body does with so many bytes; `nil` where there is no memory for them.
  func with<R>(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> R) -> R? {
    let found = spare.withLock { spare in
      spare.firstIndex { $0.bytes.count >= count }.map { spare.remove(at: $0) }
    }
    guard let buffer = found ?? Buffer(count <= largest ? largest : count) else { return nil }
    defer { if buffer.bytes.count <= largest { spare.withLock { $0.append(buffer) } } }
    return body(UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]))
  }
}
