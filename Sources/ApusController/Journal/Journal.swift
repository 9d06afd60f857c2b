import ApusMessaging
import Glibc
import Logging
import Transport

/// Writes what the task scheduler's tasks need to survive the controller, on a loop of its own: whatever the disk does, the scheduler goes on.
///
/// A commit is one write of all facts that have come together. From time to time the scheduler restates its tasks (a snapshot), and what is older
/// goes, but for the latest results, which clients may not have got.
actor Journal {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  /// What the journal tells the scheduler, on the scheduler's loop.
  struct Audience: Sendable {
    let loop: EventLoop
    /// Everything up to the ticket is written: messages that were held may leave, and engines may forget these replies.
    let written: @Sendable (_ ticket: Int, _ replies: [EngineUUID: [MessageID]]) -> Void
    /// The scheduler shall restate all of its tasks. From here on facts are written again if they were not.
    let snapshotWanted: @Sendable () -> Void
  }

  private enum Mode {
    /// Facts are written. To `suspended` when that fails, to `ended`.
    case writing
    /// The disk is full or broken. Nothing is written, and nothing old is kept: half a truth would have tasks run twice. Back to `writing`
    /// with a snapshot.
    case suspended
    case ended
  }

  private let feed: JournalFeed
  private let files: JournalFiles
  private let configuration: JournalConfiguration
  private let audience: Audience
  private let logger: Logger
  /// Between two attempts to write again.
  private let retryDelay: Duration
  private var mode = Mode.suspended
  private var buffer: [UInt8] = []
  private var isSyncDue = false
  /// Until the first snapshot is written, what was there before is all that the next controller would have.
  private var isReplacing = true
  /// Segments up to this one are older than the last snapshot.
  private var obsolete = 0
  /// Bytes written since the last snapshot, and those of it.
  private var bytesSinceSnapshot = 0
  private var snapshotBytes = 0
  private var isSnapshotDue = false
  private var isInSnapshot = false
  private var replies: [EngineUUID: [MessageID]] = [:]
  private var replyCount = 0
  private var repliesDue = false

  private static let segmentSize = 32 << 20
  private static let blockSize = 1 << 20
  /// Results are kept in older segments up to so many bytes.
  private static let keptBytes = 96 << 20
  private static let snapshotDistance = 192 << 20
  /// Engines need not be told at once.
  private static let replyDelay = Duration.milliseconds(20)
  private static let replyBatch = 1024

  init(
    loop: EventLoop, feed: JournalFeed, files: sending JournalFiles, configuration: JournalConfiguration, audience: Audience,
    retryDelay: Duration = .seconds(10), logger: Logger
  ) {
    self.loop = loop
    self.feed = feed
    self.files = files
    self.configuration = configuration
    self.audience = audience
    self.retryDelay = retryDelay
    self.logger = logger
    feed.onEntries { [weak self] in
      guard let self else { return }
      loop.execute { self.assumeIsolated { $0.commit() } }
    }
  }

  /// Begins with a snapshot, which takes the place of what was restored.
  func start() { resume() }

  /// The controller ends in order, and so do its tasks: nothing is left to be restored.
  func end() {
    mode = .ended
    feed.close()
    files.removeDirectory()
  }

  /// The controller could not begin: what it has read stays for the next one.
  func abandon() {
    mode = .ended
    feed.close()
  }

  // MARK: commits

  private func commit() {
    let taken = feed.take()
    defer { feed.recycle(taken.entries) }
    guard case .writing = mode else { return }
    if taken.hasOverflowed { return suspend("the disk is slower than the tasks, and too much waits for it") }
    do throws(FileError) {
      for entry in taken.entries { try write(entry) }
      try writeBlock()
      if configuration.sync == .always { try files.sync() } else { syncLater() }
    } catch { return suspend("\(error)") }
    if feed.holdsMessages { tell(taken.ticket) } else { tellEngines() }
    tidy()
  }

  private func write(_ entry: JournalEntry) throws(FileError) {
    if buffer.isEmpty {
      if files.bytes >= Self.segmentSize, !isInSnapshot { try beginSegment() }
      buffer.append(contentsOf: repeatElement(0, count: JournalBlock.headerSize))
    }
    switch entry {
    case .snapshotBegins:
      // In a segment of its own: what is before it can go as a whole.
      if buffer.count > JournalBlock.headerSize { try writeBlock() } else { buffer.removeAll(keepingCapacity: true) }
      obsolete = files.number
      try beginSegment()
      bytesSinceSnapshot = 0
      isInSnapshot = true
      buffer.append(contentsOf: repeatElement(0, count: JournalBlock.headerSize))
    case .event(let event): note(event)
    case .outcome, .restated, .result, .snapshotEnds: break
    }
    JournalCodec.append(entry, to: &buffer)
    if buffer.count >= Self.blockSize { try writeBlock() }
    if case .snapshotEnds = entry {
      try writeBlock()
      isInSnapshot = false
      isSnapshotDue = false
      isReplacing = false
      snapshotBytes = bytesSinceSnapshot
      // Before anything older goes.
      if configuration.sync != .never { try files.sync() }
    }
  }

  private func beginSegment() throws(FileError) { try files.beginSegment(isSynced: configuration.sync != .never) }

  private func writeBlock() throws(FileError) {
    guard buffer.count > JournalBlock.headerSize else { return buffer.removeAll(keepingCapacity: true) }
    guard buffer.count <= JournalBlock.largest else {
      throw FileError(path: files.directory, action: "write a task of more than 4 GiB to", code: EFBIG)
    }
    JournalBlock.seal(&buffer)
    try files.append(buffer)
    bytesSinceSnapshot += buffer.count
    buffer.removeAll(keepingCapacity: buffer.capacity <= 4 * Self.blockSize)
  }

  private func syncLater() {
    guard configuration.sync == .interval, !isSyncDue else { return }
    isSyncDue = true
    loop.schedule(after: configuration.syncInterval) { [weak self] in
      self?.assumeIsolated { journal in
        journal.isSyncDue = false
        guard case .writing = journal.mode else { return }
        do throws(FileError) { try journal.files.sync() } catch { journal.suspend("\(error)") }
      }
    }
  }

  /// A snapshot when what was written since the last is more than it would be; and what is older than that goes.
  private func tidy() {
    files.removeClosed { number, left in number <= obsolete && left > Self.keptBytes }
    guard !isSnapshotDue, bytesSinceSnapshot > max(Self.snapshotDistance, 3 * snapshotBytes) else { return }
    isSnapshotDue = true
    audience.loop.execute { [audience] in audience.snapshotWanted() }
  }

  // MARK: engines

  /// An engine keeps its reply until what followed from it is written.
  private func note(_ event: TaskEvent) {
    switch event.kind {
    case .finished(_, let engine?, .ok), .finished(_, let engine?, .error), .finished(_, let engine?, .aborted),
      .retried(let engine, .failed), .retried(let engine, .unmetDependency):
      replies[engine, default: []].append(event.id)
      replyCount += 1
    default: break
    }
  }

  private func tellEngines() {
    if replyCount >= Self.replyBatch { return tell(0) }
    guard replyCount > 0, !repliesDue else { return }
    repliesDue = true
    loop.schedule(after: Self.replyDelay) { [weak self] in
      self?.assumeIsolated {
        $0.repliesDue = false
        if $0.replyCount > 0 { $0.tell(0) }
      }
    }
  }

  private func tell(_ ticket: Int) {
    var told: [EngineUUID: [MessageID]] = [:]
    swap(&told, &replies)
    replyCount = 0
    audience.loop.execute { [audience, told] in audience.written(ticket, told) }
  }

  // MARK: full disks

  /// Tasks go on without a journal, and messages that were held leave.
  private func suspend(_ reason: String) {
    guard case .writing = mode else { return }
    logger.error(
      "the journal is suspended: tasks go on, and would not survive the controller; it is tried again",
      metadata: ["reason": "\(reason)", "directory": "\(files.directory)"])
    mode = .suspended
    feed.close()
    buffer = []
    (isInSnapshot, isSnapshotDue) = (false, false)
    if isReplacing {
      // Once: what is there becomes less true by the second, and may be what fills the disk.
      isReplacing = false
      files.removeWritten()
    } else {
      files.removeAll()
    }
    tell(.max)
    loop.schedule(after: retryDelay) { [weak self] in self?.assumeIsolated { $0.resume() } }
  }

  private func resume() {
    guard case .suspended = mode else { return }
    mode = .writing
    do throws(FileError) { try beginSegment() } catch { return suspend("\(error)") }
    // With the snapshot, on the scheduler's loop: no fact is missed between the two.
    isSnapshotDue = true
    audience.loop.execute { [audience] in audience.snapshotWanted() }
  }
}
