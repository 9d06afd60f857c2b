import ApusMessaging
import Transport

/// Clients read the log of events, and wait for what comes next.
extension Hub {
  /// The longest wait of one question: whoever wants to wait longer asks again.
  private static let longestWait = 300.0

  func tellEvents(_ content: JSONObject, _ message: Envelope, connection: Int32) throws(RemoteError) {
    guard log.isKept else {
      throw RemoteError(name: "NoEvents", value: "the controller keeps no log of events: IPController.history_limit is 0")
    }
    let (question, isRestarted) = try question(content)
    let showsText = content["text"]?.isTruthy ?? false
    guard let client = message.identities.first else { return }
    log.ask(question, of: client, connection, on: loop) { [weak self] result in
      self?.assumeIsolated { hub in
        switch result {
        case .success(let page): hub.tell(page, to: message, isRestarted: isRestarted, showsText: showsText)
        case .failure(let error): hub.fail(message, error)
        }
        hub.deliverLater()
      }
    }
  }

  private func tell(_ page: EventHistory.Page, to message: Envelope, isRestarted: Bool, showsText: Bool) {
    let events = page.events.map { event -> JSONValue in
      guard showsText, case .object(var object) = event.json else { return event.json }
      object["text"] = .string(event.sentence())
      return .object(object)
    }
    wire.reply(
      to: message, MessageType.eventsRequest.reply,
      [
        "status": "ok", "log": .string(wire.session.id.text), "events": .array(events), "next": .int(page.next),
        "end": .int(page.end),
        "lost": .int(page.lost), "more": .bool(page.isFull), "restarted": .bool(isRestarted),
      ])
  }

  /// - Throws: a `ValueError` for whatever is not what it should be.
  private func question(_ content: JSONObject) throws(RemoteError) -> (EventLog.Question, isRestarted: Bool) {
    var question = EventLog.Question()
    question.filter = try StoryFilter(content["filter"])
    var isRestarted = false
    if let log = content["log"], !log.isNull {
      guard let text = log.stringValue else { throw Self.wrong("log is the name of one") }
      isRestarted = text != wire.session.id.text
    }
    if let since = content["since"], !since.isNull {
      if since.stringValue == "end" {
        question.fromEnd = true
      } else if let number = since.intValue, number >= 0 {
        // Of another log the numbers say nothing.
        if !isRestarted { question.number = number }
      } else {
        throw Self.wrong("since is the number of an event, or \"end\"")
      }
    }
    if let last = content["last"], !last.isNull {
      guard let count = last.intValue, count >= 1 else { throw Self.wrong("last is a number from 1 on") }
      question.last = count
    }
    if let limit = content["limit"], !limit.isNull {
      guard let count = limit.intValue, count >= 1 else { throw Self.wrong("limit is a number from 1 on") }
      question.limit = min(count, EventLog.mostEvents)
    }
    if let wait = content["wait"], !wait.isNull {
      guard let seconds = wait.doubleValue, seconds >= 0 else { throw Self.wrong("wait is a number of seconds from 0 on") }
      question.wait = .seconds(min(seconds, Self.longestWait))
    }
    return (question, isRestarted)
  }

  static func wrong(_ reason: String) -> RemoteError { RemoteError(name: "ValueError", value: reason) }
}
