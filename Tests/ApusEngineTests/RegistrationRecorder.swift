@testable import ApusEngine
import ApusMessaging
import Testing

/// Hears what the registration wants done; each wish is expected in its order, and nothing else.
struct RegistrationRecorder: RegistrationEffects {
  enum Wish: Equatable {
    case send(EngineID?, resuming: Bool)
    case sendCutOff(EngineID?)
    case deadline(Duration)
    case joined(EngineID, Duration, before: EngineID?)
    case search
    case gaveUp(EngineError.Code)
  }

  private(set) var wishes: [Wish] = []
  /// Of the deadline that was set last.
  private(set) var generation = 0

  mutating func sendRegistration(wanting id: EngineID?, resuming: Bool, wasCutOff: Bool) {
    wishes.append(wasCutOff ? .sendCutOff(id) : .send(id, resuming: resuming))
  }
  mutating func setDeadline(_ generation: Int, after delay: Duration) {
    self.generation = generation
    wishes.append(.deadline(delay))
  }
  mutating func joined(_ id: EngineID, heartbeatPeriod: Duration, before: EngineID?) {
    wishes.append(.joined(id, heartbeatPeriod, before: before))
  }
  mutating func searchController() { wishes.append(.search) }
  mutating func gaveUp(_ error: EngineError) { wishes.append(.gaveUp(error.code)) }

  mutating func expect(_ expected: Wish..., sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(wishes.prefix(expected.count) == expected[...], sourceLocation: sourceLocation)
    wishes.removeFirst(min(expected.count, wishes.count))
  }

  func expectNothingElse(sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(wishes.isEmpty, sourceLocation: sourceLocation)
  }
}
