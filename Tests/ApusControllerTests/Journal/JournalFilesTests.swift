import ApusMessaging
import Foundation
import Logging
import Synchronization
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Journal: files and commits", .timeLimit(.minutes(3 * patience)))
struct JournalFilesTests {
  private func withDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-journal-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    _ = try JournalFiles.id(in: path)
    return try await body(path)
  }

  @Test("segments are numbered on, read back, and go from the oldest on")
  func segments() async throws {
    try await withDirectory { directory in
      let files = JournalFiles(directory: directory, limit: 1000)
      for number in 1...3 {
        try files.beginSegment()
        try files.append([UInt8](repeating: UInt8(number), count: 10 * number))
      }
      try files.sync()
      #expect(JournalFiles.segments(in: directory).map(\.number) == [1, 2, 3])
      #expect(JournalFiles.segments(in: directory).map(\.bytes) == [10, 20, 30])
      #expect(files.totalBytes == 60)
      #expect([UInt8](try Data(contentsOf: URL(filePath: JournalFiles.path(2, in: directory)))) == [UInt8](repeating: 2, count: 20))
      files.removeClosed { number, left in number < 3 && left >= 20 }
      #expect(JournalFiles.segments(in: directory).map(\.number) == [2, 3])
      // Another life goes on behind what is there.
      let next = JournalFiles(directory: directory, limit: 1000)
      try next.beginSegment()
      #expect(next.number == 4 && next.closed.map(\.number) == [2, 3])
      #expect(throws: FileError.self) { try next.append([UInt8](repeating: 0, count: 1000)) }
      next.removeDirectory()
      #expect(!FileManager.default.fileExists(atPath: directory))
    }
  }

  @Test("a segment that ends is on the disk, and the names of segments are")
  func synced() async throws {
    try await withDirectory { directory in
      let files = JournalFiles(directory: directory, limit: 1000)
      try files.beginSegment()
      try files.append([1])
      #expect(files.isDirty && !files.isNamed)
      try files.sync()
      #expect(!files.isDirty && files.isNamed)
      try files.append([2])
      #expect(files.isDirty && files.isNamed)
      // Whoever syncs later syncs the next one.
      try files.beginSegment()
      #expect(!files.isDirty && !files.isNamed)
      try files.append([3])
      try files.beginSegment(isSynced: false)
      #expect(!files.isDirty && !files.isNamed)
      #expect(throws: FileError.self) { try JournalFiles.syncDirectory("\(directory)/nowhere") }
    }
  }

  private struct Effects: JournalEffects {
    var words: [String] = []
    mutating func syncLater(after delay: Duration) {}
    mutating func tellLater(after delay: Duration) {}
    mutating func retryLater(after delay: Duration) { words.append("again after \(delay)") }
    mutating func written(_ ticket: Int, replies: [EngineUUID: [MessageID]]) {}
    mutating func snapshotWanted() { words.append("snapshot") }
    mutating func closeBacklog() { words.append("close") }
    mutating func suspended(_ reason: String) { words.append("suspended") }
  }

  @Test("where the first snapshot finds no room, what was restored stays; after the second it goes, for it is not true any more")
  func firstSnapshot() async throws {
    try await withDirectory { directory in
      let old = JournalFiles(directory: directory, limit: 1 << 20)
      try old.beginSegment()
      try old.append(JournalBlockTests.block([JournalBlockTests.submitted("old")]))
      var effects = Effects()
      var state = JournalState(JournalFiles(directory: directory, limit: old.totalBytes + 100), JournalConfiguration())
      let large = RestatedTask(id: "old", message: Messages.request("old", client: String(repeating: "c", count: 200)))
      let snapshot = JournalBacklog.Taken(
        turns: [[.snapshotBegins, .restated(large), .snapshotEnds(tasks: 1)]], ticket: 1, hasOverflowed: false)
      for isKept in [true, false] {
        state.resume(effects: &effects)
        #expect(state.isWriting)
        state.commit(snapshot, effects: &effects)
        #expect(effects.words == ["snapshot", "suspended", "close", "again after \(Duration.seconds(10))"])
        effects.words = []
        #expect(JournalFiles.segments(in: directory).map(\.number) == (isKept ? [1] : []))
        #expect(restored(directory).tasks.map(\.id) == (isKept ? ["old"] : []))
      }
    }
  }

  @Test("results are kept beside a snapshot, however large that is; those of the last moments, however many there are")
  func resultsStay() async throws {
    try await withDirectory { directory in
      let limits = JournalLimits(segmentSize: 4_000, blockSize: 1_000, keptBytes: 8_000, snapshotDistance: 1 << 20)
      let began = Timestamp.now()
      let files = JournalFiles(directory: directory, limit: 1 << 20)
      var effects = Effects()
      var state = JournalState(files, JournalConfiguration(), limits: limits)
      func commit(_ entries: [JournalEntry]) {
        state.commit(JournalBacklog.Taken(turns: [entries], ticket: 1, hasOverflowed: false), effects: &effects)
      }
      state.resume(effects: &effects)
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      commit([
        JournalBlockTests.submitted("a"), JournalBlockTests.placed("a", "e0"), JournalBlockTests.finished("a", "e0", at: began),
      ])
      let tasks = (0..<400).map { RestatedTask(id: MessageID("t\($0)"), message: Messages.request(MessageID("t\($0)"))) }
      commit([.snapshotBegins] + tasks.map { .restated($0) } + [.snapshotEnds(tasks: tasks.count)])
      commit([JournalBlockTests.submitted("b")])
      #expect(files.totalBytes > 3 * limits.keptBytes)
      let read = restored(directory)
      #expect(read.results.map(\.id) == ["a"] && read.tasks.count == 401)
      // All that an engine had ends at once, as when it is lost.
      for index in 0..<20 { commit([JournalBlockTests.finished(MessageID("r\(index)"), at: began, bytes: 1_000)]) }
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      commit([JournalBlockTests.submitted("c", at: began)])
      #expect(restored(directory).results.count == 21)
      // And they go when time has gone on, whatever it was that happened.
      commit([JournalBlockTests.submitted("later", at: began.advanced(by: .milliseconds(201)))])
      #expect(!restored(directory).results.contains { $0.id == "a" })
    }
  }

  @Test("a clock that is set back does not keep results for ever") func clockSetBack() async throws {
    try await withDirectory { directory in
      let limits = JournalLimits(segmentSize: 4_000, blockSize: 1_000, keptBytes: 8_000, snapshotDistance: 1 << 20)
      let began = Timestamp.now()
      let files = JournalFiles(directory: directory, limit: 1 << 20)
      var effects = Effects()
      var state = JournalState(files, JournalConfiguration(), limits: limits)
      func commit(_ entries: [JournalEntry]) {
        state.commit(JournalBacklog.Taken(turns: [entries], ticket: 1, hasOverflowed: false), effects: &effects)
      }
      state.resume(effects: &effects)
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      commit([JournalBlockTests.submitted("a"), JournalBlockTests.finished("a", at: began.advanced(by: .seconds(3600)))])
      for index in 0..<20 { commit([JournalBlockTests.finished(MessageID("r\(index)"), at: began, bytes: 1_000)]) }
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      commit([JournalBlockTests.submitted("later", at: began.advanced(by: .milliseconds(201)))])
      #expect(!restored(directory).results.contains { $0.id == "a" || $0.id == "r0" })
      #expect(files.totalBytes <= 2 * limits.keptBytes)
    }
  }

  @Test("segments without results go as soon as a snapshot is there", arguments: JournalConfiguration.Sync.allCases)
  func withoutResults(sync: JournalConfiguration.Sync) async throws {
    try await withDirectory { directory in
      let limits = JournalLimits(segmentSize: 1_000, blockSize: 1_000)
      var configuration = JournalConfiguration()
      configuration.sync = sync
      var effects = Effects()
      var state = JournalState(JournalFiles(directory: directory, limit: 1 << 20), configuration, limits: limits)
      func commit(_ entries: [JournalEntry]) {
        state.commit(JournalBacklog.Taken(turns: [entries], ticket: 1, hasOverflowed: false), effects: &effects)
      }
      state.resume(effects: &effects)
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      for index in 0..<20 { commit([JournalBlockTests.submitted(MessageID("t\(index)"))]) }
      #expect(JournalFiles.segments(in: directory).count > 2)
      let tasks = restored(directory).tasks
      commit([.snapshotBegins] + tasks.map { .restated($0) } + [.snapshotEnds(tasks: tasks.count)])
      // Of a snapshot that is not on the disk yet nothing is known.
      #expect((JournalFiles.segments(in: directory).count > 1) == (sync == .never))
      #expect(restored(directory).tasks.map(\.id) == tasks.map(\.id))
      // Where there are some, it stays, and what is behind it.
      commit([JournalBlockTests.finished("t0")])
      for index in 20..<30 { commit([JournalBlockTests.submitted(MessageID("t\(index)"))]) }
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      #expect(JournalFiles.segments(in: directory).count > 2 && restored(directory).results.map(\.id) == ["t0"])
    }
  }

  @Test("the segment of a stock client's request goes, and its result still knows whose it is")
  func addressee() async throws {
    try await withDirectory { directory in
      let limits = JournalLimits(segmentSize: 1_000, blockSize: 1_000)
      var effects = Effects()
      var state = JournalState(JournalFiles(directory: directory, limit: 1 << 20), JournalConfiguration(), limits: limits)
      func commit(_ entries: [JournalEntry]) {
        state.commit(JournalBacklog.Taken(turns: [entries], ticket: 1, hasOverflowed: false), effects: &effects)
      }
      state.resume(effects: &effects)
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      var scheduler = TaskSchedulerState()
      var recorder = SchedulerRecorder()
      let request = Messages.request("a", client: "stock", signature: "signed")
      scheduler.submit(TaskRequest(id: "a", message: request), now: .now, effects: &recorder)
      scheduler.engineRegistered("e0", now: .now, effects: &recorder)
      commit([.event(TaskEvent("a", .task, at: .now(), .submitted(request: request, engine: nil)))])
      for index in 0..<10 { commit([JournalBlockTests.submitted(MessageID("t\(index)"))]) }
      scheduler.completed(
        TaskReply(id: "a", message: Messages.reply(to: "a"), status: .ok), by: "e0", now: .now, effects: &recorder)
      let stock = try #require(recorder.stockClients["a"])
      guard case .event(let end) = JournalBlockTests.finished("a") else { return }
      commit([JournalEntry(end, of: ("a", stock))])
      let tasks = restored(directory).tasks
      commit([.snapshotBegins] + tasks.map { .restated($0) } + [.snapshotEnds(tasks: tasks.count)])
      commit([JournalBlockTests.submitted("last")])
      let read = restored(directory)
      #expect(read.results.map(\.id) == ["a"] && read.results.first?.client == Frame("stock"))
      #expect(read.results.first?.isOwnClient == false)
      #expect(!JournalFiles.segments(in: directory).contains { $0.number == 2 }, "the request has gone")
    }
  }

  @Test("what was read is gone on with, without a snapshot: as much must be written first as if it had been one")
  func goesOn() async throws {
    try await withDirectory { directory in
      let limits = JournalLimits(segmentSize: 1 << 20, blockSize: 1 << 16, keptBytes: 0, snapshotDistance: 24_000)
      let old = JournalFiles(directory: directory, limit: 1 << 20)
      try old.beginSegment()
      try old.append(JournalBlockTests.block([JournalBlockTests.submitted("small")]))
      #expect(!limits.goOn(with: restored(directory)), "a snapshot is quick, and leaves one segment")
      try old.append(JournalBlockTests.block((0..<20).map { JournalBlockTests.submitted(MessageID("t\($0)")) }))
      let read = restored(directory)
      #expect(read.tasks.count == 21 && read.bytes.all == old.totalBytes && read.bytes.tasks < old.totalBytes)
      #expect(limits.goOn(with: read))
      var effects = Effects()
      let files = JournalFiles(directory: directory, limit: 1 << 20)
      var state = JournalState(files, JournalConfiguration(), limits: limits)
      state.goOn(after: read, effects: &effects)
      #expect(state.isWriting && effects.words.isEmpty)
      state.syncIsDue(effects: &effects)
      #expect(state.isWriting)
      func commit(_ entries: [JournalEntry]) {
        state.commit(JournalBacklog.Taken(turns: [entries], ticket: 1, hasOverflowed: false), effects: &effects)
      }
      commit([
        JournalBlockTests.submitted("new"), JournalBlockTests.placed("t0", "e0"), JournalBlockTests.finished("t1"),
      ])
      let next = restored(directory)
      #expect(next.tasks.count == 21 && next.tasks.last?.id == "new")
      #expect(next.tasks.first { $0.id == "t0" }?.engine == "e0" && !next.tasks.contains { $0.id == "t1" })
      #expect(JournalFiles.segments(in: directory).map(\.number) == [1, 2])
      commit([JournalBlockTests.finished("large", bytes: 24_000)])
      #expect(effects.words == ["snapshot"])
      commit([.snapshotBegins, .snapshotEnds(tasks: 0)])
      #expect(restored(directory).tasks.isEmpty && JournalFiles.segments(in: directory).map(\.number) == [2, 3])
    }
  }

  @Test("a journal that is gone on with, and finds no room, goes at once")
  func goesOnWithoutRoom() async throws {
    try await withDirectory { directory in
      let old = JournalFiles(directory: directory, limit: 1 << 20)
      try old.beginSegment()
      try old.append(JournalBlockTests.block([JournalBlockTests.submitted("old")]))
      var effects = Effects()
      var state = JournalState(JournalFiles(directory: directory, limit: old.totalBytes + 50), JournalConfiguration())
      state.goOn(after: restored(directory), effects: &effects)
      #expect(state.isWriting)
      state.commit(
        JournalBacklog.Taken(turns: [[JournalBlockTests.submitted("new")]], ticket: 1, hasOverflowed: false), effects: &effects)
      #expect(effects.words == ["suspended", "close", "again after \(Duration.seconds(10))"])
      #expect(JournalFiles.segments(in: directory).isEmpty, "it would tell half of the truth")
    }
  }

  @Test("what is gone on with is synced as well, and where that fails nothing is left that might be taken for the truth")
  func syncsFormer() async throws {
    try await withDirectory { directory in
      let old = JournalFiles(directory: directory, limit: 1 << 20)
      for id in ["a", "b"] as [MessageID] {
        try old.beginSegment()
        try old.append(JournalBlockTests.block([JournalBlockTests.submitted(id)]))
      }
      var effects = Effects()
      var state = JournalState(JournalFiles(directory: directory, limit: 1 << 20), JournalConfiguration())
      state.goOn(after: restored(directory), effects: &effects)
      #expect(JournalFiles.segments(in: directory).map(\.number) == [1, 2, 3])
      try FileManager.default.removeItem(atPath: JournalFiles.path(1, in: directory))
      state.syncIsDue(effects: &effects)
      #expect(effects.words.first == "suspended")
      #expect(JournalFiles.segments(in: directory).isEmpty)
    }
  }

  @Test("the name stays until an end in order, and a damaged one is replaced")
  func name() async throws {
    try await withDirectory { directory in
      let name = try JournalFiles.id(in: directory)
      #expect(try JournalFiles.id(in: directory) == name)
      #expect(JournalFiles.wasCutShort(directory))
      try AtomicFile.write([0, 200, 13], to: "\(directory)/id")
      #expect(try JournalFiles.id(in: directory) != name)
      // Controllers were killed while they wrote.
      for file in ["id", "beginning.json"] { try AtomicFile.write([1], to: "\(directory)/\(file).12-345.new") }
      JournalFiles(directory: directory, limit: 1).removeDirectory()
      #expect(!JournalFiles.wasCutShort(directory))
      #expect(!FileManager.default.fileExists(atPath: directory))
    }
  }

  /// A scheduler's side: it restates what it is told to, and notes what is written.
  private final class Scheduler: Sendable {
    let loop = EventLoop(name: "schedulers")
    let journalLoop = EventLoop(name: "journal")
    let feed: JournalFeed
    let journal: Journal
    let snapshots = Mutex(0)
    let written = Mutex<(ticket: Int, replies: [EngineUUID: [MessageID]])>((0, [:]))

    /// - Parameter retryDelay: longer than any test takes, however slow the machine: what a test has seen stays so.
    init(
      _ directory: String, _ configuration: JournalConfiguration, retryDelay: Duration = .seconds(24 * 3600),
      snapshot: @escaping @Sendable () -> [JournalEntry]
    ) {
      feed = JournalFeed(loop: loop, holdsMessages: configuration.sync == .always)
      let box = WeakBox()
      journal = Journal(
        loop: journalLoop, feed: feed, files: JournalFiles(directory: directory, limit: configuration.sizeLimit),
        configuration: configuration,
        audience: Journal.Audience(
          loop: loop,
          written: { ticket, replies in
            box.scheduler?.written.withLock { written in
              written.ticket = max(written.ticket, ticket)
              written.replies.merge(replies) { $0 + $1 }
            }
          },
          snapshotWanted: { [feed] in
            var facts = JournalFacts(snapshot())
            feed.open()
            _ = feed.handOver(&facts)
            box.scheduler?.snapshots.withLock { $0 += 1 }
          }), retryDelay: retryDelay, logger: TestCluster.logger)
      box.scheduler = self
      loop.start()
      journalLoop.start()
      journalLoop.execute { [journal] in journal.assumeIsolated { $0.start() } }
    }

    private final class WeakBox: @unchecked Sendable {
      // Set once, before the loops start.
      weak var scheduler: Scheduler?
    }

    func handOver(_ entries: [JournalEntry]) {
      loop.execute { [feed] in
        var facts = JournalFacts(entries)
        _ = feed.handOver(&facts)
      }
    }

    func wait(until fits: () -> Bool) async throws {
      let end = ContinuousClock.now + .seconds(60 * patience)
      while !fits() {
        guard ContinuousClock.now < end else { throw TestFailure("it does not come to that") }
        try await Task.sleep(for: .milliseconds(2))
      }
    }

    func stop() {
      for loop in [loop, journalLoop] {
        loop.stop()
        loop.join()
      }
    }
  }

  private func restored(_ directory: String) -> Restorer.Restored {
    Controller.readJournal(directory, outcomeLimit: 1000, logger: TestCluster.logger)
  }

  @Test(
    "it begins with a snapshot; facts follow; engines hear of their replies when these are written",
    arguments: JournalConfiguration.Sync.allCases)
  func commits(sync: JournalConfiguration.Sync) async throws {
    try await withDirectory { directory in
      var configuration = JournalConfiguration()
      configuration.sync = sync
      let scheduler = Scheduler(directory, configuration) {
        [.snapshotBegins, .restated(RestatedTask(id: "old", message: Messages.request("old"))), .snapshotEnds(tasks: 1)]
      }
      defer { scheduler.stop() }
      try await scheduler.wait { scheduler.snapshots.withLock { $0 } == 1 }
      scheduler.handOver([JournalBlockTests.submitted("a"), JournalBlockTests.placed("a", "e0")])
      scheduler.handOver([
        JournalBlockTests.submitted("b"), JournalBlockTests.finished("a", "e0"), JournalBlockTests.finished("b", nil),
      ])
      try await scheduler.wait { restored(directory).outcomes.count == 2 }
      #expect(restored(directory).tasks.map(\.id) == ["old"])
      try await scheduler.wait { scheduler.written.withLock { $0.replies } == ["e0": ["a"]] }
    }
  }

  @Test("when much was written the scheduler restates its tasks, and what is older goes")
  func compaction() async throws {
    try await withDirectory { directory in
      let scheduler = Scheduler(directory, JournalConfiguration()) { [.snapshotBegins, .snapshotEnds(tasks: 0)] }
      defer { scheduler.stop() }
      // What is handed over before that is dropped.
      try await scheduler.wait { scheduler.snapshots.withLock { $0 } == 1 }
      for number in 0..<18 {
        // No more than the feed has room for, and none as the one before, which would be written once.
        scheduler.handOver([JournalBlockTests.finished(MessageID("t\(number)"), bytes: (16 << 20) + number)])
        try await scheduler.wait { scheduler.written.withLock { $0.replies["e0"]?.count } == number + 1 }
      }
      try await scheduler.wait { scheduler.snapshots.withLock { $0 } >= 2 }
      scheduler.handOver([JournalBlockTests.submitted("last")])
      try await scheduler.wait { restored(directory).tasks.map(\.id) == ["last"] }
      let bytes = JournalFiles.segments(in: directory).reduce(0) { $0 + $1.bytes }
      #expect(bytes < 300 << 20)
    }
  }

  @Test("a snapshot may be larger than what else waits for the disk: it is the scheduler's own memory")
  func largeSnapshot() throws {
    let loop = EventLoop(name: "test")
    let feed = JournalFeed(loop: loop, holdsMessages: false)
    feed.open()
    let buffer = Frame([UInt8](repeating: 7, count: 1 << 20))
    let entries: [JournalEntry] = (0..<1000).map { number in
      let request = Messages.request(MessageID("t\(number)"))
      return .restated(
        RestatedTask(
          id: MessageID("t\(number)"),
          message: Envelope(
            signature: .empty, header: request.headerFrame, parentHeader: .emptyObject, metadata: .emptyObject,
            content: .emptyObject, buffers: [buffer])))
    }
    var facts = JournalFacts(entries)
    _ = feed.handOver(&facts)
    let taken = feed.take()
    #expect(!taken.hasOverflowed && taken.turns.joined().count == 1000)
  }

  @Test("where the disk is slow, clients are to wait before anything is dropped")
  func slowDisk() throws {
    let loop = EventLoop(name: "test")
    let feed = JournalFeed(loop: loop, holdsMessages: false)
    feed.open()
    func handOver(_ megabytes: Int) {
      var facts = JournalFacts([JournalBlockTests.finished("t", bytes: megabytes << 20)])
      _ = feed.handOver(&facts)
    }
    handOver(100)
    #expect(!feed.isBehind)
    handOver(50)
    #expect(feed.isBehind)
    #expect(feed.take().turns.joined().count == 2 && !feed.isBehind)
    handOver(200)
    #expect(feed.isBehind)
    feed.close()
    #expect(!feed.isBehind, "nothing is written, and nobody waits for that")
  }

  @Test("a disk that is full suspends the journal: its files go, and nothing is held back")
  func fullDisk() async throws {
    try await withDirectory { directory in
      var configuration = JournalConfiguration()
      configuration.sync = .always
      configuration.sizeLimit = 4000
      let scheduler = Scheduler(directory, configuration) { [.snapshotBegins, .snapshotEnds(tasks: 0)] }
      defer { scheduler.stop() }
      try await scheduler.wait { restored(directory).isEmpty && scheduler.snapshots.withLock { $0 } == 1 }
      scheduler.handOver([JournalBlockTests.finished("a", bytes: 5000)])
      try await scheduler.wait { scheduler.written.withLock { $0.ticket } == .max }
      #expect(JournalFiles.segments(in: directory).isEmpty)
      var facts = JournalFacts([JournalBlockTests.submitted("b")])
      // Nobody is to wait for what is not going to be written.
      #expect(scheduler.feed.handOver(&facts) == 0 && facts.entries.isEmpty && facts.bytes == 0)
    }
  }
}
