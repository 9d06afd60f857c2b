@testable import ApusEngine
import ApusMessaging
import Testing

@Suite struct RegistrationStateTests {
  private var state = RegistrationState(wantedID: nil, timeout: .seconds(5))
  private var effects = RegistrationRecorder()
  private let period = Duration.milliseconds(250)

  /// A registered engine with id 3, nothing unheard.
  private mutating func register() {
    state.start(effects: &effects)
    state.answered(.accepted(EngineID(3), heartbeatPeriod: period), effects: &effects)
    effects.expect(.send(nil, resuming: false), .deadline(.seconds(5)), .joined(EngineID(3), period, before: nil))
  }

  @Test mutating func asksOnceAndJoins() {
    register()
    #expect(state.phase == .registered(EngineID(3)))
    state.start(effects: &effects)
    state.answered(.accepted(EngineID(9), heartbeatPeriod: period), effects: &effects)
    effects.expectNothingElse()
    #expect(state.id == EngineID(3))
  }

  @Test mutating func asksForTheWantedID() {
    state = RegistrationState(wantedID: EngineID(7), timeout: .seconds(1))
    state.start(effects: &effects)
    effects.expect(.send(EngineID(7), resuming: false), .deadline(.seconds(1)))
    effects.expectNothingElse()
  }

  @Test mutating func refusalEnds() {
    state.start(effects: &effects)
    state.answered(.refused(name: "KeyError", value: "taken"), effects: &effects)
    effects.expect(.send(nil, resuming: false), .deadline(.seconds(5)), .gaveUp(.registrationRefused))
    effects.expectNothingElse()
    #expect(state.phase == .ended)
  }

  @Test mutating func silenceEnds() {
    state.start(effects: &effects)
    let generation = effects.generation
    state.deadlinePassed(generation, effects: &effects)
    effects.expect(.send(nil, resuming: false), .deadline(.seconds(5)), .gaveUp(.registrationTimedOut))
    state.answered(.accepted(EngineID(0), heartbeatPeriod: period), effects: &effects)
    effects.expectNothingElse()
  }

  @Test mutating func anOldDeadlineMeansNothing() {
    state.start(effects: &effects)
    let generation = effects.generation
    state.answered(.accepted(EngineID(0), heartbeatPeriod: period), effects: &effects)
    state.deadlinePassed(generation, effects: &effects)
    effects.expect(.send(nil, resuming: false), .deadline(.seconds(5)), .joined(EngineID(0), period, before: nil))
    effects.expectNothingElse()
  }

  /// The controller knows that it goes: to that it would be a new engine that can be given work.
  @Test mutating func whoHasSaidThatItGoesDoesNotComeBack() {
    register()
    state.leaves()
    state.cutOff(effects: &effects)
    state.disconnected(effects: &effects)
    state.connected(effects: &effects)
    effects.expectNothingElse()
    #expect(state.phase == .registered(EngineID(3)))
  }

  @Test mutating func norDoesOneThatWasAboutTo() {
    register()
    state.disconnected(effects: &effects)
    state.leaves()
    effects.expect(.search)
    state.connected(effects: &effects)
    effects.expectNothingElse()
  }

  @Test mutating func comesBackUnderItsName() {
    register()
    state.disconnected(effects: &effects)
    effects.expect(.search)
    state.disconnected(effects: &effects)
    effects.expectNothingElse()
    state.connected(effects: &effects)
    effects.expect(.send(EngineID(3), resuming: true), .deadline(RegistrationState.retryDelay))
    state.answered(.accepted(EngineID(3), heartbeatPeriod: period), effects: &effects)
    effects.expect(.joined(EngineID(3), period, before: EngineID(3)))
    effects.expectNothingElse()
  }

  @Test mutating func asksAgainUntilTheNewControllerAnswers() {
    register()
    state.disconnected(effects: &effects)
    state.connected(effects: &effects)
    effects.expect(.search, .send(EngineID(3), resuming: true), .deadline(RegistrationState.retryDelay))
    state.deadlinePassed(effects.generation, effects: &effects)
    effects.expect(.send(EngineID(3), resuming: true), .deadline(RegistrationState.retryDelay))
    state.disconnected(effects: &effects)
    effects.expect(.search)
    effects.expectNothingElse()
  }

  @Test mutating func aControllerThatNeverMissedUsRefuses() {
    register()
    state.disconnected(effects: &effects)
    state.connected(effects: &effects)
    effects.expect(.search, .send(EngineID(3), resuming: true), .deadline(RegistrationState.retryDelay))
    state.answered(.refused(name: "KeyError", value: "in use"), effects: &effects)
    #expect(state.phase == .registered(EngineID(3)))
    state.deadlinePassed(effects.generation, effects: &effects)
    effects.expectNothingElse()
  }

  @Test mutating func connectionsBeforeTheAnswerAreNoNews() {
    state.start(effects: &effects)
    effects.expect(.send(nil, resuming: false), .deadline(.seconds(5)))
    state.connected(effects: &effects)
    state.disconnected(effects: &effects)
    state.connected(effects: &effects)
    effects.expectNothingElse()
  }

  @Test mutating func aBrokenConnectionIsToldUntilItIsHeard() {
    register()
    state.cutOff(effects: &effects)
    effects.expect(.sendCutOff(EngineID(3)), .deadline(RegistrationState.retryDelay))
    #expect(state.isAway)
    // Once is enough, and it is said again until there is an answer.
    state.cutOff(effects: &effects)
    effects.expectNothingElse()
    state.deadlinePassed(effects.generation, effects: &effects)
    effects.expect(.sendCutOff(EngineID(3)), .deadline(RegistrationState.retryDelay))
    state.answered(.accepted(EngineID(3), heartbeatPeriod: period), effects: &effects)
    effects.expect(.joined(EngineID(3), period, before: EngineID(3)))
    // What is asked for later has nothing to do with it.
    state.disconnected(effects: &effects)
    state.connected(effects: &effects)
    effects.expect(.search, .send(EngineID(3), resuming: true), .deadline(RegistrationState.retryDelay))
    effects.expectNothingElse()
  }

  @Test mutating func anotherConnectionWhileItAsksIsAskedAtOnce() {
    register()
    state.disconnected(effects: &effects)
    state.connected(effects: &effects)
    effects.expect(.search, .send(EngineID(3), resuming: true), .deadline(RegistrationState.retryDelay))
    #expect(state.isAway, "it still looks for another controller")
    state.connected(effects: &effects)
    effects.expect(.send(EngineID(3), resuming: true), .deadline(RegistrationState.retryDelay))
    effects.expectNothingElse()
  }

  @Test mutating func nothingHappensAfterTheEnd() {
    register()
    state.end()
    state.disconnected(effects: &effects)
    state.connected(effects: &effects)
    state.deadlinePassed(effects.generation, effects: &effects)
    effects.expectNothingElse()
    #expect(state.id == nil)
  }

  @Test(arguments: [
    (
      "{\"status\":\"ok\",\"id\":4,\"hb_period\":250}",
      RegistrationState.Answer.accepted(EngineID(4), heartbeatPeriod: .milliseconds(250))
    ),
    ("{\"status\":\"ok\",\"id\":4}", .accepted(EngineID(4), heartbeatPeriod: .seconds(3))),
    ("{\"status\":\"ok\",\"id\":0,\"hb_period\":-5}", .accepted(EngineID(0), heartbeatPeriod: .milliseconds(1))),
    ("{\"status\":\"ok\",\"id\":-1}", nil), ("{\"status\":\"ok\"}", nil), ("{\"status\":\"ok\",\"id\":\"4\"}", nil),
    ("{\"status\":\"error\",\"ename\":\"KeyError\",\"evalue\":\"x\"}", .refused(name: "KeyError", value: "x")),
    ("{}", .refused(name: "Error", value: "no reason was given")),
  ]) func readsAnswers(_ text: String, _ expected: RegistrationState.Answer?) throws {
    let content = try #require(try JSONValue(parsing: text).objectValue)
    #expect(Engine.answer(content) == expected)
  }
}
