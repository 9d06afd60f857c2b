import ApusMessaging

/// Where a journal's bytes are: `JournalFiles`, or a simulation's disk.
protocol JournalStorage: AnyObject {
  /// For sentences.
  var directory: String { get }
  /// The segment that is written.
  var number: Int { get }
  /// Its bytes.
  var bytes: Int { get }

  func beginSegment(isSynced: Bool) throws(FileError)
  func append(_ block: [UInt8]) throws(FileError)
  func sync() throws(FileError)
  /// The same of what was there before.
  func syncFormer() throws(FileError)
  /// Whether something of what was there before could not be read.
  var isFormerDamaged: Bool { get }
  /// What was there before, and is damaged, goes: all of it that could be read is in a snapshot. Segments that could not are put aside.
  func replaceFormer()
  func removeClosed(while isObsolete: (_ number: Int, _ bytesLeft: Int) -> Bool)
  func removeWritten()
  func removeAll()
  func removeDirectory()
}

/// What the journal's state asks of the world, beside its storage.
protocol JournalEffects {
  /// Call `syncIsDue` then.
  mutating func syncLater(after delay: Duration)
  /// Call `repliesAreDue` then.
  mutating func tellLater(after delay: Duration)
  /// Call `resume` then.
  mutating func retryLater(after delay: Duration)
  /// Everything up to the ticket is written: messages that were held may leave, and engines may forget these replies.
  mutating func written(_ ticket: Int, replies: [EngineUUID: [MessageID]])
  /// The scheduler shall restate all of its tasks. From here on facts are written again if they were not.
  mutating func snapshotWanted()
  /// No facts are wanted until the next snapshot.
  mutating func closeBacklog()
  mutating func suspended(_ reason: String)
}
