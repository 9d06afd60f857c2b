import ApusMessaging
import Transport

/// A segment as it was read, or a part of one: its records, and what could not be read. Not yet what follows from them, for which what comes before
/// has to be known: so several can be decoded at once (`JournalReading`).
struct JournalSegment: Sendable {
  let name: String
  let byteCount: Int
  var records: [JournalCodec.Record] = []
  /// How many of them are tasks.
  private(set) var taskCount = 0
  private(set) var damages: [JournalBlock.Damage] = []
  /// Records of a kind that this version does not know.
  private(set) var unknown = 0

  /// - Parameters:
  ///   - name: for sentences.
  ///   - offset: of the bytes in the segment.
  ///   - isLast: nothing of the segment follows: what is cut off at the end is the tail of a write.
  init(_ bytes: UnsafeRawBufferPointer, name: String, offset: Int = 0, isLast: Bool = true) {
    self.name = name
    byteCount = bytes.count
    var records: [JournalCodec.Record] = []
    var (tasks, unknown) = (0, 0)
    var course = JournalCodec.Course(expecting: bytes.count)
    damages = JournalBlock.read(bytes) { block, checksum in
      unknown += JournalCodec.read(block, &course, checksum: checksum) { record in
        if record.isTask { tasks += 1 }
        records.append(record)
      }
    }.map { JournalBlock.Damage(offset: offset + $0.offset, count: $0.count, isTail: $0.isTail && isLast) }
    course.requests.finish()
    self.records = records
    taskCount = tasks
    self.unknown = unknown
  }
}
