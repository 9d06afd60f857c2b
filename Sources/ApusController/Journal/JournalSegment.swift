import ApusMessaging
import Dispatch
import Glibc
import Synchronization
import Transport

/// A segment as it was read: its records, and what could not be read. Not yet what follows from them, for which the segments before have to be
/// known: so several can be decoded at once.
struct JournalSegment: Sendable {
  let name: String
  let byteCount: Int
  private(set) var records: [JournalCodec.Record] = []
  private(set) var damages: [JournalBlock.Damage] = []
  /// Records of a kind that this version does not know.
  private(set) var unknown = 0

  /// - Parameter name: for sentences.
  init(_ bytes: UnsafeRawBufferPointer, name: String) {
    self.name = name
    byteCount = bytes.count
    var records: [JournalCodec.Record] = []
    var unknown = 0
    var former = JournalCodec.Former()
    damages = JournalBlock.read(bytes) { block in
      unknown += JournalCodec.read(block, after: &former) { records.append($0) }
    }
    self.records = records
    self.unknown = unknown
  }

  /// Segments of a journal in their order. As many as there are processors are decoded at once, and in memory.
  static func read(
    _ numbers: [Int], in directory: String, _ body: (Result<JournalSegment?, FileError>) -> Void
  ) {
    let width = min(8, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    for start in stride(from: 0, to: numbers.count, by: width) {
      let part = Array(numbers[start..<min(start + width, numbers.count)])
      let found = Mutex<[Int: Result<JournalSegment?, FileError>]>([:])
      DispatchQueue.concurrentPerform(iterations: part.count) { index in
        let result = decode(part[index], in: directory)
        found.withLock { $0[index] = result }
      }
      let results = found.withLock { $0 }
      for index in part.indices { if let result = results[index] { body(result) } }
    }
  }

  /// - Returns: `nil` for an empty one.
  private static func decode(_ number: Int, in directory: String) -> Result<JournalSegment?, FileError> {
    let path = JournalFiles.path(number, in: directory)
    var segment: JournalSegment?
    do throws(FileError) {
      try JournalFiles.withSegment(number, in: directory) { segment = JournalSegment($0, name: path) }
    } catch { return .failure(error) }
    return .success(segment)
  }
}
