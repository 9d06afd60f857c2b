import ApusMessaging
import DequeModule
import Dispatch
import Glibc
import Synchronization
import Transport

/// Reads segments in their order, a part at a time: while one is taken in, those behind it are decoded by other threads, also those of the next segment.
/// No more parts are in memory than there are processors, and one; and of those that are being decoded no more bytes than 64 MiB, or one part.
struct JournalReading {
  let directory: String
  /// Bytes of a part, at least, but for the last one of a segment.
  private let partSize: Int
  private let bounds: Begun
  private let reading: SegmentFile.Reading
  private let buffers: PartBuffers

  /// - Parameters:
  ///   - bounds: what may be under way at once.
  ///   - reading: how bytes come from a file.
  init(
    _ directory: String, partSize: Int = 2 << 20, bounds: Begun = Begun(),
    reading: @escaping SegmentFile.Reading = { pread($0, $1, $2, $3) }
  ) {
    self.directory = directory
    self.bounds = bounds
    self.partSize = partSize
    self.reading = reading
    buffers = PartBuffers(usual: partSize)
  }

  /// Parts that have been begun, and not taken.
  struct Begun {
    var count = 0
    var bytes = 0
    /// One for each processor.
    var width = min(8, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    /// They are memory of their own.
    var mostBytes = 64 << 20

    func hasRoom(for size: Int) -> Bool { count == 0 || count < width && size <= mostBytes - bytes }
  }

  /// - Parameter body: is given the parts, and why a segment, or something of a part before it, cannot be read.
  func read(_ numbers: [Int], _ body: (Result<JournalSegment, FileError>) -> Void) {
    var numbers = numbers[...]
    var parts = Deque<Result<Part, FileError>>()
    var begun = bounds
    func beginParts() {
      while begun.hasRoom(for: 0) {
        // The next segment is opened when its parts are wanted.
        while begun.count == parts.count, let number = numbers.popFirst() { parts += self.parts(of: number) }
        guard begun.count < parts.count else { return }
        if case .success(let part) = parts[begun.count] {
          guard begun.hasRoom(for: part.size) else { return }
          part.begin()
        }
        begun.bytes += Self.size(of: parts[begun.count])
        begun.count += 1
      }
    }
    beginParts()
    while let first = parts.popFirst() {
      switch first {
      case .success(let part):
        let (segment, failure) = part.take()
        begun.count -= 1
        begun.bytes -= part.size
        // While this one is taken in the others are decoded.
        beginParts()
        if let failure { body(.failure(failure)) }
        if let segment { body(.success(segment)) }
      case .failure(let error):
        begun.count -= 1
        beginParts()
        body(.failure(error))
      }
    }
  }

  private static func size(of part: Result<Part, FileError>) -> Int { if case .success(let part) = part { part.size } else { 0 } }

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
    private let decoded = Mutex<(segment: JournalSegment?, failure: FileError?)>((nil, nil))
    private let isDone = DispatchSemaphore(value: 0)

    init(_ file: SegmentFile, _ range: Range<Int>, _ buffers: PartBuffers) {
      (self.file, self.range, self.buffers) = (file, range, buffers)
    }

    /// In bytes.
    var size: Int { range.count }

    func begin() {
      DispatchQueue.global(qos: .userInitiated).async { [self] in
        let part = buffers.with(range.count) { decode(in: $0) }
        decoded.withLock { $0 = part ?? (nil, FileError(path: file.path, action: "read", code: ENOMEM)) }
        isDone.signal()
      }
    }

    private func decode(in buffer: UnsafeMutableRawBufferPointer) -> (segment: JournalSegment?, failure: FileError?) {
      let failure = file.read(into: buffer, at: range.lowerBound)
      let segment = JournalSegment(
        UnsafeRawBufferPointer(buffer), name: file.path, offset: range.lowerBound, isLast: range.upperBound == file.size)
      return (segment, failure)
    }

    /// - Returns: what could be read, and why something could not.
    func take() -> (segment: JournalSegment?, failure: FileError?) {
      isDone.wait()
      return decoded.withLock { decoded in
        defer { decoded = (nil, nil) }
        return decoded
      }
    }
  }
}
