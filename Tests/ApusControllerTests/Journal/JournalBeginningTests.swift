import ApusMessaging
import Foundation
import TestSupport
import Testing

@testable import ApusController

/// A journal that a controller finds, and what is told of it.
@Suite("Journal: the beginning", .timeLimit(.minutes(3 * patience)))
final class JournalBeginningTests {
  let profile: String
  let directory: String

  init() throws {
    profile = try TestCluster.temporaryProfile()
    directory = "\(profile)/journal"
    _ = try JournalFiles.id(in: directory)
  }

  deinit { try? FileManager.default.removeItem(atPath: profile) }

  private func configure(_ configuration: inout ControllerConfiguration) { configuration.journal = JournalConfiguration() }

  @Test("one that controllers do not survive is set aside after a few of them, beside others of the kind")
  func setAside() throws {
    try FileManager.default.createDirectory(atPath: "\(directory).aside-1", withIntermediateDirectories: false)
    for _ in 0..<JournalFiles.mostAttempts {
      #expect(JournalFiles.prepare(directory, logger: TestCluster.logger) == nil)
      _ = Controller.resumeJournal(directory, outcomeLimit: 10, logger: TestCluster.logger)
    }
    let beginning = try #require(JournalFiles.prepare(directory, logger: TestCluster.logger))
    #expect(beginning.setAside?.path == "\(directory).aside-2")
    #expect(beginning.setAside?.reason == "3 controllers in a row ended while they read it")
    #expect(!JournalFiles.wasCutShort(directory) && JournalFiles.wasCutShort("\(directory).aside-2"))
    #expect(JournalFiles.prepare(directory, logger: TestCluster.logger) == nil)
  }

  @Test("a controller that comes to serve ends the count, and says how many tasks it has found")
  func served() async throws {
    JournalFiles.beginAttempt(directory)
    try await TestCluster.with(in: profile, configure) { cluster in
      let beginning = try #require(JournalBeginning(in: directory))
      #expect(beginning == JournalBeginning())
      // The count ends with the restoring, on the scheduler's loop.
      let end = ContinuousClock.now + .seconds(60 * patience)
      while FileManager.default.fileExists(atPath: "\(directory)/attempts"), ContinuousClock.now < end {
        try await Task.sleep(for: .milliseconds(2))
      }
      #expect(!FileManager.default.fileExists(atPath: "\(directory)/attempts"))
    }
    #expect(!FileManager.default.fileExists(atPath: directory))
  }

  @Test("one that cannot begin for another reason is not counted", arguments: ["database", "files"])
  func otherReasons(_ reason: String) async throws {
    var configuration = ControllerConfiguration(profileDirectory: profile)
    configure(&configuration)
    if reason == "database" {
      (configuration.database, configuration.sqliteFile) = (.sqlite, "\(profile)/nowhere/tasks.db")
    } else {
      // A directory is in the way of a connection file.
      try FileManager.default.createDirectory(atPath: "\(configuration.engineFilePath)/x", withIntermediateDirectories: true)
    }
    await #expect(throws: ControllerError.self) {
      try await Controller(configuration, logger: TestCluster.logger).run(onReady: {})
    }
    #expect(JournalFiles.wasCutShort(directory) && !FileManager.default.fileExists(atPath: "\(directory)/attempts"))
  }

  @Test("it is told in sentences, and comes back from its file")
  func sentences() throws {
    #expect(JournalBeginning(in: directory) == nil)
    var beginning = JournalBeginning()
    (beginning.tasks, beginning.lastWritten) = (2, Timestamp(microseconds: 1_795_437_421_000_000))
    beginning.damages = ["a", "b", "c", "d"]
    beginning.isSetAside(at: "/there", because: "it cannot be read")
    try beginning.write(in: directory)
    #expect(JournalBeginning(in: directory) == beginning)
    let told = beginning.sentences("/j")
    #expect(told.map(\.isWarning) == [true, false, true])
    #expect(told[0].text.contains("it cannot be read") && told[0].text.contains("/there"))
    #expect(told[1].text == "resumes 2 tasks of the controller before (journal /j, last written 2026-11-23 12:37:01 UTC)")
    #expect(
      told[2].text
        == "the journal was damaged:\na\nb\nc\nand 1 more of the kind, in the controller's log\n"
        + "When the rest is written anew, damaged segments will be kept as /j/*.damaged until the cluster ends in order")
    #expect(JournalBeginning().sentences("/j").isEmpty)
  }

  @Test("what was put aside is known by its name, and nothing else is taken for it")
  func namesOfWhatWasPutAside() {
    for name in ["00000001.damaged", "123456789.damaged", "00000001-2.damaged"] {
      #expect(JournalBeginning.isPutAside(name), "\(name)")
    }
    for name in [
      "1.damaged", "20240101-notes.damaged", "20240101notes.damaged", "00000001-.damaged", "00000001-2-3.damaged",
      "-00000001.damaged",
      "00000001.damaged.damaged", "٠٠٠٠٠٠٠١.damaged", "00000001.log", ".damaged",
    ] { #expect(!JournalBeginning.isPutAside(name), "\(name)") }
  }

  @Test("names that are no segments' are not taken for some")
  func names() throws {
    for name in ["1.log", "9223372036854775807.log", "+0000001.log", "00000002.log", "x.log"] {
      try Data().write(to: URL(fileURLWithPath: "\(directory)/\(name)"))
    }
    #expect(JournalFiles.segments(in: directory).map(\.number) == [2])
    #expect(mkfifo("\(directory)/00000003.log", 0o600) == 0)
    // A pipe would keep the reader for ever.
    #expect(throws: FileError.self) { try SegmentFile(3, in: directory) }
    let files = JournalFiles(directory: directory, limit: 1000)
    try files.beginSegment()
    #expect(files.number == 4)
    try files.syncFormer()
    files.removeDirectory()
  }
}
