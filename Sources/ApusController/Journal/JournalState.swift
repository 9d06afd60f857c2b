import ApusMessaging
import Glibc

/// The journal's mind: what is written when, when it counts, what may go, and what happens when the disk is full. No clock and no threads.
///
/// A commit is one write of all facts that have come together. From time to time the scheduler restates its tasks (a snapshot), and what is older
/// goes, but for the latest results, which clients may not have got.
struct JournalState<Storage: JournalStorage> {
  private enum Mode {
    /// Facts are written. To `suspended` when that fails, to `ended`.
    case writing
    /// The disk is full or broken. Nothing is written, and nothing old is kept: half a truth would have tasks run twice. Back to `writing`
    /// with a snapshot.
    case suspended
    case ended
  }

  let storage: Storage
  private let configuration: JournalConfiguration
  private let limits: JournalLimits
  /// Between two attempts to write again.
  private let retryDelay: Duration
  private var mode = Mode.suspended
  private var buffer: [UInt8] = []
  /// What was written last: what comes next may have frames in common with it.
  private var former = JournalCodec.Former()
  /// Bytes since a block that stands alone.
  private var bytesInCommon = 0
  private var isSyncDue = false
  /// Whether what was read, and is gone on with, is on the disk: the controller before may not have come to that.
  private var isFormerSynced = true
  /// Until the first snapshot is written, what was there before is all that the next controller would have.
  private var isReplacing = true
  /// The first segment that was written here; and those from it on that have results, with the time of the latest of these.
  private var firstOwn = Int.max
  private var withResults: [Int: Timestamp] = [:]
  /// What was noted there last.
  private var lastResult: (segment: Int, time: Timestamp)?
  /// When the last event was.
  private var now = Timestamp(microseconds: 0)
  /// Segments up to this one are older than the last snapshot.
  private var obsolete = 0
  /// Bytes written since the last snapshot, and those of it.
  private var bytesSinceSnapshot = 0
  private var snapshotBytes = 0
  private var isSnapshotDue = false
  private var isInSnapshot = false
  private var replies = WrittenReplies()
  private var repliesDue = false

  /// Engines need not be told at once: a message to each of them for every few replies cost more than the journal itself. What they keep
  /// meanwhile is bounded, in replies and in bytes.
  private static var replyDelay: Duration { .milliseconds(50) }
  private static var replyBatch: Int { 4096 }
  private static var replyBytes: Int { 8 << 20 }

  init(
    _ storage: Storage, _ configuration: JournalConfiguration, limits: JournalLimits = JournalLimits(),
    retryDelay: Duration = .seconds(10)
  ) {
    self.storage = storage
    self.configuration = configuration
    self.limits = limits
    self.retryDelay = retryDelay
  }

  var isWriting: Bool { if case .writing = mode { true } else { false } }

  // MARK: events

  /// Begins, with a snapshot that takes the place of what was restored; and again after a full disk.
  mutating func resume(effects: inout some JournalEffects) {
    guard case .suspended = mode else { return }
    mode = .writing
    do throws(FileError) { try beginSegment() } catch { return suspend("\(error)", effects: &effects) }
    // With the snapshot, on the scheduler's loop: no fact is missed between the two.
    isSnapshotDue = true
    effects.snapshotWanted()
  }

  /// Begins behind what was read, without a snapshot: what is there goes on being true.
  mutating func goOn(after restored: Restorer.Restored, effects: inout some JournalEffects) {
    goOn(behind: restored.bytes, effects: &effects)
  }

  /// - Parameter bytes: as of `Restorer.Restored`.
  mutating func goOn(behind bytes: (all: Int, tasks: Int), effects: inout some JournalEffects) {
    guard case .suspended = mode else { return }
    mode = .writing
    do throws(FileError) { try beginSegment() } catch { return suspend("\(error)", effects: &effects) }
    isReplacing = false
    (bytesSinceSnapshot, snapshotBytes) = bytes
    isFormerSynced = false
    syncLater(effects: &effects)
  }

  /// The controller ends in order, and so do its tasks: nothing is left to be restored.
  mutating func end(effects: inout some JournalEffects) {
    mode = .ended
    effects.closeBacklog()
    storage.removeDirectory()
  }

  /// The controller could not begin: what it has read stays for the next one.
  mutating func abandon(effects: inout some JournalEffects) {
    mode = .ended
    effects.closeBacklog()
  }

  /// - Parameter taken: its entries are let go of, one by one, as they are written.
  mutating func commit(_ taken: inout JournalBacklog.Taken, effects: inout some JournalEffects) {
    guard case .writing = mode else { return }
    if taken.hasOverflowed { return suspend("the disk is slower than the tasks, and too much waits for it", effects: &effects) }
    do throws(FileError) {
      for index in taken.turns.indices { try write(&taken.turns[index]) }
      try writeBlock()
      if configuration.sync == .always { try sync() } else { syncLater(effects: &effects) }
    } catch { return suspend("\(error)", effects: &effects) }
    if configuration.sync == .always { tell(taken.ticket, effects: &effects) } else { tellEngines(effects: &effects) }
    tidy(effects: &effects)
  }

  mutating func syncIsDue(effects: inout some JournalEffects) {
    isSyncDue = false
    guard case .writing = mode else { return }
    do throws(FileError) { try sync() } catch { suspend("\(error)", effects: &effects) }
  }

  mutating func repliesAreDue(effects: inout some JournalEffects) {
    repliesDue = false
    if replies.count > 0 { tell(0, effects: &effects) }
  }

  // MARK: commits

  /// Each entry is moved out of its place. A copy of it would count the references to what it has, which the scheduler's thread has counted last:
  /// that took longer than writing it.
  private mutating func write(_ turn: inout [JournalEntry]) throws(FileError) {
    for index in turn.indices {
      var entry = JournalEntry.snapshotBegins
      swap(&entry, &turn[index])
      try write(entry)
    }
  }

  private mutating func write(_ entry: borrowing JournalEntry) throws(FileError) {
    switch entry {
    case .accounted(let engine, let ids): return replies.append(ids, of: engine)
    default: if buffer.isEmpty { try begin() }
    }
    var endsSnapshot = false
    switch entry {
    case .snapshotBegins:
      // In a segment of its own: what is before it can go as a whole.
      if buffer.count > JournalBlock.headerSize { try writeBlock() } else { buffer.removeAll(keepingCapacity: true) }
      obsolete = storage.number
      try beginSegment()
      bytesSinceSnapshot = 0
      isInSnapshot = true
      beginBlock()
    case .event(let event): note(event)
    case .end(let event, _): note(event)
    case .result(let result): noteResult(result.time)
    // It stays as long as what it is said of.
    case .delivered, .missed: noteResult(now)
    case .snapshotEnds: endsSnapshot = true
    case .outcome, .unwanted, .ended, .restated, .accounted: break
    }
    JournalCodec.append(entry, to: &buffer, after: &former)
    if buffer.count >= limits.blockSize { try writeBlock() }
    if endsSnapshot { try endSnapshot() }
  }

  private mutating func begin() throws(FileError) {
    // Where the frames in common are large, a few times as much as they are.
    if storage.bytes >= max(limits.segmentSize, 4 * former.largeBytes), !isInSnapshot { try beginSegment() }
    beginBlock()
  }

  private mutating func endSnapshot() throws(FileError) {
    try writeBlock()
    isInSnapshot = false
    isSnapshotDue = false
    snapshotBytes = bytesSinceSnapshot
    // Before anything older goes.
    if configuration.sync != .never || storage.isFormerDamaged { try storage.sync() }
    isReplacing = false
    // The next controller would find the same damage again.
    if storage.isFormerDamaged { storage.replaceFormer() }
  }

  private mutating func noteResult(_ time: Timestamp) {
    // Those of one turn have one time.
    if let last = lastResult, last.segment == storage.number, last.time == time { return }
    lastResult = (storage.number, time)
    withResults[storage.number, default: time] = max(withResults[storage.number, default: time], time)
  }

  private mutating func sync() throws(FileError) {
    if !isFormerSynced { try storage.syncFormer() }
    isFormerSynced = true
    try storage.sync()
  }

  private mutating func beginSegment() throws(FileError) {
    former = JournalCodec.Former()
    try storage.beginSegment(isSynced: configuration.sync != .never)
    firstOwn = min(firstOwn, storage.number)
  }

  /// It leans on the one before where large frames are in common. From time to time one stands alone all the same: damage takes nothing behind that
  /// along, and several can be read at once.
  private mutating func beginBlock() {
    buffer.append(contentsOf: repeatElement(0, count: JournalBlock.headerSize))
    let common = former.largeBytes
    if common > 0, let before = former.block, bytesInCommon < limits.aloneDistance + 3 * common, common <= limits.largestCommon {
      JournalCodec.appendContinuation(of: before, to: &buffer)
      former.forgetSmall()
    } else {
      former = JournalCodec.Former()
      bytesInCommon = 0
    }
  }

  private mutating func writeBlock() throws(FileError) {
    guard buffer.count > JournalBlock.headerSize else { return buffer.removeAll(keepingCapacity: true) }
    guard buffer.count <= JournalBlock.largest else {
      throw FileError(path: storage.directory, action: "write a task of more than 4 GiB to", code: EFBIG)
    }
    former.block = JournalBlock.seal(&buffer)
    try storage.append(buffer)
    bytesSinceSnapshot += buffer.count
    bytesInCommon += buffer.count
    // What nothing will lean on need not be kept.
    if former.largeBytes > limits.largestCommon { former = JournalCodec.Former() }
    buffer.removeAll(keepingCapacity: buffer.capacity <= 4 * limits.blockSize)
  }

  private mutating func syncLater(effects: inout some JournalEffects) {
    guard configuration.sync == .interval, !isSyncDue else { return }
    isSyncDue = true
    effects.syncLater(after: configuration.syncInterval)
  }

  /// A snapshot when what was written since the last is more than it would be; and what is older than that goes.
  private mutating func tidy(effects: inout some JournalEffects) {
    if !isInSnapshot {
      // The snapshot may be larger than all that is kept for the results.
      let newer = bytesSinceSnapshot - storage.bytes
      storage.removeClosed { number, left in
        guard number <= obsolete else { return false }
        // Those are sent again, however many there are: all tasks of an engine may have ended at once.
        if let last = withResults[number], last <= now, last >= now.advanced(by: .zero - JournalLimits.lastMoments) { return false }
        if left - newer > limits.keptBytes { return true }
        // Without results it is of no use, now that the snapshot is on the disk; the next controller would read it all the same.
        return configuration.sync != .never && number >= firstOwn && withResults[number] == nil
      }
    }
    guard !isSnapshotDue, bytesSinceSnapshot > max(limits.snapshotDistance, 3 * snapshotBytes) else { return }
    isSnapshotDue = true
    effects.snapshotWanted()
  }

  // MARK: engines

  /// An engine keeps its reply until what followed from it is written.
  private mutating func note(_ event: borrowing TaskEvent) {
    // The last, not the latest: a clock may be set back.
    now = event.time
    switch event.kind {
    case .finished(let reply, let engine, let outcome):
      noteResult(now)
      guard let engine else { return }
      switch outcome {
      case .ok, .error, .aborted: replies.append(event.id, of: engine, bytes: reply.byteCount)
      default: break
      }
    case .retried(let engine, let reason):
      switch reason {
      case .failed, .unmetDependency: replies.append(event.id, of: engine)
      case .engineLost, .undelivered, .overtaken: break
      }
    default: break
    }
  }

  private mutating func tellEngines(effects: inout some JournalEffects) {
    if replies.count >= Self.replyBatch || replies.bytes >= Self.replyBytes { return tell(0, effects: &effects) }
    guard replies.count > 0, !repliesDue else { return }
    repliesDue = true
    effects.tellLater(after: Self.replyDelay)
  }

  private mutating func tell(_ ticket: Int, effects: inout some JournalEffects) {
    effects.written(ticket, replies: replies.take())
  }

  // MARK: full disks

  /// Tasks go on without a journal, and messages that were held leave.
  private mutating func suspend(_ reason: String, effects: inout some JournalEffects) {
    guard case .writing = mode else { return }
    mode = .suspended
    effects.suspended(reason)
    effects.closeBacklog()
    buffer = []
    former = JournalCodec.Former()
    (isInSnapshot, isSnapshotDue) = (false, false)
    if isReplacing {
      // Once: what is there becomes less true by the second, and may be what fills the disk.
      isReplacing = false
      storage.removeWritten()
    } else {
      storage.removeAll()
    }
    tell(.max, effects: &effects)
    effects.retryLater(after: retryDelay)
  }
}

/// Sizes, in bytes.
struct JournalLimits: Sendable {
  var segmentSize = 32 << 20
  var blockSize = 1 << 20
  /// Between blocks that stand alone.
  var aloneDistance = 4 << 20
  /// What later messages may have in common is kept in memory for them.
  var largestCommon = 64 << 20
  /// Results are kept in older segments up to so many bytes.
  var keptBytes = 96 << 20
  /// Large results of the last moments before a controller's end were perhaps not sent, and are sent again to stock clients. No more of them: of
  /// these nobody knows whether they have left, and a client that has its result already raises an error where it reads, and reads what is behind it
  /// only when something else comes.
  static let lastMoments = Duration.milliseconds(200)
  /// Of results that have less bytes than that it is known whether they have left: with all that is around them they are smaller than
  /// `BoundedRouter.largeMessage`.
  static let smallResult = 63 << 10
  /// Written at least, before the tasks are restated.
  var snapshotDistance = 96 << 20

  /// Whether a journal that was read is gone on with: all of its tasks once more would take a while, and nothing is placed before.
  func goOn(with restored: Restorer.Restored) -> Bool { restored.isWhole && restored.bytes.tasks > snapshotDistance / 16 }
}
