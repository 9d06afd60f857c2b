import ApusMessaging
import Transport

/// The engines of this host that take and send small messages through local sockets, beside their connections by libzmq.
///
/// Whatever does not fit, or comes when an engine has no such socket (yet, or any more), goes through libzmq: nothing depends on it.
struct LocalEngines {
  /// A connection, which belongs to an engine as soon as that has said its name in a signed message.
  struct Line {
    let socket: LocalSocket
    let reader: EventLoop.ReaderID
    var uuid: EngineUUID?
    /// What libzmq would put before the engine's messages.
    var identity = Frame.empty
  }

  /// So many descriptors are spent on it; further engines do without.
  private static let limit = 1024

  let listener: LocalListener?
  /// By the descriptor, which nobody else has while the socket lives.
  private(set) var lines: [Int32: Line] = [:]
  private var sockets: [EngineUUID: LocalSocket] = [:]

  init(listener: LocalListener?) { self.listener = listener }

  var isFull: Bool { lines.count >= Self.limit }

  mutating func add(_ socket: LocalSocket, reader: EventLoop.ReaderID) {
    lines[socket.descriptor] = Line(socket: socket, reader: reader)
  }

  /// The engine at the other end has said its name.
  /// - Returns: an older connection of the same engine, which it has given up.
  mutating func name(_ descriptor: Int32, _ uuid: EngineUUID) -> Int32? {
    guard let socket = lines[descriptor]?.socket else { return nil }
    lines[descriptor]?.uuid = uuid
    lines[descriptor]?.identity = Frame(uuid.text)
    return sockets.updateValue(socket, forKey: uuid)?.descriptor
  }

  mutating func remove(_ descriptor: Int32) -> Line? {
    guard let line = lines.removeValue(forKey: descriptor) else { return nil }
    if let uuid = line.uuid, sockets[uuid] === line.socket { sockets[uuid] = nil }
    return line
  }

  /// - Returns: false if it has to go through libzmq.
  func send(_ frames: [Frame], to uuid: EngineUUID) -> Bool { sockets[uuid]?.send(frames) ?? false }
}
