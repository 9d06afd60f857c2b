import CZeroMQ

/// What happens to the connections of one socket, as a stream of events on a PAIR of its own (zmq_socket_monitor(3)).
public struct SocketMonitor: ~Copyable {
  public enum Event: Sendable, Hashable {
    /// A peer's connection was accepted, or our own was made.
    case connected(descriptor: Int32)
    /// The peer closed or died. The descriptor is the one that `Socket.receive(source:)` told of its messages.
    case disconnected(descriptor: Int32)
    case handshakeFailed
    /// A connection of ours can be used: the peers know each other. Told only where that was asked for.
    case ready(descriptor: Int32)
  }

  /// Poll this for readability, then call `next()` until it is `nil`.
  public let socket: Socket

  private let watched: UnsafeMutableRawPointer
  private let life: SocketLife

  /// - Parameters:
  ///   - name: unique in the context: it becomes an `inproc` endpoint.
  ///   - tellsReadiness: whether `ready` is told.
  public init(of watched: borrowing Socket, in context: Context, name: String, tellsReadiness: Bool = false) throws(ZeroMQError) {
    let endpoint = "inproc://monitor-\(name)"
    let events =
      (tellsReadiness ? ZMQ_EVENT_HANDSHAKE_SUCCEEDED : 0) | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED
      | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
      | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
    guard zmq_socket_monitor(watched.handle, endpoint, events) == 0 else { throw ZeroMQError.last("monitor a socket") }
    do throws(ZeroMQError) {
      let pair = try Socket(.pair, in: context)
      try pair.connect(endpoint)
      self.watched = watched.handle
      life = watched.life
      socket = pair
    } catch {
      zmq_socket_monitor(watched.handle, nil, 0)
      throw error
    }
  }

  /// With its PAIR alone gone, the next event would hold libzmq's I/O thread for ever.
  deinit { life.whileOpen { zmq_socket_monitor(watched, nil, 0) } }

  public borrowing func next() throws(ZeroMQError) -> Event? {
    while let parts = try socket.receive() {
      guard let first = parts.first, first.count >= 6 else { continue }
      let (event, value) = first.withUnsafeBytes {
        ($0.loadUnaligned(as: UInt16.self), $0.loadUnaligned(fromByteOffset: 2, as: Int32.self))
      }
      switch Int32(event) {
      case ZMQ_EVENT_ACCEPTED, ZMQ_EVENT_CONNECTED: return .connected(descriptor: value)
      case ZMQ_EVENT_DISCONNECTED: return .disconnected(descriptor: value)
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: return .ready(descriptor: value)
      default: return .handshakeFailed
      }
    }
    return nil
  }
}

/// Whether the other end refuses one handshake after the other. One that ends while it shakes hands leaves the same event as one that refuses
/// (libzmq has no detail of either): a single failure says nothing.
public struct HandshakeRecord: Sendable {
  private var failures = 0

  public init() {}

  /// - Returns: whether it is a refusal, and the first of its row that is known as one.
  public mutating func failed() -> Bool {
    failures += 1
    return failures == 2
  }

  public mutating func succeeded() { failures = 0 }
}
