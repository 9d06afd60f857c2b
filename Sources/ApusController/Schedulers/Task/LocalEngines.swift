import ApusMessaging
import ZeroMQ

/// The engines of this host that take and send small messages through local sockets, beside their connections by libzmq.
///
/// Whatever does not fit, or comes when an engine has no such socket (yet, or any more), goes through libzmq: nothing depends on it.
struct LocalEngines {
  /// A connection, which belongs to an engine as soon as that has said its name in a signed message.
  struct Line {
    let socket: LocalSocket
    var uuid: EngineUUID?
    /// What libzmq would put before the engine's messages.
    var identity = Frame.empty
    var reader: EventLoop.ReaderID
  }

  /// So many descriptors are spent on it; further engines do without.
  static let limit = 1024

  let listener: LocalListener?
  private(set) var lines: [Int: Line] = [:]
  private var numbers: [EngineUUID: Int] = [:]
  private var lastNumber = 0

  init(listener: LocalListener?) { self.listener = listener }

  var isFull: Bool { lines.count >= Self.limit }

  mutating func nextNumber() -> Int {
    lastNumber += 1
    return lastNumber
  }

  mutating func add(_ socket: LocalSocket, _ number: Int, reader: EventLoop.ReaderID) {
    lines[number] = Line(socket: socket, reader: reader)
  }

  /// The engine at the other end has said its name.
  /// - Returns: an older connection of the same engine, which it has given up.
  mutating func name(_ number: Int, _ uuid: EngineUUID) -> Int? {
    let before = numbers[uuid]
    lines[number]?.uuid = uuid
    lines[number]?.identity = Frame(uuid.text)
    numbers[uuid] = number
    return before == number ? nil : before
  }

  mutating func remove(_ number: Int) -> Line? {
    guard let line = lines.removeValue(forKey: number) else { return nil }
    if let uuid = line.uuid, numbers[uuid] == number { numbers[uuid] = nil }
    return line
  }

  /// - Returns: false if it has to go through libzmq.
  func send(_ frames: [Frame], to uuid: EngineUUID) -> Bool {
    guard !lines.isEmpty, let number = numbers[uuid], let line = lines[number] else { return false }
    return line.socket.send(frames)
  }
}
