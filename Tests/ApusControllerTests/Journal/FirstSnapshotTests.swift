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
        turns: [[.snapshotBegins, .restated(restated), .snapshotEnds(tasks: 1)]], ticket: 1, hasOverflowed: false)
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
      let large = JournalBacklog.Taken(turns: [[JournalBlockTests.finished("a", bytes: 1000)]], ticket: 1, hasOverflowed: false)
      for _ in 1...2 {
        state.resume(effects: &effects)
        state.commit(large, effects: &effects)
      }
      #expect(effects.suspensions == 2)
      #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == ["20240101-notes.damaged", "id"])
    }
  }

  private func restored(_ directory: String) -> Restorer.Restored {
    Controller.readJournal(directory, outcomeLimit: 1000, logger: TestCluster.logger)
  }

  @Test("what was read is not gone on with where some of it is missing")
  func damagedIsRestated() throws {
    let limits = JournalLimits(snapshotDistance: 0)
    func read(_ bytes: [UInt8]) -> Restorer.Restored {
      var restorer = Restorer()
      bytes.withUnsafeBytes { restorer.read(segment: $0, name: "") }
      return restorer.finish()
    }
    let good = JournalBlockTests.block([JournalBlockTests.submitted("a")])
    var bad = good
    bad[20] ^= 1
    #expect(limits.goOn(with: read(good)) && limits.goOn(with: read(good + bad)), "a tail was never answered for")
    #expect(!limits.goOn(with: read(good + bad + good)))
    #expect(!limits.goOn(with: read(good + JournalBlockTests.block([.snapshotBegins]))))
    #expect(
      limits.goOn(
        with: read(
          good
            + JournalBlockTests.block([
              .snapshotBegins, .restated(RestatedTask(id: "b", message: Messages.request("b"))), .snapshotEnds(tasks: 1),
            ]))))
  }

  @Test("what is damaged is put aside when all that could be read is restated: the next controller finds a journal without damage")
  func damagedIsPutAside() throws {
    try withDirectory { directory in
      let old = JournalFiles(directory: directory, limit: 1 << 20)
      for number in 0..<4 {
        try old.beginSegment()
        try old.append(JournalBlockTests.block([JournalBlockTests.submitted(MessageID("a\(number)"))]))
        try old.append(JournalBlockTests.block([JournalBlockTests.submitted(MessageID("b\(number)"))]))
      }
      // A snapshot that goes over several segments, of which one is lost.
      try old.append(JournalBlockTests.block([.snapshotBegins]))
      let (second, third) = (JournalFiles.path(2, in: directory), JournalFiles.path(3, in: directory))
      var bytes = [UInt8](try Data(contentsOf: URL(filePath: second)))
      bytes[20] ^= 1
      try Data(bytes).write(to: URL(filePath: second))
      try FileManager.default.removeItem(atPath: third)
      try FileManager.default.createDirectory(atPath: third, withIntermediateDirectories: false)
      // One of before has its name.
      let aside = "\(third.dropLast(4)).damaged"
      try Data().write(to: URL(filePath: aside))

      let read = restored(directory)
      #expect(read.damaged == [second, third])
      #expect(read.tasks.map(\.id) == ["a0", "b0", "b1", "a3", "b3"])
      let files = JournalFiles(directory: directory, limit: 1 << 20, damaged: read.damaged)
      var configuration = JournalConfiguration()
      configuration.sync = .never
      var effects = Effects()
      var state = JournalState(files, configuration)
      state.resume(effects: &effects)
      func commit(_ entries: [JournalEntry]) {
        state.commit(JournalBacklog.Taken(turns: [entries], ticket: 1, hasOverflowed: false), effects: &effects)
      }
      commit([.snapshotBegins] + read.tasks.map { .restated($0) })
      let again = restored(directory)
      #expect(again.damaged == [second, third], "the next one may need what can be read of it")
      commit([.snapshotEnds(tasks: read.tasks.count)])
      let next = restored(directory)
      #expect(next.isWhole && next.tasks.map(\.id) == read.tasks.map(\.id))
      let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
      #expect(
        names == ["00000002.damaged", "00000003-2.damaged", "00000003.damaged", "00000005.log", "00000006.log", "id"], "\(names)")
      #expect([UInt8](try Data(contentsOf: URL(filePath: "\(second.dropLast(4)).damaged"))) == bytes)
      // And nothing is left after an end in order.
      state.end(effects: &effects)
      #expect(!FileManager.default.fileExists(atPath: directory))
    }
  }
}
