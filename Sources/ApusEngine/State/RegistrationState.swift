import ApusMessaging

/// What the registration of an engine wants done.
protocol RegistrationEffects: ~Copyable {
  /// Ask the controller for a place.
  /// - Parameter wasCutOff: what was under way between the two is lost, whatever the controller believes.
  mutating func sendRegistration(wanting id: EngineID?, resuming: Bool, wasCutOff: Bool)
  /// Call `deadlinePassed` after the time is over, unless another deadline was set since.
  mutating func setDeadline(_ generation: Int, after delay: Duration)
  /// The engine has a number: connect its sockets, or keep them if the number is the one it had.
  mutating func joined(_ id: EngineID, heartbeatPeriod: Duration, before: EngineID?)
  /// The connection is gone: look for a controller at the old ports and in the connection file.
  mutating func searchController()
  /// The engine cannot work.
  mutating func gaveUp(_ error: EngineError)
}

/// The engine's place at the controller: asked for, held, lost, asked for again.
struct RegistrationState {
  enum Phase: Equatable {
    /// Nothing sent yet. Next: asking.
    case idle
    /// Waiting for the first answer. Next: registered, or ended when it is a refusal or does not come.
    case asking
    /// Working. Next: lost, ended.
    case registered(EngineID)
    /// The connection dropped. Next: rejoining when there is one again, ended when the heart gives up.
    case lost(EngineID)
    /// Asking again under the old name. Next: registered, lost.
    case rejoining(EngineID)
    /// No way back.
    case ended
  }

  enum Answer: Equatable {
    case accepted(EngineID, heartbeatPeriod: Duration)
    /// `KeyError` is how a controller says that it already knows the name.
    case refused(name: String, value: String)
  }

  private(set) var phase = Phase.idle
  /// A connection broke, and the controller has not answered since.
  private var wasCutOff = false
  /// The engine is about to end, and the controller has been told so: it does not come back.
  private var isLeaving = false
  private var generation = 0
  let wantedID: EngineID?
  let timeout: Duration
  /// Before a registration is repeated while no answer comes.
  static let retryDelay = Duration.seconds(2)

  init(wantedID: EngineID?, timeout: Duration) {
    self.wantedID = wantedID
    self.timeout = timeout
  }

  mutating func start(effects: inout some RegistrationEffects & ~Copyable) {
    guard phase == .idle else { return }
    phase = .asking
    effects.sendRegistration(wanting: wantedID, resuming: false, wasCutOff: false)
    setDeadline(after: timeout, effects: &effects)
  }

  mutating func answered(_ answer: Answer, effects: inout some RegistrationEffects & ~Copyable) {
    switch (phase, answer) {
    case (.asking, .accepted(let id, let period)):
      register(id, period, before: nil, effects: &effects)
    case (.rejoining(let old), .accepted(let id, let period)), (.lost(let old), .accepted(let id, let period)):
      register(id, period, before: old, effects: &effects)
    case (.asking, .refused(let name, let value)):
      phase = .ended
      effects.gaveUp(EngineError(.registrationRefused, "Registration failed: \(name): \(value)"))
    case (.rejoining(let old), .refused):
      // The controller never noticed that we were away: everything is as it was.
      generation += 1
      wasCutOff = false
      phase = .registered(old)
    case (.idle, _), (.registered, _), (.lost, .refused), (.ended, _): break
    }
  }

  private mutating func register(
    _ id: EngineID, _ period: Duration, before: EngineID?, effects: inout some RegistrationEffects & ~Copyable
  ) {
    generation += 1
    phase = .registered(id)
    wasCutOff = false
    effects.joined(id, heartbeatPeriod: period, before: before)
  }

  /// The controller has taken it off its list: to that it would be a new engine that can be given work.
  mutating func leaves() { isLeaving = true }

  mutating func disconnected(effects: inout some RegistrationEffects & ~Copyable) {
    if isLeaving { return }
    switch phase {
    case .registered(let id), .rejoining(let id):
      generation += 1
      phase = .lost(id)
      effects.searchController()
    case .idle, .asking, .lost, .ended: break
    }
  }

  /// A connection to some controller is there, at the old ports or at new ones.
  mutating func connected(effects: inout some RegistrationEffects & ~Copyable) {
    switch phase {
    case .lost(let id), .rejoining(let id): rejoin(id, effects: &effects)
    case .idle, .asking, .registered, .ended: break
    }
  }

  /// A connection broke through which requests come, while that of the registration stands: what was on its way is lost. The controller is
  /// told, and takes the engine for lost and found.
  mutating func cutOff(effects: inout some RegistrationEffects & ~Copyable) {
    guard case .registered(let id) = phase, !isLeaving else { return }
    wasCutOff = true
    rejoin(id, effects: &effects)
  }

  private mutating func rejoin(_ id: EngineID, effects: inout some RegistrationEffects & ~Copyable) {
    if isLeaving { return }
    phase = .rejoining(id)
    effects.sendRegistration(wanting: id, resuming: true, wasCutOff: wasCutOff)
    setDeadline(after: Self.retryDelay, effects: &effects)
  }

  mutating func deadlinePassed(_ generation: Int, effects: inout some RegistrationEffects & ~Copyable) {
    guard generation == self.generation else { return }
    switch phase {
    case .asking:
      phase = .ended
      effects.gaveUp(EngineError(.registrationTimedOut, "Registration timed out after \(timeout.seconds) seconds"))
    case .rejoining(let id): rejoin(id, effects: &effects)
    case .idle, .registered, .lost, .ended: break
    }
  }

  mutating func end() {
    generation += 1
    phase = .ended
  }

  private mutating func setDeadline(after delay: Duration, effects: inout some RegistrationEffects & ~Copyable) {
    generation += 1
    effects.setDeadline(generation, after: delay)
  }

  /// Whether it had a place, and does not know that it has one.
  var isAway: Bool {
    switch phase {
    case .lost, .rejoining: true
    case .idle, .asking, .registered, .ended: false
    }
  }

  /// The number that the engine has or had.
  var id: EngineID? {
    switch phase {
    case .registered(let id), .lost(let id), .rejoining(let id): id
    case .idle, .asking, .ended: nil
    }
  }
}

extension Duration {
  /// In seconds with one decimal, for sentences.
  var seconds: String {
    let tenths = components.seconds * 10 + components.attoseconds / 100_000_000_000_000_000
    return "\(tenths / 10).\(tenths % 10)"
  }
}
