import CZeroMQ
import Glibc

/// Engines that share one thread, which is this process's only one beside libzmq's.
struct EngineCrowd {
  private let engines: [PlayedEngine]
  private var items: [zmq_pollitem_t]

  private static let slots = PlayedEngine.Slot.allCases

  init(_ count: Int, _ connection: EchoEngineConnection, publishesStatus: Bool) throws(LoadError) {
    let context = try LoadContext(maxSockets: Int32(clamping: 8 * count + 64))
    var engines: [PlayedEngine] = []
    // The parent's end of standard input: when that closes, there is nobody to play for.
    items = [zmq_pollitem_t(socket: nil, fd: STDIN_FILENO, events: Int16(ZMQ_POLLIN), revents: 0)]
    for _ in 0..<count {
      let engine = try PlayedEngine(connection, publishesStatus: publishesStatus, in: context)
      engines.append(engine)
      for slot in Self.slots {
        items.append(zmq_pollitem_t(socket: engine.handle(slot), fd: 0, events: Int16(ZMQ_POLLIN), revents: 0))
      }
    }
    self.engines = engines
  }

  /// Plays until standard input ends.
  mutating func play() throws(LoadError) {
    for engine in engines { try engine.register() }
    while true {
      let ready = zmq_poll(&items, Int32(items.count), -1)
      if ready < 0, zmq_errno() != EINTR { throw LoadError("poll: \(LoadSocket.reason())") }
      if ready <= 0 { continue }
      if items[0].revents != 0 { return }
      for index in 1..<items.count where items[index].revents != 0 {
        let place = (index - 1).quotientAndRemainder(dividingBy: Self.slots.count)
        try engines[place.quotient].serve(Self.slots[place.remainder])
      }
    }
  }
}
