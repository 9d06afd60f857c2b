import CZeroMQ
import Glibc

/// A libzmq socket: one owner, one thread at a time, closed exactly once.
public struct Socket: ~Copyable {
  public enum Kind: Sendable {
    case router, dealer, pub, sub, xpub, pair, push, pull

    var raw: Int32 {
      switch self {
      case .router: ZMQ_ROUTER
      case .dealer: ZMQ_DEALER
      case .pub: ZMQ_PUB
      case .sub: ZMQ_SUB
      case .xpub: ZMQ_XPUB
      case .pair: ZMQ_PAIR
      case .push: ZMQ_PUSH
      case .pull: ZMQ_PULL
      }
    }
  }

  let handle: UnsafeMutableRawPointer
  /// Strong: the context outlives its sockets.
  private let context: Context
  let consumedEdge = ConsumedEdge()
  /// For its monitor, which must not reach for a socket that is closed.
  let life = SocketLife()

  /// A socket without queue limits and without lingering: what bounds memory here is the parties' own accounting.
  public init(_ kind: Kind, in context: Context) throws(ZeroMQError) {
    guard let handle = zmq_socket(context.handle, kind.raw) else { throw ZeroMQError.last("open a socket") }
    var zero: Int32 = 0
    for option in [ZMQ_LINGER, ZMQ_SNDHWM, ZMQ_RCVHWM] { zmq_setsockopt(handle, option, &zero, 4) }
    self.handle = handle
    self.context = context
  }

  deinit { life.end { zmq_close(handle) } }

  // MARK: options

  public borrowing func set(_ option: SocketOption<Int32>, _ value: Int32) throws(ZeroMQError) {
    var value = value
    try check(zmq_setsockopt(handle, option.raw, &value, 4), "set a socket option")
  }

  public borrowing func set(_ option: SocketOption<[UInt8]>, _ value: [UInt8]) throws(ZeroMQError) {
    try check(zmq_setsockopt(handle, option.raw, value, value.count), "set a socket option")
  }

  public borrowing func set(_ option: SocketOption<String>, _ value: String) throws(ZeroMQError) {
    try check(zmq_setsockopt(handle, option.raw, value, value.utf8.count), "set a socket option")
  }

  /// Encrypts this socket as the server end: whoever knows the public key, which is in the connection files alone, may connect.
  public borrowing func serveCurve(_ keys: CurveKeyPair) throws(ZeroMQError) {
    try set(.curveServer, 1)
    try set(.curveSecretKey, keys.secretKey)
  }

  /// Encrypts this socket as a client of the server with that public key.
  public borrowing func useCurve(_ keys: CurveKeyPair, server publicKey: String) throws(ZeroMQError) {
    try set(.curveServerKey, publicKey)
    try set(.curvePublicKey, keys.publicKey)
    try set(.curveSecretKey, keys.secretKey)
  }

  // MARK: endpoints

  /// - Returns: the endpoint that was really bound, with the port that replaced `*` or `0`.
  @discardableResult
  public borrowing func bind(_ endpoint: String) throws(ZeroMQError) -> String {
    consumedEdge.raise()
    try check(zmq_bind(handle, endpoint), "bind \(endpoint)")
    var text = [CChar](repeating: 0, count: 256)
    var size = text.count
    try check(zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &size), "read the endpoint of \(endpoint)")
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Serves a port that is listened on already.
  public borrowing func bind(_ listener: consuming TCPListener) throws(ZeroMQError) {
    let port = listener.port
    // From here on the descriptor is libzmq's, which closes it whatever comes.
    try set(.listeningDescriptor, listener.give())
    defer { try? set(.listeningDescriptor, -1) }
    try bind("tcp://127.0.0.1:\(port)")
  }

  /// Listens on a Unix domain socket for parties of the same user. They need no encryption and no pings: the system knows who is there, and
  /// says at once when they are gone.
  /// - Parameter path: in a folder that no other user can look into. What was there is replaced.
  public borrowing func bindLocal(_ path: String) throws(ZeroMQError) {
    var user = geteuid()
    try check(zmq_setsockopt(handle, ZMQ_IPC_FILTER_UID, &user, 4), "say who may connect")
    try set(.curveServer, 0)
    try set(.heartbeatInterval, 0)
    try bind("ipc://\(path)")
  }

  public borrowing func unbind(_ endpoint: String) throws(ZeroMQError) {
    consumedEdge.raise()
    try check(zmq_unbind(handle, endpoint), "unbind \(endpoint)")
  }

  public borrowing func connect(_ endpoint: String) throws(ZeroMQError) {
    consumedEdge.raise()
    try check(zmq_connect(handle, endpoint), "connect \(endpoint)")
  }

  public borrowing func disconnect(_ endpoint: String) throws(ZeroMQError) {
    consumedEdge.raise()
    try check(zmq_disconnect(handle, endpoint), "disconnect \(endpoint)")
  }

  // MARK: messages

  /// All parts of the next message, or `nil` when nothing waits.
  public borrowing func receive() throws(ZeroMQError) -> [Frame]? {
    var source: Int32 = -1
    return try receive(source: &source, wantsSource: false)
  }

  /// As `receive()`; `source` becomes the descriptor of the connection that the message came through, -1 if it has none.
  public borrowing func receive(source: inout Int32) throws(ZeroMQError) -> [Frame]? {
    try receive(source: &source, wantsSource: true)
  }

  private borrowing func receive(source: inout Int32, wantsSource: Bool) throws(ZeroMQError) -> [Frame]? {
    var parts: [Frame] = []
    var message = zmq_msg_t()
    source = -1
    consumedEdge.raise()
    while true {
      zmq_msg_init(&message)
      if zmq_msg_recv(&message, handle, parts.isEmpty ? ZMQ_DONTWAIT : 0) < 0 {
        let code = zmq_errno()
        zmq_msg_close(&message)
        if code == EAGAIN {
          consumedEdge.lower()
          return nil
        }
        if code == EINTR { continue }
        throw ZeroMQError(code: code, action: "receive")
      }
      if parts.isEmpty { parts.reserveCapacity(10) }
      // Not of the first part alone: the identity that a ROUTER puts in front has no descriptor if somebody polled before (libzmq 4.3.4).
      if wantsSource, source < 0 { source = zmq_msg_get(&message, ZMQ_SRCFD) }
      let more = zmq_msg_more(&message) != 0
      parts.append(Frame(adopting: &message))
      if !more { return parts }
    }
  }

  /// Sends all parts of one message; nothing of another can come between them.
  ///
  /// Never waits. A mandatory ROUTER throws an `isUnreachable` error before anything was sent.
  public borrowing func send(_ first: Frame? = nil, _ second: Frame? = nil, _ rest: ArraySlice<Frame>) throws(ZeroMQError) {
    consumedEdge.raise()
    if let first { try sendPart(first, more: second != nil || !rest.isEmpty) }
    if let second { try sendPart(second, more: !rest.isEmpty) }
    var index = rest.startIndex
    while index < rest.endIndex {
      try sendPart(rest[index], more: index + 1 < rest.endIndex)
      index += 1
    }
  }

  public borrowing func send(_ parts: [Frame]) throws(ZeroMQError) { try send(nil, nil, parts[...]) }

  private borrowing func sendPart(_ frame: Frame, more: Bool) throws(ZeroMQError) {
    var message = zmq_msg_t()
    frame.share(into: &message)
    let flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)
    while zmq_msg_send(&message, handle, flags) < 0 {
      let code = zmq_errno()
      if code == EINTR { continue }
      zmq_msg_close(&message)
      throw ZeroMQError(code: code, action: "send")
    }
  }

  /// Waits until something can be received.
  /// - Parameter milliseconds: at most; -1 is for ever.
  /// - Returns: false when the time is over, or a signal came first.
  public borrowing func waitReadable(milliseconds: Int) throws(ZeroMQError) -> Bool {
    consumedEdge.raise()
    var item = zmq_pollitem_t(socket: handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
    let ready = zmq_poll(&item, 1, milliseconds)
    if ready < 0 {
      // A signal is no failure; the caller looks at its clock and asks again.
      if zmq_errno() == EINTR { return false }
      throw ZeroMQError.last("poll")
    }
    return ready > 0
  }

  private borrowing func check(_ result: Int32, _ action: @autoclosure () -> String) throws(ZeroMQError) {
    if result != 0 { throw ZeroMQError.last(action()) }
  }
}
