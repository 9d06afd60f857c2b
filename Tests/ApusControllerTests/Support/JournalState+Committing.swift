import ApusMessaging

@testable import ApusController

extension JournalState {
  /// What waits, and who has handed it over keeps it.
  mutating func commit(_ taken: JournalBacklog.Taken, effects: inout some JournalEffects) {
    var taken = taken
    commit(&taken, effects: &effects)
  }
}
