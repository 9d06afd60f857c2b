import ApusMessaging

/// What the registration decided, in order, for the actor to perform.
struct RegistrationActions: RegistrationEffects {
  enum Action {
    case sendRegistration(wanting: EngineID?, resuming: Bool, wasCutOff: Bool)
    case setDeadline(generation: Int, after: Duration)
    case join(EngineID, heartbeatPeriod: Duration, before: EngineID?)
    case searchController
    case giveUp(EngineError)
  }

  private(set) var list: [Action] = []

  mutating func sendRegistration(wanting id: EngineID?, resuming: Bool, wasCutOff: Bool) {
    list.append(.sendRegistration(wanting: id, resuming: resuming, wasCutOff: wasCutOff))
  }
  mutating func setDeadline(_ generation: Int, after delay: Duration) {
    list.append(.setDeadline(generation: generation, after: delay))
  }
  mutating func joined(_ id: EngineID, heartbeatPeriod: Duration, before: EngineID?) {
    list.append(.join(id, heartbeatPeriod: heartbeatPeriod, before: before))
  }
  mutating func searchController() { list.append(.searchController) }
  mutating func gaveUp(_ error: EngineError) { list.append(.giveUp(error)) }
}
