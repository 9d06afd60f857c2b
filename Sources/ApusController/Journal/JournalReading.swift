import ApusMessaging
import DequeModule
import Dispatch
import Glibc
import Synchronization
import Transport

/// Reads segments in their order, a part at a time: while one is taken in, those behind it are decoded by other threads, also those of the next segment.
/// No more of them are in memory than there are processors, and one.
struct JournalReading {
  let directory: String
  /// Bytes of a part, at least, but for the last one of a segment.
  private let partSize: Int
  private let width: Int

  init(_ directory: String, partSize: Int = 4 << 20) {
    self.directory = directory
    self.partSize = partSize
    width = min(8, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
  }

  /// - Parameter body: is given the parts, or why a segment cannot be read.
  func read(_ numbers: [Int], _ body: (Result<JournalSegment, FileError>) -> Void) {
    var numbers = numbers[...]
    var parts = Deque<Result<Part, FileError>>()
    var begun = 0
    func beginParts() {
      while begun < width {
        // The next segment is opened when its parts are wanted.
        while begun == parts.count, let number = numbers.popFirst() { parts += self.parts(of: number) }
        guard begun < parts.count else { return }
        if case .success(let part) = parts[begun] { part.begin() }
        begun += 1
      }
    }
    beginParts()
    while let first = parts.popFirst() {
      begun -= 1
      switch first {
      case .success(let part):
        let segment = part.take()
        // While this one is taken in the others are decoded.
        beginParts()
        if let segment { body(.success(segment)) }
      case .failure(let error):
        beginParts()
        body(.failure(error))
      }
    }
  }

  private func parts(of number: Int) -> [Result<Part, FileError>] {
    let segment: MappedSegment
    do throws(FileError) { segment = try MappedSegment(number, in: directory) } catch { return [.failure(error)] }
    let ends = segment.withBytes { JournalBlock.partition($0, size: partSize) }
    return zip([0] + ends, ends).map { start, end in .success(Part(segment, start..<end)) }
  }

  /// A part that is decoded on another thread.
  private final class Part: Sendable {
    private let segment: MappedSegment
    private let range: Range<Int>
    private let decoded = Mutex<JournalSegment?>(nil)
    private let isDone = DispatchSemaphore(value: 0)

    init(_ segment: MappedSegment, _ range: Range<Int>) { (self.segment, self.range) = (segment, range) }

    func begin() {
      DispatchQueue.global(qos: .userInitiated).async { [self] in
        let part = segment.withBytes { bytes in
          JournalSegment(
            UnsafeRawBufferPointer(rebasing: bytes[range]), name: segment.path, offset: range.lowerBound,
            isLast: range.upperBound == bytes.count)
        }
        decoded.withLock { $0 = part }
        isDone.signal()
      }
    }

    func take() -> JournalSegment? {
      isDone.wait()
      return decoded.withLock { $0.take() }
    }
  }
}

/// The bytes of a segment, mapped for as long as somebody has it.
///
/// `@unchecked Sendable`: nobody writes to them.
final class MappedSegment: @unchecked Sendable {
  let path: String
  private let bytes: UnsafeRawBufferPointer

  init(_ number: Int, in directory: String) throws(FileError) {
    let path = JournalFiles.path(number, in: directory)
    // A pipe would keep us waiting for somebody who writes to it.
    let opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard opened >= 0 else { throw FileError(path: path, action: "read", code: errno) }
    defer { close(opened) }
    var status = stat()
    guard fstat(opened, &status) == 0 else { throw FileError(path: path, action: "read", code: errno) }
    // A directory has a size on one file system, and none on another.
    guard status.st_mode & S_IFMT == S_IFREG else { throw FileError(path: path, action: "read", code: EINVAL) }
    let size = Int(status.st_size)
    guard size > 0 else {
      (self.path, bytes) = (path, UnsafeRawBufferPointer(start: nil, count: 0))
      return
    }
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, opened, 0), start != MAP_FAILED else {
      throw FileError(path: path, action: "read", code: errno)
    }
    (self.path, bytes) = (path, UnsafeRawBufferPointer(start: start, count: size))
  }

  func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    defer { withExtendedLifetime(self) {} }
    return body(bytes)
  }

  deinit { if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) } }
}
