public import ApusMessaging

/// Events as lines for people, with the durations that follow from the lines before.
public struct StoryLines: Sendable {
  private let isStyled: Bool
  private var submitted: [MessageID: Timestamp] = [:]

  /// More tasks under way than this are not remembered: theirs are lines without a duration.
  private static let most = 1 << 18

  public init(isStyled: Bool) { self.isStyled = isStyled }

  /// An event that is not shown.
  public mutating func remember(_ event: StoryEvent) {
    guard let task = event.task else { return }
    if event.kind == .submitted {
      if submitted.count >= Self.most { submitted = [:] }
      submitted[task] = event.time
    } else if event.kind == .finished {
      submitted[task] = nil
    }
  }

  /// With its end.
  public mutating func line(_ event: StoryEvent) -> String {
    let since = event.task.flatMap { submitted[$0] }
    remember(event)
    // To the millisecond; what is quicker is in the durations.
    let time = event.time.description.prefix(23).replacing("T", with: " ")
    let text = TerminalStyle.printable(event.sentence(submitted: since))
    guard isStyled else { return "\(time)  \(text)\n" }
    return "\(TerminalStyle.dim.applied(to: String(time)))  \(Self.style(of: event)?.applied(to: text) ?? text)\n"
  }

  private static func style(of event: StoryEvent) -> TerminalStyle? {
    switch event.kind {
    case .lost, .engineLost, .leftOut: .red
    case .retried, .abortRequested, .aborted: .yellow
    case .finished: event.outcome == "ok" ? .green : .red
    case .engineRegistered, .clientConnected, .clientGone, .controllerStarted: .cyan
    default: nil
    }
  }
}
