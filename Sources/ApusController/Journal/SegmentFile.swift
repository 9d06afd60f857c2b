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

  /// Fills the buffer with what is there from the offset on.
  /// - Throws: where the disk does not give it, or the file has become shorter.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(FileError) {
    var done = 0
    while done < buffer.count {
      let count = reading(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, offset + done)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw FileError(path: path, action: "read", code: count == 0 ? EIO : errno) }
      done += count
    }
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
        bytes = [UInt8](repeating: 0, count: min(Self.size, file.size - offset))
        do throws(FileError) {
          var failure: FileError?
          bytes.withUnsafeMutableBytes { buffer in
            do throws(FileError) { try file.read(into: buffer, at: offset) } catch { failure = error }
          }
          if let failure { throw failure }
        } catch {
          bytes = []
          return nil
        }
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
