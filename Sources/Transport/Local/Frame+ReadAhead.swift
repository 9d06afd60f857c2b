import CAdmission
import Synchronization

extension Frame {
  /// From this size on finding the pages of a mapped frame takes milliseconds.
  static let muchToRead = 16 << 20

  /// Threads that do it now, in the whole process. While so many do it nothing is done: it is a matter of milliseconds.
  private static let readers = Atomic<Int>(0)
  private static let mostReaders = 4

  /// Its bytes are about to be read, by another thread: the system finds the pages of a large one meanwhile, with as many threads as fill such a frame. A frame that
  /// is not mapped memory is as it was.
  public func readAhead() {
    guard count >= Self.muchToRead else { return }
    let parts = SharedMemory.pieceCount(of: count)
    guard parts > 1, Self.readers.load(ordering: .relaxed) + parts <= Self.mostReaders else { return }
    let size = count / parts
    let start = storage.baseAddress
    for part in 0..<parts {
      guard let start = start.map({ $0 + part * size }) else { return }
      let owner = Unmanaged.passRetained(Kept(self)).toOpaque()
      apus_memory_read_ahead(start, part == parts - 1 ? count - part * size : size, owner) { owner in
        if let owner { Unmanaged<Kept>.fromOpaque(owner).release() }
      }
    }
  }

  private final class Kept: Sendable {
    let frame: Frame
    init(_ frame: Frame) {
      self.frame = frame
      readers.wrappingAdd(1, ordering: .relaxed)
    }
    deinit { readers.wrappingSubtract(1, ordering: .relaxed) }
  }
}
