import ApusMessaging

/// What becomes of tasks under way when their connection breaks, or the controller is restarted.
extension ClientState {
  /// Balanced tasks are in its journal. What was sent to certain engines is known to nobody now: whether it ran, they alone could tell.
  mutating func controllerWasRestarted(journal: String?, effects: inout some ClientEffects & ~Copyable) {
    let isSame = journal != nil && journal == self.journal
    let error = ClientError(
      .controllerLost,
      isSame
        ? "the controller was restarted while the task was under way: its engine may have run it"
        : "the controller was restarted while the task was under way",
      advice: isSame
        ? "Submit it again if that does no harm, or to a load-balanced view, whose tasks survive." : "Submit the task again.")
    failOutstanding(error, effects: &effects, sparingBalanced: isSame)
    let waiting = entries.filter { $0.value.isOutstanding && $0.value.route == .balanced }.keys.sorted { $0.raw < $1.raw }
    if isSame, !waiting.isEmpty { resumption = effects.resume(waiting) }
  }

  /// What a restarted controller says to `resume`: it names tasks that it never had, or that were not written down in time.
  mutating func resumed(_ reply: TaskReply, effects: inout some ClientEffects & ~Copyable) {
    for id in reply.content["unknown"]?.stringArrayValue ?? [] {
      let digits = id.utf8.reversed().prefix { (48...57).contains($0) }.count
      guard let number = Int(id.suffix(digits)).map({ TaskNumber(raw: $0) }), let entry = entries[number], entry.isOutstanding,
        entry.handle.id.text == id
      else { continue }
      if let request = entry.request {
        effects.send(request)
      } else {
        let error = ClientError(
          .controllerLost, "the connection to the controller broke, and the task was lost on its way",
          advice: "Submit the task again.")
        finishUnanswered(number, with: error, effects: &effects)
      }
    }
  }

  // MARK: connections

  /// By which way replies come.
  enum Channel { case balanced, direct, broadcast }

  /// A connection broke by which requests go and replies come: what was on its way is lost, in both directions. Which controller is at the
  /// other end now, the hub tells.
  mutating func connectionBroke(_ channel: Channel, effects: inout some ClientEffects & ~Copyable) {
    guard failure == nil else { return }
    let before = cutOff.count
    for (number, entry) in entries where entry.isOutstanding && entry.route.channel == channel { cutOff.insert(number) }
    if cutOff.count > before { askForEngines(effects: &effects) }
  }

  /// The controller is the same: its scheduler knows what became of balanced tasks, and learns who waits for them. Of the others nobody keeps the
  /// results.
  mutating func settleCutOff(effects: inout some ClientEffects & ~Copyable) {
    var balanced: [TaskNumber] = []
    for number in cutOff.sorted(by: { $0.raw < $1.raw }) {
      guard let entry = entries[number], entry.isOutstanding else { continue }
      if entry.route == .balanced {
        balanced.append(number)
      } else {
        let error = ClientError(
          .controllerLost, "the connection to the controller broke while the task was under way: its engine may have run it",
          advice: "Submit it again if that does no harm, or to a load-balanced view, whose tasks survive.")
        finishUnanswered(number, with: error, effects: &effects)
      }
    }
    if !balanced.isEmpty { resumption = effects.resume(balanced) }
  }
}

extension Request.Route {
  fileprivate var channel: ClientState.Channel? {
    switch self {
    case .balanced: .balanced
    case .direct: .direct
    case .coalescing, .broadcast: .broadcast
    case .hub, .control: nil
    }
  }
}
