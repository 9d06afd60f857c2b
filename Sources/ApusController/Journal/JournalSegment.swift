import ApusMessaging
import Transport

/// A segment as it was read, or a part of one: its records, and what could not be read. Not yet what follows from them, for which what comes before
/// has to be known: so several can be decoded at once (`JournalReading`).
struct JournalSegment: Sendable {
  let name: String
  let byteCount: Int
  var records: [JournalCodec.Record] = []
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
    var unknown = 0
    var former = JournalCodec.Former()
    damages = JournalBlock.read(bytes) { block, checksum in
      unknown += JournalCodec.read(block, after: &former, checksum: checksum) { records.append($0) }
    }.map { JournalBlock.Damage(offset: offset + $0.offset, count: $0.count, isTail: $0.isTail && isLast) }
    self.records = records
    self.unknown = unknown
  }
}
