import ApusMessaging
import Dispatch
import Glibc
import Synchronization
import Transport

/// Reads segments in their order, a part at a time: while one is taken in, those behind it are decoded by other threads. No more of them are in
/// memory than there are processors, and one.
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
    for number in numbers {
      let name = JournalFiles.path(number, in: directory)
      do throws(FileError) {
        try JournalFiles.withSegment(number, in: directory) { bytes in
          decode(bytes, name: name) { body(.success($0)) }
        }
      } catch { body(.failure(error)) }
    }
  }

  /// A part that is decoded on another thread.
  ///
  /// `@unchecked Sendable`: the bytes outlive it, for `decode` takes all of its parts before it returns, and nobody writes to them.
  private final class Part: @unchecked Sendable {
    private let bytes: UnsafeRawBufferPointer
    private let name: String
    private let offset: Int
    private let isLast: Bool
    private let decoded = Mutex<JournalSegment?>(nil)
    private let isDone = DispatchSemaphore(value: 0)

    init(_ bytes: UnsafeRawBufferPointer, name: String, offset: Int, isLast: Bool) {
      (self.bytes, self.name, self.offset, self.isLast) = (bytes, name, offset, isLast)
    }

    func begin() {
      DispatchQueue.global(qos: .userInitiated).async { [self] in
        let segment = JournalSegment(bytes, name: name, offset: offset, isLast: isLast)
        decoded.withLock { $0 = segment }
        isDone.signal()
      }
    }

    func take() -> JournalSegment? {
      isDone.wait()
      return decoded.withLock { $0.take() }
    }
  }

  private func decode(_ bytes: UnsafeRawBufferPointer, name: String, _ body: (JournalSegment) -> Void) {
    let ends = JournalBlock.partition(bytes, size: partSize)
    let parts = zip([0] + ends, ends).map { start, end in
      Part(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), name: name, offset: start, isLast: end == bytes.count)
    }
    for part in parts.prefix(width) { part.begin() }
    for (index, part) in parts.enumerated() {
      let segment = part.take()
      if index + width < parts.count { parts[index + width].begin() }
      if let segment { body(segment) }
    }
  }
}
