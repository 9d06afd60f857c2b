import ApusMessaging
import Transport

/// A rule that is broken on purpose, to see that the simulation finds it. They live in the simulation's adapters: no state knows of them.
public enum Mutation: String, CaseIterable, Sendable {
  /// Engines are told that their replies are written as soon as the scheduler has decided.
  case confirmsBeforeWriting = "confirms-before-writing"
  /// With `always`, messages leave before what they follow from is on the disk.
  case sendsBeforeWriting = "sends-before-writing"
  /// The journal does not hear of what was tried again.
  case forgetsRetries = "forgets-retries"
  /// The journal does not hear of ends.
  case forgetsEnds = "forgets-ends"
  /// The journal does not hear where tasks are.
  case forgetsPlaces = "forgets-places"
  /// A controller answers twice.
  case answersTwice = "answers-twice"
  /// One in fifty answers is lost on the way.
  case losesAnswers = "loses-answers"
  /// Engines keep no replies.
  case keepsNoReplies = "keeps-no-replies"
  /// Engines do not say what they have.
  case saysNothing = "says-nothing"
  /// Engines do not say which of their replies are failures, and of which try.
  case hidesFailures = "hides-failures"
  /// Clients do not ask for their tasks when a controller is back.
  case doesNotAsk = "does-not-ask"
  /// Clients do not send again what a controller does not know.
  case doesNotSendAgain = "does-not-send-again"
  /// What is tried again looks like the first time, which engines take for a replay.
  case sendsTheSame = "sends-the-same"
  /// Connections do not keep the order.
  case reorders
  /// The disk says that it has synced, and has not.
  case doesNotSync = "does-not-sync"
  /// The records of a suspended journal stay.
  case keepsHalfTruths = "keeps-half-truths"
  /// A restarted controller places tasks before engines have said what they have.
  case doesNotWait = "does-not-wait"
  /// The scheduler is not told that an engine was lost.
  case hidesLosses = "hides-losses"
  /// Nobody looks at deadlines.
  case forgetsTime = "forgets-time"
  /// The hub misses one in a hundred events of tasks.
  case miscounts
  /// The scheduler does not see what is urgent.
  case ignoresPriorities = "ignores-priorities"
  /// The scheduler does not see what tasks need.
  case ignoresNeeds = "ignores-needs"
  /// The scheduler does not see that tasks are to rest.
  case forgetsRests = "forgets-rests"
  /// The scheduler is not told that an engine takes no more tasks.
  case ignoresDraining = "ignores-draining"
  /// The broadcast scheduler is not told that an engine was lost.
  case hidesLossesFromBroadcasts = "hides-losses-from-broadcasts"
  /// What has left for a client without a name counts as delivered, whoever got it.
  case trustsNames = "trusts-names"
}

extension Mutation {
  /// The request without what the scheduler shall not see.
  func blinded(_ request: Envelope) -> Envelope {
    let names: Set<String>
    switch self {
    case .ignoresPriorities: names = ["priority"]
    case .ignoresNeeds: names = ["resources"]
    case .forgetsRests: names = ["retry_delay"]
    default: return request
    }
    guard let metadata = try? request.metadata() else { return request }
    return Envelope(
      identities: Array(request.identities), signature: request.signature, header: request.headerFrame,
      parentHeader: request.parentHeaderFrame,
      metadata: Frame(.object(JSONObject(members: metadata.members.filter { !names.contains($0.key) }))),
      content: request.contentFrame)
  }
}
