import ApusMessaging
import Transport

/// Local lines, and what comes by them.
extension ClientConnection {
  func watchLines() {
    for lane in [LocalSocket.Lane.tasks, .requests] {
      guard lineReaders[lane] == nil, let socket = wire.lines.socket(lane) else { continue }
      lineReaders[lane] = loop.whenReadable(descriptor: socket.descriptor) { [weak self] in
        self?.assumeIsolated {
          $0.readLine(lane, atMost: Self.batch)
          $0.afterEvents()
        }
      }
    }
  }

  func readLines(atMost limit: Int) { for lane in [LocalSocket.Lane.tasks, .requests] { readLine(lane, atMost: limit) } }

  func readLine(_ lane: LocalSocket.Lane, atMost limit: Int) {
    guard let socket = wire.lines.socket(lane) else { return }
    let now = ContinuousClock.now
    for _ in 0..<limit {
      switch socket.receive() {
      case .message(let frames):
        if wire.lines.isOpen(lane) { read(frames, now: now) } else { readWelcome(frames, lane) }
      case .nothing: return
      case .closed:
        return lineEnded(lane)
      }
    }
  }

  /// What was on its way may be lost; what waited to leave is not. If the controller is gone, its other connections tell the same.
  private func lineEnded(_ lane: LocalSocket.Lane) {
    let wasOpen = wire.lines.isOpen(lane)
    let unsent = closeLine(lane)
    if wasOpen { lineBroke(lane, unsent) }
  }

  private func read(_ frames: [Frame], now: ContinuousClock.Instant) {
    let channel: Channel
    switch frames[0] {
    case LocalSocket.Lane.task: channel = .task
    case LocalSocket.Lane.mux: channel = .mux
    case LocalSocket.Lane.broadcast: channel = .broadcast
    default: return wire.warn("dropped messages", "a reply on a channel that there is not")
    }
    read(Array(frames.dropFirst()), channel, isLocal: true, now: now)
  }

  /// From now on all that has an order goes by the line.
  private func readWelcome(_ frames: [Frame], _ lane: LocalSocket.Lane) {
    guard let message = Envelope(frames), message.messageType == LocalSocket.welcome, isGenuine(message) else {
      closeLine(lane)
      return
    }
    wire.lines.open(lane)
    if lane == .tasks { queue.sharesMemory = true }
    if areEnginesKnown, !wire.areLinesPending { roster.becomeKnown() }
  }

  /// The client goes on with libzmq.
  /// - Returns: requests that have not left.
  @discardableResult
  func closeLine(_ lane: LocalSocket.Lane) -> [Request] {
    if let reader = lineReaders.removeValue(forKey: lane) { loop.forget(reader) }
    if lane == .tasks { queue.sharesMemory = false }
    let unsent = wire.closeLine(lane)
    if areEnginesKnown, !wire.areLinesPending { roster.becomeKnown() }
    return unsent
  }

  /// The controller is another one. Until it takes the line, tasks go by libzmq.
  func reopenLine() {
    // What the one before has answered counts, and that its lines have ended may not have been read yet.
    readLines(atMost: .max)
    for channel in [Channel.mux, .task, .broadcast, .control] { readReplies(channel, atMost: .max) }
    for lane in [LocalSocket.Lane.tasks, .requests] where wire.lines.isOpen(lane) { lineEnded(lane) }
    wire.lines.reopenTasks()
    watchLines()
  }

  /// Who has not been answered by now uses libzmq, from the first request on: nothing has been asked yet that could be answered by the line.
  func giveUpPendingLines() {
    for lane in [LocalSocket.Lane.tasks, .requests] where wire.lines.isPending(lane) { closeLine(lane) }
  }

  /// A controller that is slow for a moment is tried again.
  func deliverLater() {
    guard wire.lines.hasWaiting, !isDeliveryDue else { return }
    isDeliveryDue = true
    loop.schedule(after: .milliseconds(2)) { [weak self] in
      self?.assumeIsolated {
        $0.isDeliveryDue = false
        $0.wire.deliverWaiting()
        $0.afterEvents()
      }
    }
  }
}
