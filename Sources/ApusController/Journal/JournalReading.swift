import ApusMessaging
import DequeModule
import Dispatch
import Glibc
import Synchronization
import Transport

/// Reads segments in their order, a part at a time: while one is taken in, those behind it are decoded by other threads, also those of the next segment.
/// No more parts are in memory than there are processors, and one.
struct JournalReading {
  let directory: String
  /// Bytes of a part, at least, but for the last one of a segment.
  private let partSize: Int
  private let width: Int
  private let reading: SegmentFile.Reading
  private let buffers: PartBuffers

  /// - Parameter reading: how bytes come from a file.
  init(_ directory: String, partSize: Int = 4 << 20, reading: @escaping SegmentFile.Reading = { pread($0, $1, $2, $3) }) {
    self.directory = directory
    self.partSize = partSize
    self.reading = reading
    buffers = PartBuffers(usual: partSize)
    width = min(8, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
  }

  /// - Parameter body: is given the parts, or why a segment, or a part of it, cannot be read.
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
        if let segment { body(segment) }
      case .failure(let error):
        beginParts()
        body(.failure(error))
      }
    }
  }

  private func parts(of number: Int) -> [Result<Part, FileError>] {
    let file: SegmentFile
    do throws(FileError) { file = try SegmentFile(number, in: directory, reading: reading) } catch { return [.failure(error)] }
    return file.partition(partSize: partSize).map { .success(Part(file, $0, buffers)) }
  }

  /// A part that is read and decoded on another thread.
  private final class Part: Sendable {
    private let file: SegmentFile
    private let range: Range<Int>
    private let buffers: PartBuffers
    private let decoded = Mutex<Result<JournalSegment, FileError>?>(nil)
    private let isDone = DispatchSemaphore(value: 0)

    init(_ file: SegmentFile, _ range: Range<Int>, _ buffers: PartBuffers) {
      (self.file, self.range, self.buffers) = (file, range, buffers)
    }

    func begin() {
      DispatchQueue.global(qos: .userInitiated).async { [self] in
        let part = buffers.with(range.count) { decode(in: $0) }
        decoded.withLock { $0 = part ?? .failure(FileError(path: file.path, action: "read", code: ENOMEM)) }
        isDone.signal()
      }
    }

    private func decode(in buffer: UnsafeMutableRawBufferPointer) -> Result<JournalSegment, FileError> {
      do throws(FileError) { try file.read(into: buffer, at: range.lowerBound) } catch { return .failure(error) }
      return .success(
        JournalSegment(
          UnsafeRawBufferPointer(buffer), name: file.path, offset: range.lowerBound, isLast: range.upperBound == file.size))
    }

    func take() -> Result<JournalSegment, FileError>? {
      isDone.wait()
      return decoded.withLock { $0.take() }
    }
  }
}
