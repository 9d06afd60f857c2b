extension TaskRecord {
  /// What a database notes on the records it keeps, in the record itself: a side table would cost more than the record.
  struct Marks: OptionSet {
    let rawValue: UInt8

    /// In the database's dictionary.
    static let kept = Marks(rawValue: 1)
    /// Was in it, and made room or was purged: late changes do not bring it back.
    static let dropped = Marks(rawValue: 2)
    /// Has its place among those that may be dropped.
    static let queued = Marks(rawValue: 4)
    /// In the number of those that may be dropped.
    static let counted = Marks(rawValue: 8)
    /// Changed since it was last written to the file.
    static let pending = Marks(rawValue: 16)
    /// Has a row in the file.
    static let rowWritten = Marks(rawValue: 32)
    /// The row holds the request as it is.
    static let requestWritten = Marks(rawValue: 64)
    /// The row holds the reply as it is.
    static let replyWritten = Marks(rawValue: 128)
  }
}
