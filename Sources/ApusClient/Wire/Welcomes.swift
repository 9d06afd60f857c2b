import ApusMessaging
import Transport

/// Which of a client's subscriptions to output have arrived at the controller (`OutputWelcome`).
///
/// A request that overtakes them, over another connection, would be answered by output that nobody hears.
struct Welcomes {
  private let names: OutputWelcome
  private let session: SessionID
  /// The controller answers.
  var areGiven = false
  private var hasSubscribed = false
  private var last = 0
  private var awaited: [Frame: Int] = [:]
  /// Not waited for any longer; one that comes all the same says that the controller answers after all.
  private var late: Set<Frame> = []

  init(signer: Signer, session: SessionID) {
    names = OutputWelcome(signer: signer)
    self.session = session
  }

  mutating func subscribed() { hasSubscribed = true }

  /// - Returns: what is to be subscribed to now, if there is something new to ask about.
  mutating func next() -> String? {
    guard areGiven, hasSubscribed else { return nil }
    hasSubscribed = false
    last += 1
    let topic = names.topic(of: session, last)
    awaited[Frame(topic)] = last
    return topic
  }

  /// Whether some are on their way.
  var isAwaited: Bool { !awaited.isEmpty || !late.isEmpty }
  /// The number of the last question without an answer.
  var unanswered: Int? { awaited.isEmpty ? nil : awaited.values.max() }

  func hasCome(_ number: Int) -> Bool { !awaited.values.contains { $0 <= number } }

  mutating func came(_ topic: Frame) -> Bool {
    if late.remove(topic) != nil {
      areGiven = true
      return true
    }
    guard let number = awaited[topic] else { return false }
    // Subscriptions of one connection keep their order.
    awaited = awaited.filter { $0.value > number }
    return true
  }

  /// They are not waited for any longer, nor are others before one has come or the hub has said again that it answers: its port of output may be out
  /// of reach.
  mutating func giveUp() {
    // Few: nothing is asked before one comes.
    late.formUnion(awaited.keys)
    awaited = [:]
    areGiven = false
  }
}
