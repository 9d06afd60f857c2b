import ApusMessaging
import Foundation
import TestSupport
import Testing

@testable import ApusController

@Suite("Journal: what was there before, until the first snapshot is on the disk")
struct FirstSnapshotTests {
  private func withDirectory<R>(_ body: (String) throws -> R) throws -> R {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-journal-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    _ = try JournalFiles.id(in: path)
    return try body(path)
  }

  private struct Effects: JournalEffects {
    var suspensions = 0
    mutating func syncLater(after delay: Duration) {}
    mutating func tellLater(after delay: Duration) {}
    mutating func retryLater(after delay: Duration) {}
    mutating func written(_ ticket: Int, replies: [EngineUUID: [MessageID]]) {}
    mutating func snapshotWanted() {}
    mutating func closeBacklog() {}
    mutating func suspended(_ reason: String) { suspensions += 1 }
  }

  /// Files on a disk that keeps nothing for good.
  private final class UnsyncedFiles: JournalStorage {
    let files: JournalFiles
    init(_ files: JournalFiles) { self.files = files }

    var directory: String { files.directory }
    var number: Int { files.number }
    var bytes: Int { files.bytes }
    var isFormerDamaged: Bool { files.isFormerDamaged }
    func beginSegment(isSynced: Bool) throws(FileError) { try files.beginSegment(isSynced: false) }
    func append(_ block: [UInt8]) throws(FileError) { try files.append(block) }
    func sync() throws(FileError) { throw FileError(path: directory, action: "write", code: EIO) }
    func syncFormer() throws(FileError) { try files.syncFormer() }
    func replaceFormer() { files.replaceFormer() }
    func removeClosed(while isObsolete: (_ number: Int, _ bytesLeft: Int) -> Bool) { files.removeClosed(while: isObsolete) }
    func removeWritten() { files.removeWritten() }
    func removeAll() { files.removeAll() }
    func removeDirectory() { files.removeDirectory() }
  }

  @Test("where it cannot be brought there, what was restored stays; after the second attempt it goes")
  func unsynced() throws {
    try withDirectory { directory in
      let old = JournalFiles(directory: directory, limit: 1 << 20)
      try old.beginSegment()
      try old.append(JournalBlockTests.block([JournalBlockTests.submitted("old")]))
      var effects = Effects()
      var state = JournalState(UnsyncedFiles(JournalFiles(directory: directory, limit: 1 << 20)), JournalConfiguration())
      let restated = RestatedTask(id: "old", message: Messages.request("old"))
      let snapshot = JournalBacklog.Taken(
        entries: [.snapshotBegins, .restated(restated), .snapshotEnds(tasks: 1)], ticket: 1, hasOverflowed: false)
      for attempt in 1...2 {
        state.resume(effects: &effects)
        state.commit(snapshot, effects: &effects)
        #expect(effects.suspensions == attempt && !state.isWriting)
        #expect(JournalFiles.segments(in: directory).map(\.number) == (attempt == 1 ? [1] : []))
      }
    }
  }

  @Test("where a full disk takes everything, what was put aside goes as well, and nothing of others")
  func putAside() throws {
    try withDirectory { directory in
      for name in ["00000001.damaged", "00000001-2.damaged", "20240101-notes.damaged"] {
        try Data([1]).write(to: URL(filePath: "\(directory)/\(name)"))
      }
      try FileManager.default.createDirectory(atPath: "\(directory)/00000002.damaged", withIntermediateDirectories: false)
      let files = JournalFiles(directory: directory, limit: 100)
      var effects = Effects()
      var state = JournalState(files, JournalConfiguration())
      let large = JournalBacklog.Taken(
        entries: [JournalBlockTests.finished("a", bytes: 1000)], ticket: 1, hasOverflowed: false)
      for _ in 1...2 {
        state.resume(effects: &effects)
        state.commit(large, effects: &effects)
      }
      #expect(effects.suspensions == 2)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == ["20240101-notes.damaged", "id"])
    }
  }
}
