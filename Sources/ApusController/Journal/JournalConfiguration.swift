/// How a controller keeps what its tasks need to survive it.
public struct JournalConfiguration: Sendable, Hashable {
  /// When what was written is forced to the disk.
  public enum Sync: String, Sendable, Hashable, CaseIterable {
    /// Before anything that follows from it leaves the controller: nothing is lost, whatever fails.
    case always
    /// Once in `syncInterval`: the end of the process loses milliseconds, that of the machine an interval.
    case interval
    /// When the system sees fit: the end of the process loses milliseconds, that of the machine what the system had not written.
    case never
  }

  public var sync = Sync.interval
  public var syncInterval = Duration.seconds(1)
  /// Bytes that the files may have together. Beyond them the journal is suspended, as on a full disk.
  public var sizeLimit = 4 << 30
  /// How long engines of the controller before may take to come back, until their tasks are tried elsewhere or end.
  public var engineTimeout = Duration.seconds(30)
  /// How long after a restart the results of before are kept for clients that come back.
  public var resultTime = Duration.seconds(60)
  /// How long nothing is placed because engines may have tasks that the journal does not know of.
  public var holdTime = Duration.seconds(2)

  public init() {}
}
