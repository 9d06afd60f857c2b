import Transport

/// A party whose peers may have messages waiting for them (`BoundedRouter`): libzmq does not say when there is room, so it is tried again.
protocol DeliversLater: Actor {
  nonisolated var loop: EventLoop { get }
  /// While a further attempt is due.
  var deliveryTimer: EventLoop.TimerID? { get set }
  var hasWaiting: Bool { get }
  func deliverWaiting()
}

extension DeliversLater {
  /// Sees to it that what waits is tried again soon.
  func deliverLater() {
    guard hasWaiting, deliveryTimer == nil else { return }
    deliveryTimer = loop.schedule(after: BoundedRouter.retryInterval) { [unowned self] in
      self.assumeIsolated {
        $0.deliveryTimer = nil
        $0.deliverWaiting()
        $0.deliverLater()
      }
    }
  }
}
