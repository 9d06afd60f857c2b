/// A connection between two processes, as TCP makes them: in order each way, however slow; when it breaks, what is on its way is lost, and each
/// end hears of it in its own time.
final class Link {
  private let world: World
  /// Who connected.
  private let dialer: Process
  private let listener: Process
  let label: String
  private(set) var isOpen = true
  private var latest = (toDialer: 0, toListener: 0)
  /// Messages that are still to arrive although the sender is dead: they are in the receiver's memory.
  private var graceUntil = 0
  private let delay: NetworkDelay
  var onBroken: (dialer: () -> Void, listener: () -> Void) = ({}, {})

  init(_ label: String, from dialer: Process, to listener: Process, delay: NetworkDelay) {
    world = dialer.world
    self.dialer = dialer
    self.listener = listener
    self.label = label
    self.delay = delay
    dialer.add(self)
    listener.add(self)
  }

  /// - Parameter text: for the trace; empty for what is not worth a line.
  func toListener(_ text: String, _ body: @escaping () -> Void) {
    latest.toListener = deliver(text, to: listener, after: latest.toListener, body)
  }

  /// - Returns: when it arrives, unless the connection breaks before.
  @discardableResult
  func toDialer(_ text: String, _ body: @escaping () -> Void) -> Int {
    latest.toDialer = deliver(text, to: dialer, after: latest.toDialer, body)
    return latest.toDialer
  }

  private func deliver(_ text: String, to receiver: Process, after latest: Int, _ body: @escaping () -> Void) -> Int {
    guard isOpen else { return latest }
    // As fast as it likes, but not past the one before.
    let delay = delay.next(world)
    let time = delay.reorders ? world.now + delay.time : max(latest, world.now + delay.time)
    world.after(time - world.now) { [self] in
      guard isOpen || world.now <= graceUntil else {
        if !text.isEmpty { world.note("\(label) loses \(text)") }
        return
      }
      receiver.run { [self] in
        if !text.isEmpty { world.note("\(receiver.name) ← \(text)") }
        body()
      }
    }
    return time
  }

  /// Somebody cut it, or a process at one end died.
  func breakDown(killed: Process? = nil) {
    guard isOpen else { return }
    isOpen = false
    world.note("\(label) breaks")
    // What a dead process had sent may have arrived, to be read.
    if killed != nil, world.chance(50) { graceUntil = world.now + world.pick(0...2000) }
    let (onDialer, onListener) = onBroken
    onBroken = ({}, {})
    dialer.after(world.pick(0...5000), onDialer)
    listener.after(world.pick(0...5000), onListener)
  }
}

/// How long messages take.
struct NetworkDelay {
  /// Microseconds of most messages, and of some.
  var usual = 50...500
  var slow = 1000...200_000
  var slowPercent = 2.0
  /// Against the rules: only where a mutation asks for it.
  var reorders = false

  func next(_ world: World) -> (time: Int, reorders: Bool) {
    (world.chance(slowPercent) ? world.pick(slow) : world.pick(usual), reorders)
  }
}
