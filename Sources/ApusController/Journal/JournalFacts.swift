/// What a turn of the scheduler has for its journal.
struct JournalFacts: Sendable {
  private(set) var entries: [JournalEntry] = []
  /// That they keep in memory, roughly. Counted as they come: later each would have to be taken up once more.
  private(set) var bytes = 0

  init(_ entries: [JournalEntry] = []) { append(contentsOf: entries) }

  mutating func append(_ entry: JournalEntry) {
    bytes += entry.footprint
    entries.append(entry)
  }

  mutating func append(contentsOf entries: [JournalEntry]) {
    for index in entries.indices { bytes += entries[index].footprint }
    self.entries += entries
  }

  mutating func removeAll(keepingCapacity: Bool) {
    entries.removeAll(keepingCapacity: keepingCapacity)
    bytes = 0
  }

  /// Leaves nothing behind.
  /// - Parameter spare: an empty array, for what is to come.
  mutating func take(leaving spare: consuming [JournalEntry]) -> [JournalEntry] {
    swap(&spare, &entries)
    bytes = 0
    return spare
  }
}
